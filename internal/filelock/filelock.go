// Package filelock locks files for one process at a time. The system releases a
// lock when its process ends in any way.
package filelock

import (
	"errors"
	"os"
	"syscall"
)

// ErrHeld says that another holder has the lock.
var ErrHeld = errors.New("another process has the lock")

// Try locks a file without waiting; it makes the file when it does not exist.
// Closing the file releases the lock. Errors: ErrHeld, or why the file cannot be
// opened or locked.
func Try(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrHeld
		}
		return nil, err
	}
	return f, nil
}
