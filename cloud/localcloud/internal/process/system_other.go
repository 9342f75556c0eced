//go:build !linux

package process

import (
	"syscall"
	"time"
)

func attributes(*int) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd is not supported on other systems.
func awaitEnd(int) bool { return false }

// treeUsage is not supported: other systems report no usage without a library of
// their own.
func treeUsage(int) (time.Duration, int64, bool) { return 0, 0, false }

// KillMarked does nothing: other systems do not show environments, so only the
// guard ends process groups.
func KillMarked([]string) int { return 0 }

func Marked(int, []string) bool { return false }

// OpenFiles is not supported on other systems.
func OpenFiles(int) int { return 0 }
