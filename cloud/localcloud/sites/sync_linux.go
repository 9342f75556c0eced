package sites

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncAll flushes all writes to the file system of dir, with one call for any
// number of files.
func syncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
