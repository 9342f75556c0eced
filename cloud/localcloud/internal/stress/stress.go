// Package stress is the program that uses up processor time, memory or disk beside an
// instance while a fault asks for it. It owns what that program does and what may be
// asked of it. It refuses to know when it runs: whoever starts it ends it, and nothing
// is left of it then.
package stress

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Kind is what is used up.
type Kind string

// The kinds.
const (
	CPU    Kind = "cpu"    // so many cores
	Memory Kind = "memory" // so many bytes
	Disk   Kind = "disk"   // so many bytes where the program's folder is
)

// variable makes a program that calls Main the one that uses things up.
const variable = "SHOWRUNNER_STRESS"

// Env is the variable with which a program that calls Main does it.
func Env(kind Kind, amount float64) string {
	return variable + "=" + string(kind) + ":" + strconv.FormatFloat(amount, 'f', -1, 64)
}

// Main does what the environment asks for, until the process is ended; it returns at
// once when that asks for nothing.
func Main() {
	asked := os.Getenv(variable)
	if asked == "" {
		return
	}
	kind, text, _ := strings.Cut(asked, ":")
	amount, err := strconv.ParseFloat(text, 64)
	if err == nil {
		err = use(Kind(kind), amount)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// use never returns without an error.
func use(kind Kind, amount float64) error {
	switch kind {
	case CPU:
		burn(amount)
	case Memory:
		held := make([]byte, int64(amount))
		for {
			for at := 0; at < len(held); at += os.Getpagesize() { // again and again, so that it is not swapped out
				held[at]++
			}
			time.Sleep(time.Second)
		}
	case Disk:
		return fill(int64(amount))
	}
	return fmt.Errorf("there is nothing of the kind %s to use up", kind)
}

// period is the time of which a part is used, where it is a part of a core.
const period = 50 * time.Millisecond

// burn uses so many cores.
func burn(cores float64) {
	runtime.GOMAXPROCS(int(cores) + 1)
	for n := 1; n <= int(cores); n++ {
		go func() {
			for x := uint64(1); ; {
				x = x*6364136223846793005 + 1
			}
		}()
	}
	part := time.Duration((cores - float64(int(cores))) * float64(period))
	for {
		for began := time.Now(); time.Since(began) < part; {
		}
		time.Sleep(max(period-part, time.Millisecond))
	}
}
