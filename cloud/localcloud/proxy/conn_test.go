package proxy

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// watched is a connection that notes for how long each writing may take.
type watched struct {
	net.Conn
	limit time.Duration // of the next one; 0: none
	took  bytes.Buffer
	short []time.Duration
}

func (c *watched) SetWriteDeadline(t time.Time) error {
	c.limit = time.Until(t)
	return nil
}

func (c *watched) Write(p []byte) (int, error) {
	c.short = append(c.short, c.limit)
	c.limit = 0
	return c.took.Write(p)
}

func (c *watched) ReadFrom(r io.Reader) (int64, error) {
	c.short = append(c.short, c.limit)
	c.limit = 0
	return c.took.ReadFrom(r)
}

// Whatever is written to a client has to be taken in time, piece by piece.
func TestWritesAreLimited(t *testing.T) {
	text := strings.Repeat("x", 300<<10)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for how, write := range map[string]func(c *watched) error{
		"HTTP/1": func(c *watched) error {
			_, err := io.WriteString(&conn{raw: c}, text)
			return err
		},
		"HTTP/2": func(c *watched) error {
			_, err := io.WriteString(&prefixedConn{Conn: c}, text)
			return err
		},
		"a file": func(c *watched) error {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = (&conn{raw: c}).ReadFrom(&io.LimitedReader{R: &io.LimitedReader{R: f, N: 1 << 30}, N: int64(len(text))})
			return err
		},
	} {
		c := &watched{}
		if err := write(c); err != nil || c.took.String() != text {
			t.Errorf("%s: %d bytes, %v", how, c.took.Len(), err)
		}
		for _, limit := range c.short {
			if limit <= 0 || limit > writeLimit {
				t.Errorf("%s: a piece may take %v", how, limit)
			}
		}
		if how == "a file" && len(c.short) != (len(text)+filePiece-1)/filePiece {
			t.Errorf("it comes in %d pieces", len(c.short))
		}
	}
}
