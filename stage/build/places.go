package build

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/internal/filelock"
	"showrunner/problem"
	"showrunner/stage"
)

// Places bound how many builds run at once on a host. A place is a file that a
// build's supervisor has locked for as long as the build runs, so that it is given
// back however that ends, and counts whichever process watches the build.
//
// The builds that wait are kept in the memory of the process that owns their
// executions; a build that waits costs nothing until its turn comes. Their order is
// that of their arrival, which each task keeps in its own state, so another process
// that takes the execution over puts the build back where it was. Control planes
// that share the folder tell each other in a file which of their builds come first.
type Places struct {
	// Owns says whether an execution is this process's. A build of one that another
	// process has taken over does not wait here any longer; nil: all are.
	Owns func(execution string) bool

	dir   string
	n     int
	now   func() time.Time
	freed chan struct{} // capacity 1: a place may be free

	mu      sync.Mutex
	waiting waitingBuilds
	queue   *os.File // the file that tells others what waits here, locked; nil: none yet
	said    []byte   // what it says
	saidAt  time.Time
}

// NewPlaces makes n places in a folder, which are those of every process that has it.
func NewPlaces(dir string, n int, now func() time.Time) *Places {
	return &Places{dir: dir, n: n, now: now, freed: make(chan struct{}, 1)}
}

const (
	// lookEvery is how often a process that has builds waiting looks for free places
	// although nobody told it of one.
	lookEvery = time.Second
	// silentAfter is when a process that shares the folder and has said nothing holds
	// nobody up any longer.
	silentAfter = 5 * time.Second

	// comesWithin is how long a build that was told of its turn may take to come for
	// its place; then it waits no longer, and queues again when it does come.
	comesWithin = 10 * time.Second
	// maxTold bounds how many builds a process tells the others about.
	maxTold = 512

	placePrefix = "place."
	queuePrefix = "queue."
)

// standing is how it stands with a build that waits.
type standing struct {
	running int // builds on this host
	before  int // that waited in this process when it came
}

// String says what the build waits for, which stays true as long as it waits.
func (s standing) String() string {
	return fmt.Sprintf("waits for a place: %s here", count(s.running, "build runs", "builds run"))
}

// Arrival is String with what was found on arrival.
func (s standing) Arrival() string {
	if s.before > 0 {
		return s.String() + ", " + count(s.before, "waits", "wait") + " already"
	}
	return s.String()
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// take gives a place to a build whose turn it is, locked; otherwise it has the
// build wait, and says how that stands. Errors: unavailable.
func (p *Places) take(t ticket) (place *os.File, s standing, err error) {
	err = p.alone(func() error {
		v, err := p.look()
		if err != nil {
			return err
		}
		s = standing{running: len(v.running), before: p.waiting.without(t.Key)}
		p.waiting.add(t)
		next, err := p.next(v)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(next, func(o ticket) bool { return o.Key == t.Key }) {
			if place, err = p.lockPlace(v.free[0], t); err != nil {
				return err
			}
			p.waiting.remove(t.Key)
		}
		return p.tell()
	})
	if err != nil {
		if place != nil {
			place.Close()
		}
		return nil, s, problem.Wrap(err, problem.Unavailable, "build.place", "folder %s", p.dir)
	}
	return place, s, nil
}

// leave has a build wait no longer.
func (p *Places) leave(k stage.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.remove(k)
}

// turns returns those of the waiting, of all processes, for whom there is a place
// now. The caller tells them.
func (p *Places) turns() (keys []stage.Key, err error) {
	err = p.alone(func() error {
		v, err := p.look()
		if err != nil {
			return err
		}
		next, err := p.next(v)
		if err != nil {
			return err
		}
		for _, t := range next {
			if p.waiting.tell(t.Key, p.now()) {
				keys = append(keys, t.Key)
			}
		}
		return p.tell()
	})
	return keys, err
}

// spare returns the applications that have a place, once for each, and how many more
// places are free than builds of this host wait for one.
func (p *Places) spare() (running []string, free int, err error) {
	err = p.alone(func() error {
		v, err := p.look()
		if err != nil {
			return err
		}
		next, err := p.next(v)
		running, free = v.running, len(v.free)-len(next)
		return err
	})
	return running, free, err
}

// takeSpare gives a place to another host's build, locked; nil when there is none that
// no build of this host waits for. Errors: unavailable.
func (p *Places) takeSpare(t ticket) (place *os.File, err error) {
	err = p.alone(func() error {
		v, err := p.look()
		if err != nil {
			return err
		}
		next, err := p.next(v)
		if err != nil || len(next) >= len(v.free) {
			return err
		}
		place, err = p.lockPlace(v.free[len(next)], t)
		return err
	})
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "build.place", "folder %s", p.dir)
	}
	return place, nil
}

