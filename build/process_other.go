//go:build !linux

package build

import (
	"syscall"
	"time"
)

func attributes(a account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a.name != "" {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: a.groups}
	}
	return attr
}

// adoptOrphans has no equal here: a process that leaves its session outlives
// the build.
func adoptOrphans() error { return nil }

type process struct {
	pid     int
	started uint64
}

func readProcess(pid int) (process, bool) {
	return process{pid: pid}, syscall.Kill(pid, 0) == nil
}

// end ends the process groups of a build's shells.
func (m mark) end(grace time.Duration) {
	for _, pid := range m.sessions {
		syscall.Kill(-pid, syscall.SIGTERM) //nolint:errcheck // gone is what we want
	}
	deadline := time.Now().Add(grace)
	for _, pid := range m.sessions {
		for syscall.Kill(-pid, 0) == nil && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
		syscall.Kill(-pid, syscall.SIGKILL) //nolint:errcheck
	}
}
