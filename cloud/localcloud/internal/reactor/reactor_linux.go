package reactor

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Events say what is new of a descriptor. Each is told once (EPOLLET): who is
// told reads, or writes, until the system has no more.
type Events uint32

// What can be new.
const (
	In   Events = unix.EPOLLIN                                    // something can be read
	Out  Events = unix.EPOLLOUT                                   // there is room to write, or a connection is made
	Gone Events = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR // nothing more will come after what can be read
)

// Handler is told what is new, on the loop's goroutine.
type Handler interface{ Ready(Events) }

// Token names a descriptor at its loop.
type Token struct{ index, generation uint32 }

// Loop waits. Post may be called from any goroutine, everything else on the
// loop's own, or before Run.
type Loop struct {
	epoll, wake int
	slots       []slot
	free        []uint32
	// Panicked is told of a handler that panics, and the loop goes on. nil: it does not.
	Panicked func(any)

	mu     sync.Mutex
	posted []func()
	ended  bool
}

// slot is where a descriptor's handler is found. Its generation tells events of
// an earlier one, which may still be on their way, apart.
type slot struct {
	handler    Handler
	generation uint32
}

// batch is how many events are asked for at once.
const batch = 256

// wakeSlot is the first slot, which nothing is found in.
const wakeSlot = 0

// New makes a loop. Run must be called: it closes what New opened.
func New() (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(epoll))
	}
	l := &Loop{epoll: epoll, wake: wake, slots: make([]slot, 1)}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakeSlot}); err != nil {
		return nil, errors.Join(os.NewSyscallError("epoll_ctl", err), unix.Close(wake), unix.Close(epoll))
	}
	return l, nil
}

// Add has a handler told of a descriptor that does not block: of In and Gone
// always, and of what else is asked for.
func (l *Loop) Add(fd int, also Events, h Handler) (Token, error) {
	index := uint32(len(l.slots))
	if n := len(l.free); n > 0 {
		index, l.free = l.free[n-1], l.free[:n-1]
	} else {
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[index]
	s.handler = h
	event := unix.EpollEvent{Events: uint32(In|Gone|also) | unix.EPOLLET, Fd: int32(index), Pad: int32(s.generation)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		l.forget(index)
		return Token{}, os.NewSyscallError("epoll_ctl", err)
	}
	return Token{index, s.generation}, nil
}

// Remove ends what Add began. The descriptor must still be open, and remains so.
func (l *Loop) Remove(fd int, t Token) {
	if s := l.slots[t.index]; s.handler == nil || s.generation != t.generation {
		return
	}
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) // it was added
	l.forget(t.index)
}

// Close closes a descriptor that was added: that ends what Add began as well.
func (l *Loop) Close(fd int, t Token) {
	if s := l.slots[t.index]; s.handler != nil && s.generation == t.generation {
		l.forget(t.index)
	}
	_ = unix.Close(fd) // nothing was written that could be lost
}

func (l *Loop) forget(index uint32) {
	l.slots[index] = slot{generation: l.slots[index].generation + 1}
	l.free = append(l.free, index)
}

// Post has f called on the loop's goroutine, soon, in the order of posting. It
// says whether it will be: after Run has ended nothing is.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.posted = append(l.posted, f)
	if len(l.posted) == 1 {
		one := [8]byte{1}
		_, _ = unix.Write(l.wake, one[:]) // full: then it is awake
	}
	return true
}

// yieldEvery is how often a loop lets the scheduler choose anew. It chooses the
// same again when it has more processors than loops. After 10 ms it would interrupt
// the loop, and take its processor away while it waits.
const yieldEvery = 5 * time.Millisecond

// Run tells handlers what is new until tick says stop. It is asked first, after
// each batch, and when nothing was new for as long as it said.
func (l *Loop) Run(tick func(now time.Time) (next time.Duration, stop bool)) {
	defer l.end()
	var events [batch]unix.EpollEvent
	var yielded time.Time
	for {
		now := time.Now()
		next, stop := tick(now)
		if stop {
			return
		}
		if now.Sub(yielded) >= yieldEvery {
			yielded = now
			runtime.Gosched()
		}
		n, err := unix.EpollWait(l.epoll, events[:], int(next.Milliseconds()))
		if err != nil && err != unix.EINTR {
			panic(os.NewSyscallError("epoll_wait", err)) // a mistake here: the descriptor is our own
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd == wakeSlot {
				l.runPosted()
			} else if s := l.slots[e.Fd]; s.handler != nil && s.generation == uint32(e.Pad) {
				l.tell(s.handler, Events(e.Events))
			}
		}
	}
}

// tell tells of one event. Whatever goes wrong with it is no other handler's business.
func (l *Loop) tell(h Handler, e Events) {
	defer l.recovered()
	h.Ready(e)
}

func (l *Loop) call(f func()) {
	defer l.recovered()
	f()
}

func (l *Loop) recovered() {
	if l.Panicked == nil {
		return
	}
	if p := recover(); p != nil {
		l.Panicked(p)
	}
}

func (l *Loop) runPosted() {
	var count [8]byte
	_, _ = unix.Read(l.wake, count[:]) // nothing is there when it was read already
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range posted {
		l.call(f)
	}
}

// end runs what was posted in time, and closes.
func (l *Loop) end() {
	for more := true; more; {
		l.runPosted()
		l.mu.Lock()
		more = len(l.posted) > 0
		l.ended = !more
		l.mu.Unlock()
	}
	_, _ = unix.Close(l.epoll), unix.Close(l.wake)
}