// lockPlace gives a free place to a build. The caller is alone.
func (p *Places) lockPlace(name string, t ticket) (*os.File, error) {
	if err := p.write(name, t); err != nil {
		return nil, err
	}
	return filelock.Try(filepath.Join(p.dir, name))
}

// firstWaiting returns the first n builds of each application that wait here.
func (p *Places) firstWaiting(n int) []ticket {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heads(n)
}

// waits says how many builds wait here.
func (p *Places) waits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting.byKey)
}

// next returns the builds of all processes that the free places are for. The caller
// is alone.
func (p *Places) next(v view) ([]ticket, error) {
	if len(v.free) == 0 {
		return nil, nil
	}
	others, err := p.others(v.queues)
	if err != nil {
		return nil, err
	}
	return inOrder(v.running, append(p.heads(len(v.free)), others...), len(v.free)), nil
}

// heads are the first n builds of each application that wait here, without those
// whose execution is another process's by now and those that did not come.
func (p *Places) heads(n int) []ticket {
	now := p.now()
	return p.waiting.first(n, func(t ticket) bool {
		return (p.Owns == nil || p.Owns(t.Key.Execution)) && (t.told.IsZero() || now.Sub(t.told) < comesWithin)
	})
}

// alone calls do while no other goroutine or process of this host looks at the places.
func (p *Places) alone(do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	lock, err := filelock.Wait(filepath.Join(p.dir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	return do()
}

// view is what the folder shows.
type view struct {
	running []string // the applications that have a place, once for each
	free    []string // names of the places that may be given
	queues  []string // names of the files in which processes tell what waits
}

func (p *Places) look() (v view, err error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return v, err
	}
	places := map[string]bool{}
	for _, e := range entries {
		name := filepath.Join(p.dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), queuePrefix):
			v.queues = append(v.queues, name)
			continue
		case strings.HasPrefix(e.Name(), "waits."): // of a version that kept a file for each build
			os.Remove(name) //nolint:errcheck // the next look tries again
			continue
		case !strings.HasPrefix(e.Name(), placePrefix):
			continue
		}
		places[e.Name()] = true
		lock, err := filelock.Try(name)
		switch {
		case err == nil:
			lock.Close()
			v.free = append(v.free, e.Name())
		case errors.Is(err, filelock.ErrHeld):
			var t ticket
			readJSON(name, &t) //nolint:errcheck // then its application is not known
			v.running = append(v.running, t.Application)
		default:
			return v, err
		}
	}
	for i := 1; len(places) < p.n && i <= p.n; i++ {
		if name := placePrefix + strconv.Itoa(i); !places[name] {
			places[name] = true
			v.free = append(v.free, name)
		}
	}
	v.free = v.free[:min(len(v.free), max(0, p.n-len(v.running)))]
	return v, nil
}

// queueSaid is what a process tells those it shares the folder with.
type queueSaid struct {
	At    time.Time `json:"at"`
	First []ticket  `json:"first"` // of each application
}

// tell has the other processes know which builds here come first, when there is a
// process to be told and something new to say. The caller is alone.
func (p *Places) tell() error {
	if len(p.waiting.byKey) == 0 && p.queue == nil {
		return nil
	}
	if p.queue == nil {
		var err error
		if p.queue, err = filelock.Try(filepath.Join(p.dir, queuePrefix+rand.Text())); err != nil {
			return err
		}
	}
	heads := p.heads(p.n)
	slices.SortFunc(heads, byArrival)
	first, err := json.Marshal(heads[:min(len(heads), maxTold)])
	now := p.now()
	if err != nil || bytes.Equal(first, p.said) && now.Sub(p.saidAt) < lookEvery {
		return err
	}
	p.said, p.saidAt = first, now
	data, err := json.Marshal(queueSaid{At: now, First: heads[:min(len(heads), maxTold)]})
	if err != nil {
		return err
	}
	if err := p.queue.Truncate(0); err != nil {
		return err
	}
	_, err = p.queue.WriteAt(data, 0)
	return err
}

// others reads which builds of the other processes come first. A process that is
// gone, or has said nothing for a while, has none. The caller is alone.
func (p *Places) others(files []string) (first []ticket, err error) {
	for _, name := range files {
		if p.queue != nil && name == p.queue.Name() {
			continue
		}
		lock, err := filelock.Try(name)
		if err == nil { // its process is gone
			os.Remove(name) //nolint:errcheck // the next look tries again
			lock.Close()
			continue
		}
		if !errors.Is(err, filelock.ErrHeld) {
			return nil, err
		}
		var said queueSaid
		if readJSON(name, &said) == nil && p.now().Sub(said.At) < silentAfter {
			first = append(first, said.First...)
		}
	}
	return first, nil
}

func readJSON(name string, v any) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// write replaces what a file says and leaves the file itself, which may be locked.
func (p *Places) write(name string, t ticket) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, name), data, 0o600)
}
