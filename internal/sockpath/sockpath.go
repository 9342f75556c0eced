// Package sockpath owns where the processes of one data folder find each
// other's unix sockets. A socket's path must fit in about 100 bytes; where the
// data folder is too deep, a short private folder takes its place.
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

// Path is where the socket of that name lives: DIR/run/<name>.sock, or a path
// in the user's folder under the system's temporary one when that is too long. It
// depends on nothing but its arguments, the user and the system's temporary
// folder, so that every process of the user comes to the same answer. A folder
// there that is somebody else's is an error: so may be who listens in it.
func Path(dir, name string) (string, error) {
	if name == "" || name != filepath.Base(name) {
		return "", fmt.Errorf("%q is no name for a socket", name)
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
	// Where processes of earlier versions listen that are still there.
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

// shared is the user's folder for sockets of every data folder that is too deep.
func shared() string {
	return filepath.Join(os.TempDir(), "showrunner-"+strconv.Itoa(os.Geteuid()))
}

// abandoned is for how long a socket has to be there before it counts as left
// behind: one that is younger may be about to listen.
const abandoned = time.Minute

// sweep removes the sockets that killed processes have left in the shared
// folder: of data folders that are gone nobody else would.
func sweep(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // the folder of this user is checked by whoever listens in it
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
// this user. A socket left behind by a dead process is replaced; one that
// answers is an error.
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

// private makes sure that dir exists, is ours, and is closed to others: a
// folder in a shared temporary folder may have been made by somebody else.
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

// Client speaks HTTP to whoever listens at a socket's path, whatever host a
// request names. It keeps no connection: who listens may be another one next time.
func Client(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
}
