// Package filelock takes files for one process at a time. The system lets go of
// a lock however the process ends that has it.
package filelock

import (
	"errors"
	"os"
	"syscall"
)

// ErrHeld says that another holder has the lock.
var ErrHeld = errors.New("another process has the lock")

// Try takes the lock of a file, which is made when it is not there, without
// waiting. Closing the file gives the lock back. Errors: ErrHeld, or why the file
// cannot be opened or locked.
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
