package source

import (
	"fmt"
	"os"
	"path/filepath"
)

// LocalFault says why git cannot read a repository at a path of this machine, and
// what to do; "" when the folder shows no obstacle.
func LocalFault(path string) (fault, help string) {
	info, err := os.Stat(path)
	switch {
	case isRepository(path + ".git"): // git tries that name too
		return "", ""
	case os.IsNotExist(err):
		return fmt.Sprintf("there is no folder %s on this machine", path), "write the path or the URL of the repository"
	case err != nil:
		return fmt.Sprintf("%s cannot be read: %v", path, err), "let the user of the control plane read it"
	case !info.IsDir() || isRepository(path): // a file may be a bundle
		return "", ""
	}
	for above := filepath.Dir(path); above != filepath.Dir(above); above = filepath.Dir(above) {
		if !isRepository(above) {
			continue
		}
		up, err := filepath.Rel(path, above)
		if err != nil {
			break
		}
		return fmt.Sprintf("the folder %s is a part of the Git repository %s, and not a repository itself", path, above),
			fmt.Sprintf("write url: %s for the repository as a whole, or make the folder a repository of its own: git init, git add, git commit", up)
	}
	return fmt.Sprintf("the folder %s is no Git repository", path), "make it one (git init, git add, git commit), or write the path or the URL of the repository"
}

// isRepository tells whether a folder is a repository, bare or with a work tree.
func isRepository(dir string) bool {
	for _, names := range [][]string{{".git"}, {"HEAD", "objects", "refs"}} {
		all := true
		for _, name := range names {
			_, err := os.Stat(filepath.Join(dir, name))
			all = all && err == nil
		}
		if all {
			return true
		}
	}
	return false
}
