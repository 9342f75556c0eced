package build

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/internal/filelock"
	"showrunner/problem"
	"showrunner/stage"
)

// Places bound how many builds run at once on a host. A place is a file that a
// build's supervisor has locked for as long as the build runs, so that it is given
// back however that ends, and counts whoever watches the build. Who waits for one
// has a file too, with the time of its arrival: control planes of one data folder
// have one queue, and it is there after a restart.
type Places struct {
	dir string
	n   int
	now func() time.Time
}

// NewPlaces makes n places in a folder, which are those of every process that has it.
func NewPlaces(dir string, n int, now func() time.Time) *Places {
	return &Places{dir: dir, n: n, now: now}
}

const (
	// waitsAgain is how often who waits asks again although nobody woke it.
	waitsAgain = 5 * time.Second
	// waitsNoMore is when one that has not asked again is taken for gone.
	waitsNoMore = 3 * waitsAgain

	serviceFile  = "service"
	placePrefix  = "place."
	ticketPrefix = "waits."
)

// ticket is a build that waits for a place.
type ticket struct {
	Key         stage.Key `json:"key"`
	Application string    `json:"application"`
	Arrived     time.Time `json:"arrived"`
}

func (t ticket) file() string { return ticketPrefix + uuid(t.Key, 1) }

// standing is how it stands with one that waits.
type standing struct {
	running int // builds on this host
	before  int // that wait and come first
}

func (s standing) String() string {
	text := fmt.Sprintf("waits for a place: %s here", count(s.running, "build runs", "builds run"))
	if s.before > 0 {
		text += ", " + count(s.before, "waits", "wait") + " before it"
	}
	return text
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// inOrder is the order in which places are given: to the application that has the
// fewest, and of its builds to the one that came first.
func inOrder(running []string, waiting []ticket) (order []ticket) {
	has := map[string]int{}
	for _, application := range running {
		has[application]++
	}
	rest := slices.Clone(waiting)
	for len(rest) > 0 {
		next := slices.MinFunc(rest, func(a, b ticket) int {
			return cmp.Or(cmp.Compare(has[a.Application], has[b.Application]), a.Arrived.Compare(b.Arrived), strings.Compare(a.Key.String(), b.Key.String()))
		})
		has[next.Application]++
		order = append(order, next)
		rest = slices.DeleteFunc(rest, func(t ticket) bool { return t.Key == next.Key })
	}
	return order
}

// take gives a place to a build whose turn it is, locked; otherwise it has the
// build wait, and says how that stands. Errors: unavailable.
func (p *Places) take(t ticket) (place *os.File, s standing, err error) {
	err = p.alone(func() error {
		running, free, waiting, err := p.read()
		if err != nil {
			return err
		}
		waiting = append(slices.DeleteFunc(waiting, func(o ticket) bool { return o.Key == t.Key }), t)
		order := inOrder(running, waiting)
		s = standing{running: len(running), before: slices.IndexFunc(order, func(o ticket) bool { return o.Key == t.Key })}
		if s.before >= p.n-len(running) {
			return p.write(t.file(), t)
		}
		name := free[0]
		if err := p.write(name, t); err != nil {
			return err
		}
		if place, err = filelock.Try(filepath.Join(p.dir, name)); err != nil {
			return err
		}
		return p.forget(t)
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
func (p *Places) leave(k stage.Key) error { return p.forget(ticket{Key: k}) }

func (p *Places) forget(t ticket) error {
	err := os.Remove(filepath.Join(p.dir, t.file()))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// turns returns those of the waiting for whom there is a place now.
func (p *Places) turns() (keys []stage.Key, err error) {
	err = p.alone(func() error {
		running, _, waiting, err := p.read()
		order := inOrder(running, waiting)
		for _, t := range order[:min(len(order), max(0, p.n-len(running)))] {
			keys = append(keys, t.Key)
		}
		return err
	})
	return keys, err
}

// alone calls do while no other process of this host looks at the places.
func (p *Places) alone(do func() error) error {
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

// read looks at everything: the applications that have a place, the names of free
// places, of which there is one at least when fewer are taken than there are, and
// who waits.
func (p *Places) read() (running, free []string, waiting []ticket, err error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, nil, nil, err
	}
	since, err := p.served()
	if err != nil {
		return nil, nil, nil, err
	}
	seen := map[string]bool{}
	for _, e := range entries {
		name := filepath.Join(p.dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), placePrefix):
			seen[e.Name()] = true
			lock, err := filelock.Try(name)
			switch {
			case err == nil:
				lock.Close()
				free = append(free, e.Name())
			case errors.Is(err, filelock.ErrHeld):
				var t ticket
				readTicket(name, &t)
				running = append(running, t.Application)
			default:
				return nil, nil, nil, err
			}
		case strings.HasPrefix(e.Name(), ticketPrefix):
			var t ticket
			info, err := e.Info()
			if err != nil || !readTicket(name, &t) {
				continue // gone since
			}
			said := info.ModTime()
			if said.Before(since) {
				said = since
			}
			if p.now().Sub(said) > waitsNoMore {
				os.Remove(name) //nolint:errcheck // the next look tries again
				continue
			}
			waiting = append(waiting, t)
		}
	}
	for i := 1; len(free) == 0 && i <= p.n; i++ {
		if name := placePrefix + strconv.Itoa(i); !seen[name] {
			free = append(free, name)
		}
	}
	return running, free, waiting, nil
}

// service is since when there has always been a control plane here that who waits
// could ask, however often it was started anew, and when one was asked last.
type service struct {
	Since time.Time `json:"since"`
	Asked time.Time `json:"asked"`
}

// served notes that somebody asks, and returns since when that was possible:
// nobody can have said before that it still waits.
func (p *Places) served() (time.Time, error) {
	name := filepath.Join(p.dir, serviceFile)
	var s service
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	now := p.now()
	if err != nil || now.Sub(s.Asked) > waitsNoMore { // the first, or half written
		s.Since = now
	}
	s.Asked = now
	if data, err = json.Marshal(s); err != nil {
		return s.Since, err
	}
	return s.Since, os.WriteFile(name, data, 0o600)
}

func readTicket(name string, t *ticket) bool {
	data, err := os.ReadFile(name)
	return err == nil && json.Unmarshal(data, t) == nil
}

// write replaces what a file says and leaves the file itself, which may be locked.
func (p *Places) write(name string, t ticket) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, name), data, 0o600)
}
