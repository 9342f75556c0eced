package server

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"showrunner/problem"
)

// sharedToken is the token of the shared folder, which the data folder gets too,
// so that the command line finds it there.
func (c *controlPlane) sharedToken() (string, error) {
	token, err := LoadToken(c.Shared)
	if err != nil || c.Shared == c.Data {
		return token, err
	}
	name := filepath.Join(c.Data, "token")
	if err = os.WriteFile(name+".new", []byte(token+"\n"), 0o600); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return "", problem.Wrap(err, problem.Precondition, "server.token", "writing %s", name)
	}
	return token, nil
}

// LoadToken reads the API token of a data folder, and makes one when there is none.
func LoadToken(data string) (string, error) {
	const op = "server.token"
	name := filepath.Join(data, "token")
	raw, err := os.ReadFile(name)
	if err == nil {
		token := strings.TrimSpace(string(raw))
		if len(token) < 20 {
			return "", problem.New(problem.Precondition, op, "%s holds no token", name).WithHelp("remove the file; a new token is made at the next start")
		}
		return token, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", problem.Wrap(err, problem.Precondition, op, "reading %s", name)
	}
	token := rand.Text()
	f, err := os.CreateTemp(data, ".token-*") // mode 0600
	if err != nil {
		return "", problem.Wrap(err, problem.Precondition, op, "writing %s", name)
	}
	_, err = f.WriteString(token + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		// Link, not rename: of two starts at once the first one's token stays.
		err = os.Link(f.Name(), name)
	}
	os.Remove(f.Name())
	if errors.Is(err, fs.ErrExist) {
		return LoadToken(data)
	}
	if err != nil {
		return "", problem.Wrap(err, problem.Precondition, op, "writing %s", name)
	}
	return token, nil
}
