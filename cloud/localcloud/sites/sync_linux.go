package sites

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncAll makes everything written so far on the file system of dir durable, at
// the price of one call for any number of files.
func syncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
