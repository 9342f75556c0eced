package artifact

import "os"

// fewFiles is the number of files up to which each file is flushed by itself.
// Above it, the whole file system is flushed once.
const fewFiles = 16

// syncEach flushes files one by one.
func syncEach(names []string) error {
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// syncDirs makes the names in dirs durable.
func syncDirs(dirs map[string]bool) error {
	names := make([]string, 0, len(dirs))
	for dir := range dirs {
		names = append(names, dir)
	}
	return syncEach(names)
}
