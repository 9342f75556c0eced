package stress

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What has to be left over for others.
const (
	memoryLeft = 256 << 20
	diskLeft   = 1 << 30
)

// Refused says why this system cannot have so much used up by so many programs, "" when
// it can. dir is where a disk is filled.
func Refused(kind Kind, amount float64, programs int, dir string) string {
	switch kind {
	case CPU:
		if amount > float64(runtime.NumCPU()) {
			return fmt.Sprintf("this machine has %d cores, fewer than %g", runtime.NumCPU(), amount)
		}
	case Memory:
		available, err := availableMemory()
		if err != nil {
			return "how much memory is available cannot be found out: " + err.Error()
		}
		if left := available - int64(amount)*int64(programs); left < memoryLeft {
			return fmt.Sprintf("this machine has %d MiB of memory available, and %d MiB have to be left", available>>20, memoryLeft>>20)
		}
	case Disk:
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			return "how much of the disk is free cannot be found out: " + err.Error()
		}
		free := int64(s.Bavail) * s.Bsize
		if left := free - int64(amount)*int64(programs); left < diskLeft {
			return fmt.Sprintf("the disk of %s has %d MiB free, and %d MiB have to be left", dir, free>>20, diskLeft>>20)
		}
	}
	return ""
}

func availableMemory() (int64, error) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "MemAvailable:" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo does not say it")
}

// fill takes bytes of the disk in the present folder. The file has no name, so that
// nothing is left when the process ends, however it does.
func fill(bytes int64) error {
	fd, err := unix.Open(".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		file, err := os.CreateTemp(".", ".fill-")
		if err != nil {
			return err
		}
		if err := os.Remove(file.Name()); err != nil {
			return err
		}
		fd = int(file.Fd())
		defer file.Close()
	}
	if err := unix.Fallocate(fd, 0, 0, bytes); err != nil {
		return fmt.Errorf("taking %d bytes of the disk: %w", bytes, err)
	}
	for {
		time.Sleep(time.Hour) // until it is ended
	}
}
