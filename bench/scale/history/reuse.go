package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"showrunner/store"
	"showrunner/store/pgtest"
)

// startServer starts PostgreSQL: where stores are kept, the server of an earlier
// run.
func (o *options) startServer(ctx context.Context) (stop func() error, err error) {
	if o.data == "" {
		if o.server, err = pgtest.StartIn(ctx, o.dir, pgtest.Durable); err != nil {
			return nil, err
		}
		return o.server.Stop, nil
	}
	if o.server, err = pgtest.Reopen(ctx, o.data, pgtest.Durable); err != nil {
		return nil, err
	}
	return o.server.Shutdown, nil
}

// left describes a filled store that a run has left.
type left struct {
	Began  time.Time `json:"began"`  // name of the first execution
	Events int       `json:"events"` // size of each
}

// filled fills a store, or reuses one that an earlier run has left.
func (o options) filled(ctx context.Context, kind string, s *sample) (place, *fill, error) {
	f := newFill(s, o.n, o.seed)
	if o.data == "" {
		p, err := o.place(ctx, kind, kind)
		if err == nil {
			err = o.fill(ctx, p, f)
		}
		return p, f, err
	}
	name := fmt.Sprintf("%s-%d-%d", kind, o.n, o.seed)
	p := place{kind: kind, data: filepath.Join(o.data, name)}
	mark := filepath.Join(p.data, "filled.json")
	text, err := os.ReadFile(mark)
	if err == nil {
		var l left
		if err := json.Unmarshal(text, &l); err != nil {
			return p, nil, err
		}
		f.began, f.events = l.Began, make([]row, l.Events)
		if kind == "postgres" {
			return o.at(ctx, p, o.server.Address(name)), f, nil
		}
		return o.at(ctx, p, filepath.Join(p.data, "showrunner.db")), f, nil
	}
	if err := errors.Join(os.RemoveAll(p.data), os.Mkdir(p.data, 0o700)); err != nil { // left by an interrupted run
		return p, nil, err
	}
	address := filepath.Join(p.data, "showrunner.db")
	if kind == "postgres" {
		if err := o.server.Drop(ctx, o.server.Address(name)); err != nil {
			return p, nil, err
		}
		if address, err = o.server.CopyDatabase(ctx, name, "template1"); err != nil {
			return p, nil, err
		}
	}
	p = o.at(ctx, p, address)
	if err := o.fill(ctx, p, f); err != nil {
		return p, nil, err
	}
	text, err = json.Marshal(left{f.began, len(f.events)})
	if err == nil {
		err = os.WriteFile(mark, text, 0o600)
	}
	return p, f, err
}

// fill fills a store with all of the executions.
func (o options) fill(ctx context.Context, p place, f *fill) error {
	empty, began := p.size(), time.Now()
	if err := store.Restore(ctx, p.address, f.stream(), store.Options{}); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("%s: filled with %d executions of %d stages and %d events in %s (%.0f/s): %.1f GB, %.1f KB each\n", p.kind, o.n, len(f.stages), len(f.events),
		took.Round(time.Second), float64(o.n)/took.Seconds(), float64(p.size())/(1<<30), float64(p.size()-empty)/float64(o.n)/1024)
	return nil
}

// copied is a copy of a store that no process uses.
func (o options) copied(ctx context.Context, from place) (place, error) {
	name := fmt.Sprint("copy-", from.kind, "-", os.Getpid())
	p := place{kind: from.kind, data: filepath.Join(o.dir, name)}
	if err := os.Mkdir(p.data, 0o700); err != nil {
		return p, err
	}
	if from.kind == "postgres" {
		address, err := o.server.CopyDatabase(ctx, name, filepath.Base(from.data))
		return o.at(ctx, p, address), err
	}
	p = o.at(ctx, p, filepath.Join(p.data, "showrunner.db"))
	return p, copyFile(from.address, p.address)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync() // pending writes would be measured
}
