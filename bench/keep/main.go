package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/store"
	"showrunner/store/pgtest"
	"showrunner/store/record"
)

type options struct {
	n      int
	dir    string
	binary string
	backup bool
	server *pgtest.Server
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 1_000_000, "executions that have ended")
	stores := flag.String("store", "sqlite,postgres", "stores to fill")
	flag.StringVar(&o.dir, "dir", "", "folder for everything (a few gigabytes a million); empty: a temporary one")
	flag.StringVar(&o.binary, "binary", "", "showrunner, to time a real start; empty: built from this tree")
	flag.BoolVar(&o.backup, "backup", false, "also take a backup and restore it into both databases")
	flag.Parse()
	if err := run(context.Background(), o, strings.Split(*stores, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "keep:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, stores []string) (err error) {
	if o.dir, err = os.MkdirTemp(o.dir, "keep-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	if err := os.Chmod(o.dir, 0o755); err != nil { // the database may run as another user
		return err
	}
	if o.binary == "" {
		if o.binary, err = buildBinary(ctx, o.dir); err != nil {
			return err
		}
	}
	if slices.Contains(stores, "postgres") || o.backup {
		if o.server, err = pgtest.StartIn(ctx, o.dir, pgtest.Durable); err != nil {
			return err
		}
		defer o.server.Stop()
	}
	for _, kind := range stores {
		if err := o.one(ctx, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// place makes an empty database, and says how large it is now.
func (o options) place(ctx context.Context, kind, name string) (address string, size func() int64, err error) {
	if kind == "postgres" {
		address, err = o.server.Database(ctx)
		return address, func() int64 { return o.server.Size(ctx, address) }, err
	}
	dir := filepath.Join(o.dir, name)
	return filepath.Join(dir, "showrunner.db"), func() int64 { return folderSize(dir) }, nil
}

func folderSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

func (o options) one(ctx context.Context, kind string) error {
	address, size, err := o.place(ctx, kind, kind)
	if err != nil {
		return err
	}
	fresh, err := o.start(ctx, kind, "fresh", "")
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, address, store.Options{})
	if err != nil {
		return err
	}
	t, err := template(ctx, st)
	if err != nil {
		return errors.Join(err, st.Close())
	}
	before, began := size(), time.Now()
	if err := fill(ctx, st, t, o.n); err != nil {
		return errors.Join(err, st.Close())
	}
	took := time.Since(began)
	fmt.Printf("%s: %d executions of %d stages and %d events in %s (%.0f/s)\n", kind, o.n, len(t.stages), len(t.events), took.Round(time.Second), float64(o.n)/took.Seconds())
	if err := st.Close(); err != nil {
		return err
	}
	began = time.Now()
	if st, err = store.Open(ctx, address, store.Options{}); err != nil {
		return err
	}
	opened := time.Since(began)
	fmt.Printf("%s: %.1f KB on disk an execution, %.1f GB in all; the store opens in %s\n", kind, float64(size()-before)/float64(o.n)/1024, float64(size())/(1<<30), opened.Round(100*time.Microsecond))
	err = pages(ctx, st, kind, t, o.n)
	if o.backup && err == nil {
		err = o.backups(ctx, st, kind)
	}
	if err = errors.Join(err, st.Close()); err != nil {
		return err
	}
	full, err := o.start(ctx, kind, kind, address)
	if err != nil {
		return err
	}
	fmt.Printf("%s: control is ready after %s with an empty store, %s with this one; memory %d MB and %d MB, %d MB after 2,000 pages; a page over HTTP: p50 %.1f ms, p99 %.1f ms\n",
		kind, fresh.ready.Round(time.Millisecond), full.ready.Round(time.Millisecond), fresh.memory>>20, full.memory>>20, full.after>>20, full.p50, full.p99)
	return nil
}

// pages times what people ask for.
func pages(ctx context.Context, st store.Store, kind string, t *sample, n int) error {
	middle, err := cursor(ctx, st, n/2)
	if err != nil {
		return err
	}
	for _, q := range []struct {
		what string
		q    execution.Query
	}{
		{"newest page", execution.Query{}},
		{"page in the middle", execution.Query{After: middle}},
		{"one application", execution.Query{Application: "app7"}},
		{"one pipeline, failed ones", execution.Query{Application: "app7", Pipeline: "release", Statuses: []execution.Status{execution.Terminal}}},
		{"running ones (none)", execution.Query{Statuses: []execution.Status{execution.Running}}},
		{"by a commit", execution.Query{Text: commitOf(n / 3)}},
		{"by the beginning of a commit", execution.Query{Text: commitOf(n / 3)[:7]}},
		{"by a word that all have", execution.Query{Text: "main"}},
		{"by two words, one rare", execution.Query{Text: "main " + commitOf(n / 5)[:9]}},
		{"by a word and an application", execution.Query{Text: "main", Application: "app7"}},
		{"by a word that none has", execution.Query{Text: "nosuchword"}},
	} {
		q.q.Limit = 50
		var took []float64
		rows := 0
		for range 40 {
			began := time.Now()
			heads, _, err := st.List(ctx, q.q)
			if err != nil {
				return fmt.Errorf("%s: %w", q.what, err)
			}
			took, rows = append(took, float64(time.Since(began))/float64(time.Millisecond)), len(heads)
		}
		slices.Sort(took)
		flag := ""
		if took[len(took)-1] >= 100 {
			flag = "  OVER BUDGET"
		}
		fmt.Printf("  %-30s %3d rows: p50 %6.2f ms, worst of 40 %6.2f ms%s\n", q.what, rows, took[len(took)/2], took[len(took)-1], flag)
	}
	began := time.Now()
	if _, err := st.ReadEvents(ctx, int64(n), record.Filter{}, 1000); err != nil {
		return err
	}
	fmt.Printf("  1,000 events from the middle of the log: %s\n", time.Since(began).Round(10*time.Microsecond))
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	fmt.Printf("  heap of this process afterwards: %d MB\n", m.HeapAlloc>>20)
	return nil
}

// cursor finds the place of a page deep in the list.
func cursor(ctx context.Context, st store.Store, skip int) (string, error) {
	heads, _, err := st.List(ctx, execution.Query{Limit: 1})
	if err != nil || len(heads) == 0 {
		return "", err
	}
	return execution.Cursor(heads[0].Seq - int64(skip)), nil
}

// backups takes a backup while the store is open, and restores it into both.
func (o options) backups(ctx context.Context, st store.Store, kind string) error {
	name := filepath.Join(o.dir, kind+".backup")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	began := time.Now()
	err = errors.Join(st.Backup(ctx, f), f.Sync())
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Printf("  backup: %.2f GB in %s\n", float64(info.Size())/(1<<30), time.Since(began).Round(100*time.Millisecond))
	defer os.Remove(name)
	defer f.Close()
	want, err := digest(ctx, st)
	if err != nil {
		return err
	}
	for _, into := range []string{"sqlite", "postgres"} {
		address, _, err := o.place(ctx, into, "restored-"+kind)
		if err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		began := time.Now()
		if err := store.Restore(ctx, address, f, store.Options{}); err != nil {
			return fmt.Errorf("restoring into %s: %w", into, err)
		}
		took := time.Since(began)
		restored, err := store.Open(ctx, address, store.Options{})
		if err != nil {
			return err
		}
		got, err := digest(ctx, restored)
		if err = errors.Join(err, restored.Close()); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("what was restored into %s is not what was backed up: %s, want %s", into, got, want)
		}
		fmt.Printf("  restored into %s in %s: the same (%s)\n", into, took.Round(100*time.Millisecond), got)
		if into == "sqlite" {
			if err := os.RemoveAll(filepath.Dir(address)); err != nil {
				return err
			}
		} else if err := o.server.Drop(ctx, address); err != nil {
			return err
		}
	}
	return nil
}
