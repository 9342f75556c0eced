//go:build !linux

package fleet

import (
	"syscall"
	"time"
)

func attributes(*int) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd: other systems cannot say.
func awaitEnd(int) bool { return false }

// treeUsage: other systems do not tell without a library of their own.
func treeUsage(int) (time.Duration, int64, bool) { return 0, 0, false }

// killMarked: other systems do not show environments; the guard ends process groups.
func killMarked([]string) int { return 0 }

func marked(int, []string) bool { return false }

// openFiles: other systems do not tell.
func openFiles(int) int { return 0 }
