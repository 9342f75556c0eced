//go:build unix

package store

import (
	"io"
	"os"
	"strconv"

	"showrunner/internal/filelock"
)

// lockFile takes an exclusive lock that the system gives up when this process
// dies, however it dies. The file holds the process's number for people.
func lockFile(path string) (io.Closer, error) {
	f, err := filelock.Claim(path)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return f, nil
}
