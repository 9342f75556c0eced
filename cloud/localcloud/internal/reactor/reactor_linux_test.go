package reactor_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"showrunner/cloud/localcloud/internal/reactor"
)

// run starts a loop that the test ends.
func run(t *testing.T) *reactor.Loop {
	t.Helper()
	l, err := reactor.New()
	if err != nil {
		t.Fatal(err)
	}
	over, ended := false, make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(func(time.Time) (time.Duration, bool) { return time.Minute, over })
	}()
	t.Cleanup(func() {
		l.Post(func() { over = true })
		<-ended
		if l.Post(func() {}) {
			t.Error("a loop that has ended takes more")
		}
	})
	return l
}

// do has f done on the loop's goroutine, and waits for it.
func do(l *reactor.Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() { defer close(done); f() })
	<-done
}

func pair(t *testing.T) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds[0], fds[1]
}

type handler func(reactor.Events)

func (h handler) Ready(e reactor.Events) { h(e) }

func TestWhatIsNewIsTold(t *testing.T) {
	l := run(t)
	ours, theirs := pair(t)
	told := make(chan reactor.Events, 10)
	var token reactor.Token
	var err error
	do(l, func() { token, err = l.Add(ours, 0, handler(func(e reactor.Events) { told <- e })) })
	if err != nil {
		t.Fatal(err)
	}
	unix.Write(theirs, []byte("hello"))
	if e := <-told; e&reactor.In == 0 || e&reactor.Gone != 0 {
		t.Errorf("events %b", e)
	}
	var text [8]byte
	if n, err := reactor.Read(uintptr(ours), text[:]); err != nil || string(text[:n]) != "hello" {
		t.Errorf("%q, %v", text[:n], err)
	}
	if _, err := reactor.Read(uintptr(ours), text[:]); err != syscall.EAGAIN {
		t.Errorf("reading nothing: %v", err)
	}
	unix.Shutdown(theirs, unix.SHUT_WR)
	if e := <-told; e&reactor.Gone == 0 {
		t.Errorf("events %b", e)
	}
	if n, err := reactor.Write(uintptr(ours), []byte("bye")); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	do(l, func() { l.Close(ours, token) })
	if n, err := unix.Read(theirs, text[:]); err != nil || string(text[:n]) != "bye" {
		t.Errorf("%q, %v", text[:n], err)
	}
}

// Whoever was removed is told nothing more, not even of what had come before, and
// neither is who has its place.
func TestNobodyIsToldOfAnothersEvents(t *testing.T) {
	l := run(t)
	type side struct {
		ours, theirs int
		token        reactor.Token
	}
	var sides [2]side
	for i := range sides {
		sides[i].ours, sides[i].theirs = pair(t)
		defer unix.Close(sides[i].ours)
	}
	silent, _ := pair(t)
	defer unix.Close(silent)
	told := make(chan int, 10)
	do(l, func() {
		for i := range sides {
			sides[i].token, _ = l.Add(sides[i].ours, 0, handler(func(reactor.Events) {
				told <- i
				other := &sides[1-i] // which is ready in the same batch
				l.Remove(other.ours, other.token)
				l.Add(silent, 0, handler(func(reactor.Events) { told <- 2 }))
			}))
			unix.Write(sides[i].theirs, []byte("x"))
		}
	})
	first := <-told
	do(l, func() {})
	if len(told) > 0 {
		t.Errorf("%d was told first, and then %d", first, <-told)
	}
}

func TestAPanicEndsNobodyElse(t *testing.T) {
	l, err := reactor.New()
	if err != nil {
		t.Fatal(err)
	}
	var panics []any
	l.Panicked = func(p any) { panics = append(panics, p) }
	var order []int
	over := false
	l.Post(func() { order = append(order, 1) })
	l.Post(func() { panic("here") })
	l.Post(func() { order = append(order, 2) })
	l.Post(func() { over = true })
	l.Run(func(time.Time) (time.Duration, bool) { return time.Minute, over })
	if !slices.Equal(order, []int{1, 2}) || len(panics) != 1 {
		t.Errorf("%v, %v", order, panics)
	}
}
