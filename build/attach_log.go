package build

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"showrunner/problem"
)

// Log copies the log from an offset on, until the build's end.
func (h *Handle) Log(ctx context.Context, offset int64, w io.Writer) error {
	counted := &counter{w: w, n: offset}
	if !h.has(fileResult) {
		if conn, err := h.dial(ctx); err == nil {
			err := exchange(ctx, conn, message{Op: "log", Offset: offset}, func(from io.Reader) error {
				_, err := io.Copy(counted, from)
				return err
			})
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if counted.err != nil || err == nil && h.has(fileResult) {
				return counted.err
			}
		}
	}
	// What the supervisor did not send stands in the file.
	f, err := os.Open(filepath.Join(h.dir, fileLog))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "build.log", "open the log")
	}
	defer f.Close()
	if _, err := f.Seek(counted.n, io.SeekStart); err != nil {
		return problem.Wrap(err, problem.Unavailable, "build.log", "read the log")
	}
	_, err = io.Copy(counted, f)
	return err
}

type counter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}
