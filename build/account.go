package build

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"showrunner/problem"
)

// account is whom commands run as. The zero account is this process's own user.
type account struct {
	name     string
	home     string
	uid, gid int
	groups   []uint32
}

// lookupAccount finds the account of run-as. Only root may run commands as
// somebody else. Errors: invalid, precondition.
func lookupAccount(name string) (account, error) {
	if name == "" {
		return account{}, nil
	}
	me, err := user.Current()
	if err == nil && me.Username == name {
		return account{}, nil
	}
	if os.Geteuid() != 0 {
		return account{}, problem.New(problem.Precondition, "build.run-as", "run-as: %s needs root, and this process runs as %s", name, os.Getenv("USER")).
			WithHelp("Run as root, or remove run-as.")
	}
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, problem.Wrap(err, problem.Precondition, "build.run-as", "run-as: %s is no user of this machine", name).
			WithHelp("Create the user, or remove run-as.")
	}
	a := account{name: name, home: u.HomeDir}
	if a.uid, err = strconv.Atoi(u.Uid); err == nil {
		a.gid, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		return account{}, problem.Wrap(err, problem.Precondition, "build.run-as", "run-as: %s has no numeric identity", name)
	}
	ids, _ := u.GroupIds()
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			a.groups = append(a.groups, uint32(n))
		}
	}
	return a, nil
}

func (a account) env() []string {
	if a.name == "" {
		return nil
	}
	return []string{"HOME=" + a.home, "USER=" + a.name, "LOGNAME=" + a.name}
}

// own gives an open file to the account, so that it can be opened again by name.
func (a account) own(f *os.File) error {
	if a.name == "" {
		return nil
	}
	return f.Chown(a.uid, a.gid)
}

// ownTree gives a folder and all in it to the account; links are not followed.
func (a account) ownTree(dir string) error {
	if a.name == "" {
		return nil
	}
	return filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, a.uid, a.gid)
	})
}
