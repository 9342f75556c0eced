package proxy

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// trickle is a client that sends a piece every so often, and knows the deadline of
// who reads.
type trickle struct {
	every    time.Duration
	piece    int
	left     int // pieces
	deadline time.Time
}

func (c *trickle) setDeadline(t time.Time) error { c.deadline = t; return nil }

func (c *trickle) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	if next := time.Now().Add(c.every); !c.deadline.IsZero() && c.deadline.Before(next) {
		<-time.After(time.Until(c.deadline))
		return 0, os.ErrDeadlineExceeded
	}
	<-time.After(c.every)
	c.left--
	return min(c.piece, len(p)), nil
}

// A body may come slowly, and with pauses, but not for ever.
func TestHowSlowABodyMayCome(t *testing.T) {
	for name, test := range map[string]struct {
		client   trickle
		stream   bool
		answered bool
		slow     bool
		within   time.Duration
	}{
		"at once":                         {client: trickle{0, 1 << 10, 100, time.Time{}}, within: time.Second},
		"1 KiB a second":                  {client: trickle{time.Second, 1 << 10, 100, time.Time{}}, within: 101 * time.Second},
		"8 KiB every 8 s":                 {client: trickle{8 * time.Second, 8 << 10, 100, time.Time{}}, within: 801 * time.Second},
		"a byte a second":                 {client: trickle{time.Second, 1, 1000, time.Time{}}, slow: true, within: 21 * time.Second},
		"a byte every 19 s":               {client: trickle{19 * time.Second, 1, 1000, time.Time{}}, slow: true, within: 21 * time.Second},
		"half of the rate":                {client: trickle{time.Second, 512, 1000, time.Time{}}, slow: true, within: 41 * time.Second},
		"nothing":                         {client: trickle{time.Hour, 1, 1, time.Time{}}, slow: true, within: 21 * time.Second},
		"much, and then nothing":          {client: trickle{21 * time.Second, 1 << 20, 10, time.Time{}}, slow: true, within: 22 * time.Second},
		"messages":                        {client: trickle{time.Hour, 1, 3, time.Time{}}, stream: true, within: 4 * time.Hour},
		"nothing, after the answer began": {client: trickle{time.Hour, 1, 3, time.Time{}}, answered: true, within: 4 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bodyReader{in: &test.client, setDeadline: test.client.setDeadline, left: bodyAllowance, stream: test.stream}
				if test.answered {
					b.answered()
				}
				began := time.Now()
				_, err := io.Copy(io.Discard, struct{ io.Reader }{b})
				if took := time.Since(began); errors.Is(err, ErrSlowBody) != test.slow || !test.slow && err != nil || took > test.within {
					t.Errorf("%v after %v", err, took)
				}
				if b.whole() == test.slow {
					t.Error("it is not known whether all was read")
				}
			})
		})
	}
}

// A reading that was ended stays ended, and says why.
func TestAReadingThatIsEnded(t *testing.T) {
	client, server := io.Pipe()
	defer server.Close()
	why := errors.New("why")
	b := &bodyReader{in: client, left: bodyAllowance, setDeadline: func(d time.Time) error {
		if !d.IsZero() && d.Before(time.Now()) {
			client.CloseWithError(os.ErrDeadlineExceeded)
		}
		return nil
	}}
	read := make(chan error)
	go func() {
		_, err := b.Read(make([]byte, 1))
		read <- err
	}()
	for b.behind(time.Now().Add(time.Hour)) == 0 { // until it waits
	}
	b.CutOff(why)
	b.CutOff(errors.New("another"))
	if err := <-read; err != why {
		t.Errorf("the reader is told %v", err)
	}
	if _, err := b.Read(make([]byte, 1)); err != why || b.retire() {
		t.Errorf("afterwards: %v", err)
	}
}
