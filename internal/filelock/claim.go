package filelock

import (
	"errors"
	"os"
	"time"
)

const (
	claimFor   = 2 * time.Second
	claimEvery = 10 * time.Millisecond
)

// Claim is Try for the process that takes over from one that has just ended. A program
// that the former holder was starting when it was killed has the lock too, from its fork
// until it executes: under load that takes a moment. So Claim tries again for 2 s.
func Claim(name string) (*os.File, error) {
	deadline := time.NewTimer(claimFor)
	defer deadline.Stop()
	again := time.NewTicker(claimEvery)
	defer again.Stop()
	for {
		f, err := Try(name)
		if !errors.Is(err, ErrHeld) {
			return f, err
		}
		select {
		case <-again.C:
		case <-deadline.C:
			return nil, err
		}
	}
}
