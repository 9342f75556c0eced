package server

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes put a child in a process group of its own, which keeps a
// terminal's Ctrl-C away from it, and have the system kill it when the thread
// that started it ends: with a killed supervisor nothing stays behind.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitEnd returns when the process has ended, and leaves it to be waited for:
// until then nobody else can have its number, nor its group's.
func awaitEnd(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
