// Package sockpath owns the paths of unix sockets by which the processes of one
// data folder reach each other. A socket's path must fit in about 100 bytes;
// where the data folder's path is too long, a short private folder is used
// instead.
package sockpath

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// limit is safely below the 104 (BSD) and 108 (Linux) bytes of sun_path.
const limit = 100

// Path is the path of the socket with the given name: DIR/run/<name>.sock, or a
// path in the user's folder below the system's temporary folder when that is too
// long. It depends only on its arguments, the user and the system's temporary
// folder, so every process of the user gets the same path. It is an error when
// another user owns that folder, since that user could then listen in it.
func Path(dir, name string) (string, error) {
	if name == "" || name != filepath.Base(name) {
		return "", fmt.Errorf("%q is not a valid name of a socket", name)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if path := filepath.Join(abs, "run", name+".sock"); len(path) <= limit {
		return path, nil
	}
	sum := sha256.Sum256([]byte(abs))
	hash := hex.EncodeToString(sum[:8])
	// Running processes of earlier versions listen here.
	if before := filepath.Join(os.TempDir(), "showrunner-"+hash, name+".sock"); exists(before) {
		return before, nil
	}
	path := filepath.Join(shared(), hash+"-"+name+".sock")
	if len(path) > limit {
		return "", fmt.Errorf("the path of socket %s is longer than the system allows (%s); use a shorter TMPDIR", name, path)
	}
	if exists(filepath.Dir(path)) {
		return path, private(filepath.Dir(path))
	}
	return path, nil
}

// shared is the user's folder for the sockets of every data folder with a long
// path.
func shared() string {
	return filepath.Join(os.TempDir(), "showrunner-"+strconv.Itoa(os.Geteuid()))
}

// abandoned is the age from which a socket without a listener counts as left
// behind: a younger one may be about to listen.
const abandoned = time.Minute

// sweep removes the sockets that killed processes have left in the shared folder.
// No other code would remove those of deleted data folders.
func sweep(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // the listener checks that the folder belongs to this user
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || e.Type() != os.ModeSocket || now.Sub(info.ModTime()) < abandoned {
			continue
		}
		path := filepath.Join(dir, e.Name())
		conn, err := net.DialTimeout("unix", path, 100*time.Millisecond)
		if err == nil {
			conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(path) // another process may be faster
		}
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// Listen makes the socket: mode 0600, in a folder of mode 0700 that belongs to
// this user. A socket left by a dead process is replaced; a socket that answers
// is an error.
func Listen(dir, name string) (net.Listener, error) {
	path, err := Path(dir, name)
	if err != nil {
		return nil, err
	}
	if err := private(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if filepath.Dir(path) == shared() {
		sweep(filepath.Dir(path), time.Now())
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("another process answers on %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// private makes sure that dir exists, belongs to this user, and is closed to
// others: another user may have made the folder in a shared temporary folder.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || (ok && int(st.Uid) != os.Geteuid()) {
		return fmt.Errorf("%s is not a folder of this user", dir)
	}
	if info.Mode().Perm() == 0o700 {
		return nil
	}
	return os.Chmod(dir, 0o700)
}

// Client is an HTTP client for the process that listens at a socket's path,
// whatever host a request names. It keeps no connection open, since another
// process may listen at the next request.
func Client(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
}
