package build

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"showrunner/build"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// Fleet is the hosts that build for one database, as one of them sees them. A
// host is a data folder on a machine: a process that has both can reach the builds
// that were started there.
type Fleet struct {
	Records Records
	ID      string // of this host
	Name    string // of this host, for people
	// Patience is how long a host may be silent before it counts as lost.
	Patience time.Duration
	// Logs opens a stage's log, for a build that no stage watches.
	Logs func(stage.Key) (io.WriteCloser, error)
	Now  func() time.Time
	Log  *slog.Logger

	mu     sync.Mutex
	heard  map[string]*heard
	looked time.Time
}

// heard is what is known of a host's signs of life.
type heard struct {
	version int64
	quiet   time.Duration // without a new one, while we could have heard it
}

// every is the time between two signs of life.
func (f *Fleet) every() time.Duration {
	return min(max(f.Patience/6, 10*time.Millisecond), 2*time.Second)
}

// lost tells whether a host has been silent for too long. It counts only time
// in which this host was awake and the database answered: when both have been
// away, everybody is silent.
func (f *Fleet) lost(host string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.heard[host]
	if h == nil {
		if f.heard == nil {
			f.heard = map[string]*heard{}
		}
		f.heard[host] = &heard{}
		return false
	}
	return h.quiet >= f.Patience
}

// look gives a sign of life and notes those of the others.
func (f *Fleet) look(ctx context.Context) error {
	if err := f.sign(ctx); err != nil {
		return err
	}
	versions := map[string]int64{}
	for after := ""; ; {
		list, err := f.Records.ListRecords(ctx, hosts, "", after, 500)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		for _, r := range list {
			versions[r.Key], after = r.Version, r.Key
			if f.Now().Sub(r.Updated) > forgetHost && r.Key != f.ID {
				_ = f.Records.DeleteRecord(ctx, hosts, r.Key, r.Version) // the next look tries again
			}
		}
	}
	now := f.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	passed := min(now.Sub(f.looked), 2*f.every())
	if f.looked.IsZero() || passed < 0 {
		passed = 0
	}
	f.looked = now
	for id, h := range f.heard {
		if v := versions[id]; v != h.version {
			h.version, h.quiet = v, 0
		} else {
			h.quiet += passed
		}
	}
	for id, v := range versions {
		if f.heard[id] == nil {
			if f.heard == nil {
				f.heard = map[string]*heard{}
			}
			f.heard[id] = &heard{version: v}
		}
	}
	return nil
}

// forgetHost is when a host that gives no sign of life is no longer known.
const forgetHost = 7 * 24 * time.Hour

