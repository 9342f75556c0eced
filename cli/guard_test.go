//go:build linux

package cli_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKilledBuildLeavesNothing kills the build command with no chance to clean
// up: what it had started ends, and its folder goes.
func TestKilledBuildLeavesNothing(t *testing.T) {
	t.Parallel()
	tmp, dir := t.TempDir(), t.TempDir()
	spec := "version: 0.2\nphases:\n  build:\n    commands:\n      - (setsid sleep 300 >/dev/null 2>&1 & echo pid=$!); echo folder=$CODEBUILD_SRC_DIR\n      - sleep 300\n"
	if err := os.WriteFile(filepath.Join(dir, "buildspec.yml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("showrunner", "build", dir)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, folder := 0, ""
	for lines := bufio.NewScanner(log); folder == "" && lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "pid="); ok {
			pid, _ = strconv.Atoi(v)
		}
		folder, _ = strings.CutPrefix(lines.Text(), "folder=")
		if !strings.HasPrefix(lines.Text(), "folder=") {
			folder = ""
		}
	}
	if pid == 0 || folder == "" {
		cmd.Process.Kill()
		t.Fatal("the build did not start")
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait() //nolint:errcheck // it was killed
	ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000)
	for errors.Is(err, unix.EINTR) {
		ready, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000)
	}
	if err != nil || ready != 1 {
		unix.Kill(pid, syscall.SIGKILL)
		t.Fatal("a process of the build outlives it")
	}
	gone(t, filepath.Dir(folder))
}

// gone waits until a folder is gone.
func gone(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(dir), unix.IN_DELETE); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 30_000); n == 0 && err == nil {
			t.Fatalf("%s is still there", dir)
		}
		var buf [4096]byte
		if _, err := unix.Read(fd, buf[:]); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
}
