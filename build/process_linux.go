package build

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attributes make the shell the leader of a session of its own, so that no
// signal of a terminal reaches it, and end it with this process.
func attributes(a account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if a.name != "" {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: a.groups}
	}
	return attr
}

// adoptOrphans makes this process the parent of what a build leaves behind.
func adoptOrphans() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// process is one line of the system's table.
type process struct {
	pid, parent, session int
	started              uint64 // clock ticks since boot: with pid, an identity
	zombie               bool
}

func readProcess(pid int) (process, bool) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, false
	}
	// The name of the program, in parentheses, may hold anything.
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(f) < 20 {
		return process{}, false
	}
	p := process{pid: pid, zombie: f[0] == "Z" || f[0] == "X"}
	p.parent, _ = strconv.Atoi(f[1])
	p.session, _ = strconv.Atoi(f[3])
	p.started, _ = strconv.ParseUint(f[19], 10, 64)
	return p, true
}

func allProcesses() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var list []process
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := readProcess(pid); ok {
				list = append(list, p)
			}
		}
	}
	return list
}

// belongs finds the living processes of a build: those in its sessions, those
// that carry its mark in their environment, what descends from them, and, when
// this process runs nothing else, whatever descends from this process.
func (m mark) belongs() []process {
	all := allProcesses()
	ours := map[int]bool{}
	for _, p := range all {
		if p.pid == os.Getpid() || p.pid == m.spare {
			continue
		}
		if slices.Contains(m.sessions, p.session) || m.in(p.pid) || m.exclusive && p.parent == os.Getpid() {
			ours[p.pid] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !ours[p.pid] && ours[p.parent] {
				ours[p.pid], grown = true, true
			}
		}
	}
	var list []process
	for _, p := range all {
		if ours[p.pid] {
			if p.zombie {
				// Orphans alone: a shell is waited for by its starter, and would not be found.
				if p.parent == os.Getpid() && m.exclusive && !slices.Contains(m.sessions, p.pid) {
					syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil) //nolint:errcheck // another wait got it
				}
				continue
			}
			list = append(list, p)
		}
	}
	return list
}

func (m mark) in(pid int) bool {
	if m.value == "" {
		return false
	}
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && strings.Contains("\x00"+string(env), "\x00"+markVariable+"="+m.value+"\x00")
}

// end ends all processes of a build: it asks them first, and after grace it
// does not ask. It returns when none is left.
func (m mark) end(grace time.Duration) {
	deadline := time.Now().Add(grace)
	signal := syscall.SIGTERM
	for {
		list := m.belongs()
		if len(list) == 0 {
			return
		}
		if !time.Now().Before(deadline) {
			signal = syscall.SIGKILL
		}
		fds := make([]unix.PollFd, 0, len(list))
		for _, p := range list {
			fd, err := unix.PidfdOpen(p.pid, 0)
			if err != nil {
				continue
			}
			// The identity is certain only now that the descriptor holds it.
			if now, ok := readProcess(p.pid); !ok || now.started != p.started {
				unix.Close(fd)
				continue
			}
			unix.PidfdSendSignal(fd, signal, nil, 0)          //nolint:errcheck // gone is what we want
			unix.PidfdSendSignal(fd, syscall.SIGCONT, nil, 0) //nolint:errcheck // a stopped one must hear it
			fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
		left := time.Until(deadline)
		if signal == syscall.SIGKILL {
			left = 5 * time.Second
		}
		waitAll(fds, left)
	}
}

// waitAll waits until all of the processes have ended, or the time is over.
func waitAll(fds []unix.PollFd, limit time.Duration) {
	deadline := time.Now().Add(limit)
	defer func() {
		for _, fd := range fds {
			unix.Close(int(fd.Fd))
		}
	}()
	open := slices.Clone(fds)
	for len(open) > 0 {
		left := time.Until(deadline)
		if left <= 0 {
			return
		}
		if _, err := unix.Poll(open, int(left/time.Millisecond)+1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		open = slices.DeleteFunc(open, func(p unix.PollFd) bool { return p.Revents != 0 })
	}
}