func (f *Fleet) sign(ctx context.Context) error {
	data, err := json.Marshal(map[string]string{"name": f.Name})
	if err != nil {
		return problem.Wrap(err, problem.Internal, "build.host", "encoding")
	}
	for {
		r, err := f.Records.GetRecord(ctx, hosts, f.ID)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
		_, err = f.Records.PutRecord(ctx, record.Record{Collection: hosts, Key: f.ID, Version: r.Version, Data: data})
		if problem.CodeOf(err) != problem.Conflict { // of another control plane of this host: that is a sign too
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// Keep gives this host's signs of life until ctx ends, and looks after the
// builds here that no stage watches: it keeps their results, ends those that
// are to be canceled, and those that were started anew elsewhere meanwhile.
func (b *Builder) Keep(ctx context.Context) {
	var followers sync.WaitGroup
	defer followers.Wait()
	t := time.NewTicker(b.Fleet.every())
	defer t.Stop()
	followed := map[string]chan struct{}{}
	for {
		if err := b.Fleet.look(ctx); err != nil && ctx.Err() == nil {
			b.Fleet.Log.Warn("no sign of life could be given for this host's builds; it is tried again", "error", err)
		} else if err == nil {
			for dir, done := range followed {
				select {
				case <-done:
					delete(followed, dir)
				default:
				}
			}
			for _, own := range b.unsettled() {
				dir := b.folder(own.Key, own.Start)
				if followed[dir] != nil {
					continue
				}
				done := make(chan struct{})
				followed[dir] = done
				followers.Go(func() {
					defer close(done)
					if err := b.settle(ctx, own); err != nil && ctx.Err() == nil {
						b.Fleet.Log.Warn("a build that no stage here watches could not be settled; it is tried again", "build", own.Key.String(), "error", err)
					}
				})
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// Files beside those of a supervised build.
const (
	fileClaim   = "claim.json" // whose start of it this is
	fileSettled = "settled"    // what became of it is in the database, or refused
	fileWatched = "watched"    // locked by who copies its log
	fileBegin   = "begin"      // locked by who begins it, or gives it up
)

// noteClaim says in a build's folder whose it is, before anything else is there.
func noteClaim(dir string, c claim) error {
	const op = "build.claim"
	data, err := json.Marshal(claim{Key: c.Key, Host: c.Host, Name: c.Name, Start: c.Start})
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		tmp := filepath.Join(dir, "."+fileClaim)
		if err = os.WriteFile(tmp, data, 0o600); err == nil {
			err = os.Rename(tmp, filepath.Join(dir, fileClaim))
		}
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "folder %s", dir)
	}
	return nil
}

// unsettled lists the builds of this host whose end is not known elsewhere.
func (b *Builder) unsettled() (list []claim) {
	entries, _ := os.ReadDir(b.Folder) // not there: there are none
	for _, e := range entries {
		dir := filepath.Join(b.Folder, e.Name())
		if _, err := os.Stat(filepath.Join(dir, fileSettled)); err == nil {
			continue
		}
		var c claim
		if data, err := os.ReadFile(filepath.Join(dir, fileClaim)); err == nil && json.Unmarshal(data, &c) == nil {
			list = append(list, c)
		}
	}
	return list
}

// settle brings one of them on.
func (b *Builder) settle(ctx context.Context, own claim) error {
	dir := b.folder(own.Key, own.Start)
	h, err := build.Attach(dir)
	if errors.Is(err, build.ErrNotStarted) || errors.Is(err, build.ErrGivenUp) {
		return b.settleUnbegun(ctx, own, dir)
	}
	if err != nil {
		return err
	}
	c, err := b.Fleet.claim(ctx, own.Key)
	if err != nil {
		return err
	}
	switch {
	case !c.same(own):
		if _, err := h.Cancel(ctx, build.ErrStopped); err != nil {
			return err
		}
		b.Fleet.Log.Warn("a build was started anew elsewhere while this host was silent; the one here was ended, its result refused", "build", own.Key.String(), "by", c.Name)
		return settled(dir)
	case c.Result != nil:
		return settled(dir)
	case c.Cancel != "":
		cause := build.ErrStopped
		if c.Cancel == build.ErrTimedOut.Error() {
			cause = build.ErrTimedOut
		}
		if _, err := h.Cancel(ctx, cause); err != nil {
			return err
		}
	}
	if err := b.follow(ctx, own, h); errors.Is(err, stage.ErrDetached) || errors.Is(err, build.ErrNotStarted) {
		return nil // it goes on, or its stage starts it again
	} else if err != nil {
		return err
	}
	return settled(dir)
}

// settleUnbegun brings a start on that has not begun. Its stage here is about to
// begin it, or finds that it was not begun; but when the stage is another host's by now,
// which waits for the result, the start is given up.
func (b *Builder) settleUnbegun(ctx context.Context, own claim, dir string) error {
	c, err := b.Fleet.claim(ctx, own.Key)
	switch {
	case err != nil:
		return err
	case c.Start > own.Start || c.Start == own.Start && c.Host != own.Host:
		return settled(dir) // another host's start
	case c.Start < own.Start || !c.Awaited && c.Cancel == "":
		return nil
	}
	lock, err := lockBegin(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	given, err := build.GiveUp(dir)
	if err != nil || !given {
		return err
	}
	if err := b.Fleet.giveUp(ctx, own); err != nil {
		return err
	}
	return settled(dir)
}

// settled notes in a build's folder that nothing is left to do for it.
func settled(dir string) error { return os.WriteFile(filepath.Join(dir, fileSettled), nil, 0o600) }

// follow watches a build that no stage here watches, for a while or to its end.
func (b *Builder) follow(ctx context.Context, own claim, h *build.Handle) error {
	limit, cancel := context.WithTimeout(ctx, b.Fleet.every())
	defer cancel()
	log, err := b.Fleet.Logs(own.Key)
	if err != nil {
		return err
	}
	defer log.Close()
	r, err := b.wait(limit, log, h, b.folder(own.Key, own.Start), func() error { return stage.ErrDetached })
	if err != nil {
		return err
	}
	return b.Fleet.keep(ctx, own, r)
}
