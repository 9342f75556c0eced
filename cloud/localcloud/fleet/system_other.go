//go:build !linux

package fleet

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

// killMarked does nothing: other systems do not show environments, so only the
// guard ends process groups.
func killMarked([]string) int { return 0 }

func marked(int, []string) bool { return false }

// openFiles is not supported on other systems.
func openFiles(int) int { return 0 }
