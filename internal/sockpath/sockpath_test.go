package sockpath_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"showrunner/internal/sockpath"
)

func TestDeepFoldersGetAShortPath(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	t.Setenv("TMPDIR", "/tmp")
	a, err := sockpath.Path(deep, "region-us-west-2")
	if err != nil {
		t.Fatal(err)
	}
	b, err := sockpath.Path(deep+"x", "region-us-west-2")
	if err != nil {
		t.Fatal(err)
	}
	if len(a) > 100 || a == b {
		t.Errorf("paths %q and %q: want two different short ones", a, b)
	}
}

func TestListenIsPrivateAndReplacesOnlyTheDead(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := sockpath.Listen(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	path, _ := sockpath.Path(dir, "a")
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, error %v; want %v", p, info.Mode().Perm(), err, want)
		}
	}
	if second, err := sockpath.Listen(dir, "a"); err == nil {
		second.Close()
		t.Error("a second listener took over a living socket")
	}
	l.Close()
	// A killed process leaves a socket file without a listener.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := sockpath.Listen(dir, "a")
	if err != nil {
		t.Fatalf("a dead socket was not replaced: %v", err)
	}
	again.Close()
}

// TestDeepFoldersLeaveOneFolder: however many data folders there were, one folder
// is left, closed to others. A folder that others can write to is refused.
func TestDeepFoldersLeaveOneFolder(t *testing.T) {
	temp, err := os.MkdirTemp("/tmp", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	t.Setenv("TMPDIR", temp)
	for i := range 3 {
		l, err := sockpath.Listen(filepath.Join(temp, strings.Repeat("deep/", 30), strconv.Itoa(i)), "a")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 1 {
		t.Fatalf("%v, %v: want one folder", left, err)
	}
	folder := filepath.Join(temp, left[0].Name())
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if inside, err := os.ReadDir(folder); err != nil || len(inside) != 0 {
		t.Errorf("%v, %v: want nothing in it", inside, err)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), folder); err != nil {
		t.Fatal(err)
	}
	if path, err := sockpath.Path(filepath.Join(temp, strings.Repeat("deep/", 30)), "a"); err == nil {
		t.Errorf("%s leads through a link", path)
	}
}

func TestNamesAreNoPaths(t *testing.T) {
	for _, name := range []string{"", "../x", "a/b"} {
		if p, err := sockpath.Path("/d", name); err == nil {
			t.Errorf("Path(%q) = %q", name, p)
		}
	}
}

// TestSocketsOfKilledProcessesAreRemoved: a process that listens in the shared
// folder removes the sockets that killed processes have left there, but no living
// or recent socket.
func TestSocketsOfKilledProcessesAreRemoved(t *testing.T) {
	tmp, err := os.MkdirTemp("", "sp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	t.Setenv("TMPDIR", tmp)
	shared := filepath.Join(tmp, "showrunner-"+strconv.Itoa(os.Geteuid()))
	if err := os.Mkdir(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	socket := func(name string, dead bool, made time.Time) string {
		path := filepath.Join(shared, name)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		if l.SetUnlinkOnClose(false); dead {
			l.Close() // as after kill -9: the file stays
		} else {
			t.Cleanup(func() { l.Close() })
		}
		if err := os.Chtimes(path, made, made); err != nil {
			t.Fatal(err)
		}
		return path
	}
	left := socket("killed.sock", true, old)
	young := socket("young.sock", true, time.Now())
	live := socket("live.sock", false, old)
	l, err := sockpath.Listen(filepath.Join(tmp, strings.Repeat("deep/", 30)), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := os.Lstat(left); err == nil {
		t.Error("the socket of a killed process is still there")
	}
	for _, path := range []string{young, live} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s was removed", filepath.Base(path))
		}
	}
}
