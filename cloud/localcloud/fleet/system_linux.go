package fleet

import (
	"bytes"
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

// attributes ask for a process group, death with the starting thread, and a
// descriptor by which the end of the process is noticed.
func attributes(pidfd *int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: pidfd}
}

// awaitEnd returns when the process has ended and not yet been waited for, which
// keeps its number and its group's from being given to others. It holds a
// goroutine; a plain wait would hold a thread of the system for each instance.
// It returns false at once where the kernel (before 5.4) cannot say.
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

// treeUsage sums a process and its descendants. Those that have ended count by
// the time their parent has waited for them.
func treeUsage(root int) (cpu time.Duration, memory int64, ok bool) {
	page := int64(os.Getpagesize())
	todo := []int{root}
	for len(todo) > 0 && len(todo) < 4096 {
		pid := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		dir := "/proc/" + strconv.Itoa(pid)
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // ended meanwhile
		}
		// The second field is a name in parentheses and may hold anything.
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

// killMarked reads every environment of the machine that it may read and kills
// the processes that carry one of the marks.
func killMarked(marks []string) int {
	found := 0
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil || !bytes.Contains(env, []byte(markName)) {
			continue
		}
		variables := strings.Split(string(env), "\x00")
		if slices.ContainsFunc(marks, func(mark string) bool { return slices.Contains(variables, mark) }) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			found++
		}
	}
	return found
}

// openFiles counts a process's file descriptors; 0 when that cannot be read.
func openFiles(pid int) int {
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
