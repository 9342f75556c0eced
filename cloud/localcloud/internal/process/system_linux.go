package process

import (
	"bytes"
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

// clockTick is USER_HZ, which Linux fixes at 100 for every architecture Go runs on.
const clockTick = time.Second / 100

// attributes request a process group, death with the starting thread, and a
// descriptor that reports the end of the process.
func attributes(pidfd *int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: pidfd}
}

// awaitEnd returns when the process has ended but has not been waited for, so
// that its process id and group id cannot be reused yet. It holds a goroutine; a
// plain wait would hold a system thread for each instance. It returns false at
// once where the kernel (before 5.4) does not support this.
func awaitEnd(pidfd int) bool {
	if pidfd < 0 {
		return false
	}
	if err := unix.SetNonblock(pidfd, true); err != nil {
		unix.Close(pidfd)
		return false
	}
	file := os.NewFile(uintptr(pidfd), "pidfd")
	defer file.Close()
	conn, err := file.SyscallConn()
	if err != nil {
		return false
	}
	var ended bool
	err = conn.Read(func(fd uintptr) bool {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		ended = err == nil && info.Signo != 0
		return ended || err != nil && err != unix.EAGAIN && err != unix.EINTR
	})
	return err == nil && ended
}

// treeUsage sums a process and its descendants. Ended processes count once their
// parent has waited for them.
func treeUsage(root int) (cpu time.Duration, memory int64, ok bool) {
	page := int64(os.Getpagesize())
	todo := []int{root}
	for len(todo) > 0 && len(todo) < 4096 {
		pid := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		dir := "/proc/" + strconv.Itoa(pid)
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // the process ended meanwhile
		}
		// The second field is a name in parentheses and may hold any character.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 22 {
			continue
		}
		ok = true
		for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			cpu += time.Duration(n) * clockTick
		}
		rss, _ := strconv.ParseInt(fields[21], 10, 64)
		memory += rss * page
		tasks, _ := filepath.Glob(dir + "/task/*/children")
		for _, t := range tasks {
			text, _ := os.ReadFile(t)
			for _, c := range strings.Fields(string(text)) {
				if n, err := strconv.Atoi(c); err == nil {
					todo = append(todo, n)
				}
			}
		}
	}
	return cpu, memory, ok
}

// endWithin bounds how long a scan waits for killed processes to be gone: a
// process that waits for the disk dies only after the disk's answer.
const endWithin = 5 * time.Second

// KillMarked reads every environment that it may read, kills the processes that
// carry one of the marks, and returns once they are gone.
func KillMarked(marks []string) int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	found := 0
	var ending []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !Marked(pid, marks) {
			continue
		}
		// The process id may have been reused meanwhile. So the process is killed
		// through its descriptor, after its environment has been read again.
		fd, err := unix.PidfdOpen(pid, 0)
		switch {
		case errors.Is(err, unix.ENOSYS): // before Linux 5.3
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				found++
			}
		case err != nil: // the process ended meanwhile
		case Marked(pid, marks) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil:
			found++
			ending = append(ending, fd)
		default:
			unix.Close(fd)
		}
	}
	deadline := time.Now().Add(endWithin)
	for _, fd := range ending {
		awaitPidfd(fd, deadline)
		unix.Close(fd)
	}
	return found
}

// Marked says whether a process carries one of the marks. A process that is
// executing another program (execve) has no environment for a moment, so it is
// read again until it has one. Otherwise the process would be missed.
func Marked(pid int, marks []string) bool {
	dir := "/proc/" + strconv.Itoa(pid)
	begun := 0
	for range 200 {
		env, err := os.ReadFile(dir + "/environ")
		if err != nil {
			return false
		}
		if len(env) > 0 {
			if !bytes.Contains(env, []byte("SHOWRUNNER_")) {
				return false
			}
			variables := strings.Split(string(env), "\x00")
			return slices.ContainsFunc(marks, func(mark string) bool { return slices.Contains(variables, mark) })
		}
		// Kernel threads and ended processes have no program.
		if _, err := os.Readlink(dir + "/exe"); err != nil {
			return false
		}
		// Arguments appear shortly before the environment; once they are there,
		// an empty environment is final.
		if args, err := os.ReadFile(dir + "/cmdline"); err != nil || len(args) > 0 {
			if begun++; err != nil || begun > 2 {
				return false
			}
		}
		pause := unix.NsecToTimespec(int64(100 * time.Microsecond))
		_ = unix.Nanosleep(&pause, nil)
	}
	return false
}

// awaitPidfd waits until the process has ended or the deadline has passed.
func awaitPidfd(fd int, deadline time.Time) {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

// OpenFiles counts a process's file descriptors; 0 when they cannot be read.
func OpenFiles(pid int) int {
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
