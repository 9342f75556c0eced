package artifact

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"

	"showrunner/problem"
)

// source is one entry to store: a link, or a file that can be opened more than
// once.
type source struct {
	path string
	link string
	open func() (*os.File, error)
}

func walkInto(ctx context.Context, dir *os.Root, start string, found map[string]source) error {
	const op = "artifact.put"
	return fs.WalkDir(dir.FS(), start, func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return unreadable(err, op, p)
		}
		switch {
		case d.IsDir():
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			target, err := dir.Readlink(filepath.FromSlash(p))
			if err != nil {
				return unreadable(err, op, p)
			}
			if err := checkPath(p); err != nil {
				return err
			}
			found[p] = source{path: p, link: filepath.ToSlash(target)}
		case d.Type().IsRegular():
			if err := checkPath(p); err != nil {
				return err
			}
			found[p] = source{path: p, open: func() (*os.File, error) { return dir.Open(filepath.FromSlash(p)) }}
		default:
			return problem.New(problem.Invalid, op, "%s is a %s; an artifact holds files and links", p, kindOf(d.Type())).
				WithHelp("Remove it, or leave it out of the artifact's files.")
		}
		return nil
	})
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	default:
		return "device"
	}
}
