package artifact

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFiles makes the contents of files below dir durable: one flush for any
// number of files.
func syncFiles(dir string, names []string) error {
	if len(names) <= fewFiles {
		return syncEach(names)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
