package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"showrunner/store"
	"showrunner/store/pgtest"
)

type options struct {
	n, asked      int
	seed          uint64
	dir, binary   string
	backup, prune bool
	server        *pgtest.Server
	failed        *[]string
}

func main() {
	o := options{failed: &[]string{}}
	flag.IntVar(&o.n, "n", 1_000_000, "executions that have ended")
	flag.IntVar(&o.asked, "asked", 200, "how often each page is asked for")
	flag.Uint64Var(&o.seed, "seed", 1, "of what the executions are called, were started by and ended as")
	stores := flag.String("store", "sqlite,postgres", "stores to fill")
	flag.StringVar(&o.dir, "dir", "", "folder for everything (a few gigabytes a million); empty: a temporary one")
	flag.StringVar(&o.binary, "binary", "", "showrunner, to start; empty: built from this tree")
	flag.BoolVar(&o.backup, "backup", false, "also take a backup under load and restore it into both databases")
	flag.BoolVar(&o.prune, "prune", false, "also remove half by the retention policy, under load")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, o, strings.Split(*stores, ","))
	for _, f := range *o.failed {
		fmt.Println("FAILED:", f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "keep:", err)
	}
	if err != nil || len(*o.failed) > 0 {
		os.Exit(1)
	}
	fmt.Printf("PASSED: %d executions on %s, seed %d\n", o.n, *stores, o.seed)
}

// must notes what does not hold, and goes on.
func (o options) must(holds bool, format string, args ...any) {
	if !holds {
		*o.failed = append(*o.failed, fmt.Sprintf(format, args...))
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
		o.binary = filepath.Join(o.dir, "showrunner")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", o.binary, "showrunner/cmd/showrunner").CombinedOutput(); err != nil {
			return fmt.Errorf("building: %w: %s", err, out)
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

// place is where a control plane keeps its state.
type place struct {
	kind, data, address string
	size                func() int64
}

// place makes a data folder, and an empty database.
func (o options) place(ctx context.Context, kind, name string) (place, error) {
	p := place{kind: kind, data: filepath.Join(o.dir, name)}
	if err := os.Mkdir(p.data, 0o700); err != nil {
		return p, err
	}
	if kind == "postgres" {
		address, err := o.server.Database(ctx)
		p.address, p.size = address, func() int64 { return o.server.Size(ctx, address) }
		return p, err
	}
	p.address = filepath.Join(p.data, "showrunner.db")
	p.size = func() int64 { return filesLike(p.address) }
	return p, nil
}

// remove gives the disk back.
func (o options) remove(ctx context.Context, p place) error {
	err := os.RemoveAll(p.data)
	if p.kind == "postgres" {
		err = errors.Join(err, o.server.Drop(ctx, p.address))
	}
	return err
}

// filesLike is the size of the files whose names begin like this.
func filesLike(prefix string) (n int64) {
	_ = filepath.WalkDir(filepath.Dir(prefix), func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(name, prefix) {
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
	sample, fresh, err := o.weigh(ctx, kind)
	if err != nil {
		return err
	}
	full, err := o.place(ctx, kind, kind)
	if err != nil {
		return err
	}
	empty, began := full.size(), time.Now()
	f := newFill(sample, o.n, o.seed)
	if err := store.Restore(ctx, full.address, f.stream(), store.Options{}); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("%s: filled with %d executions of %d stages and %d events in %s (%.0f/s): %.1f GB, %.1f KB each\n", kind, o.n, len(sample.stages), len(sample.events),
		took.Round(time.Second), float64(o.n)/took.Seconds(), float64(full.size())/(1<<30), float64(full.size()-empty)/float64(o.n)/1024)
	if err := o.pages(ctx, full, f, fresh); err != nil {
		return err
	}
	if o.backup {
		if err := o.backups(ctx, full); err != nil {
			return err
		}
	}
	if o.prune {
		if err := o.prunes(ctx, full, f); err != nil {
			return err
		}
	}
	return o.remove(ctx, full)
}
