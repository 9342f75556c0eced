package build

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"showrunner/artifact"
	"showrunner/problem"
)

// CopyTree copies the folder from to the folder to, so that a build never
// changes its source: contents (by reference where the file system can),
// modes, times and links, .git included. Links that lead back into from by an
// absolute path are made to lead into the copy. Left out are the folders in
// skip, a .git file (it leads to a repository that the build could change),
// and what is neither a file nor a folder nor a link.
func CopyTree(ctx context.Context, from, to string, skip ...string) error {
	const op = "build.source"
	from, err := filepath.EvalSymlinks(from)
	if err == nil {
		from, err = filepath.Abs(from)
	}
	if err != nil {
		return problem.Wrap(err, problem.NotFound, op, "source folder")
	}
	type done struct {
		path string
		info fs.FileInfo
	}
	var dirs []done
	err = filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		for _, s := range skip {
			if p == s {
				return filepath.SkipDir
			}
		}
		target := filepath.Join(to, rel)
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		}
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			dirs = append(dirs, done{target, info})
			return os.MkdirAll(target, info.Mode().Perm()|0o700)
		case d.Type()&fs.ModeSymlink != 0:
			return copyLink(p, target, from)
		case !d.Type().IsRegular() || rel == ".git":
			return nil
		}
		return copyFile(p, target, info)
	})
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "copy %s", from)
	}
	for i := len(dirs) - 1; i >= 0; i-- { // after their contents, which change them
		os.Chtimes(dirs[i].path, dirs[i].info.ModTime(), dirs[i].info.ModTime()) //nolint:errcheck // only a nicety
	}
	return nil
}

func copyLink(p, target, from string) error {
	says, err := os.Readlink(p)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(from, says); filepath.IsAbs(says) && err == nil && filepath.IsLocal(rel) {
		if says, err = filepath.Rel(filepath.Dir(p), says); err != nil {
			return err
		}
	}
	return os.Symlink(says, target)
}

func copyFile(p, target string, info fs.FileInfo) error {
	in, err := os.Open(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(target, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(target, info.ModTime(), info.ModTime())
}

// LayOut copies an artifact's files into a folder. What lies there already
// stays, except files in the place of new ones; nothing is written outside.
func LayOut(ctx context.Context, files []artifact.File, dir string) error {
	const op = "build.artifacts"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "folder %s", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "folder %s", dir)
	}
	defer root.Close()
	for _, f := range files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := layOutOne(root, f); err != nil {
			return problem.Wrap(err, problem.Unavailable, op, "%s", f.Path)
		}
	}
	return nil
}

func layOutOne(root *os.Root, f artifact.File) error {
	name := filepath.FromSlash(f.Path)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if info, err := root.Lstat(name); err == nil && !info.IsDir() {
		if err := root.Remove(name); err != nil {
			return err
		}
	}
	if f.Link != "" {
		return root.Symlink(filepath.FromSlash(f.Link), name)
	}
	in, err := os.Open(f.Source)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	mode := fs.FileMode(artifact.ModeFile)
	if info.Mode()&0o111 != 0 {
		mode = artifact.ModeProgram
	}
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		root.Chtimes(name, info.ModTime(), info.ModTime()) //nolint:errcheck // only a nicety
	}
	return err
}

// RemoveAll removes a build's folder, also where a build has made folders that
// cannot be written to, as Go's module cache does.
func RemoveAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error { //nolint:errcheck // the second try tells
		if d != nil && d.IsDir() {
			os.Chmod(p, 0o700) //nolint:errcheck
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// ResolvedVersion is the commit that a folder's work tree stands at, or "".
func ResolvedVersion(dir string) string {
	head, err := os.ReadFile(filepath.Join(dir, ".git", "HEAD"))
	if err != nil {
		return ""
	}
	name := strings.TrimSpace(string(head))
	ref, symbolic := strings.CutPrefix(name, "ref: ")
	if !symbolic {
		return name
	}
	if data, err := os.ReadFile(filepath.Join(dir, ".git", filepath.FromSlash(ref))); err == nil {
		return strings.TrimSpace(string(data))
	}
	packed, _ := os.ReadFile(filepath.Join(dir, ".git", "packed-refs"))
	for line := range strings.Lines(string(packed)) {
		if hash, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == ref {
			return hash
		}
	}
	return ""
}
