package history

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

	"showrunner/bench/command"
	"showrunner/store/pgtest"
)

type options struct {
	n, asked      int
	seed          uint64
	dir, binary   string
	data          string // where filled stores are kept
	backup, prune bool
	into          []string // databases that a backup is restored into
	server        *pgtest.Server
	failed        *[]string
	started       *[]*exec.Cmd
}

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("scale history", flag.ExitOnError)
	o := options{failed: &[]string{}, started: &[]*exec.Cmd{}}
	flags.IntVar(&o.n, "n", 1_000_000, "executions that have ended")
	flags.IntVar(&o.asked, "asked", 200, "how often each page is asked for; 0: no page is, and nothing is started to be")
	flags.Uint64Var(&o.seed, "seed", 1, "seed for the names, triggers and outcomes of the executions")
	stores := flags.String("store", "sqlite,postgres", "stores to fill")
	flags.StringVar(&o.dir, "dir", "", "folder for everything (a few gigabytes a million); empty: a temporary one")
	flags.StringVar(&o.data, "data", "", "folder for filled stores; a store of an earlier run with the same -n and -seed is reused; empty: no store is kept")
	exe := command.ProgramFlag(flags)
	flags.BoolVar(&o.backup, "backup", false, "also take a backup under load and restore it into both databases")
	into := flags.String("into", "sqlite,postgres", "databases that the backup is restored into")
	flags.BoolVar(&o.prune, "prune", false, "also remove the oldest, half or 100,000, by the retention policy, under load")
	_ = flags.Parse(args) // the flag set exits on an error
	o.binary = *exe
	o.into = strings.FieldsFunc(*into, func(r rune) bool { return r == ',' })
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

// must records a broken promise, and continues.
func (o options) must(holds bool, format string, args ...any) {
	if !holds {
		*o.failed = append(*o.failed, fmt.Sprintf(format, args...))
	}
}

func run(ctx context.Context, o options, stores []string) (err error) {
	if o.data != "" {
		if err := os.MkdirAll(o.data, 0o755); err != nil {
			return err
		}
		o.dir = o.data
	}
	if o.dir, err = os.MkdirTemp(o.dir, "keep-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	if err := os.Chmod(o.dir, 0o755); err != nil { // the database may run as another user
		return err
	}
	if o.binary, err = command.Program(ctx, o.binary, o.dir); err != nil {
		return err
	}
	if slices.Contains(stores, "postgres") || o.backup && slices.Contains(o.into, "postgres") {
		stop, err := o.startServer(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	defer func() {
		for _, cmd := range *o.started {
			_ = cmd.Process.Kill() // ended processes have been waited for
		}
	}()
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

// at is a place with its database.
func (o options) at(ctx context.Context, p place, address string) place {
	p.address, p.size = address, func() int64 { return filesLike(address) }
	if p.kind == "postgres" {
		p.size = func() int64 { return o.server.Size(ctx, address) }
	}
	return p
}

// place makes a data folder, and an empty database.
func (o options) place(ctx context.Context, kind, name string) (place, error) {
	p := place{kind: kind, data: filepath.Join(o.dir, name)}
	if err := os.Mkdir(p.data, 0o700); err != nil {
		return p, err
	}
	if kind == "postgres" {
		address, err := o.server.Database(ctx)
		return o.at(ctx, p, address), err
	}
	return o.at(ctx, p, filepath.Join(p.data, "showrunner.db")), nil
}

// remove frees the disk space.
func (o options) remove(ctx context.Context, p place) error {
	err := os.RemoveAll(p.data)
	if p.kind == "postgres" {
		err = errors.Join(err, o.server.Drop(ctx, p.address))
	}
	return err
}

// filesLike is the size of the files whose names begin with the prefix.
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
	full, f, err := o.filled(ctx, kind, sample)
	if err != nil {
		return err
	}
	if o.asked > 0 {
		if err := o.pages(ctx, full, f, fresh); err != nil {
			return err
		}
	}
	if o.backup {
		if err := o.backups(ctx, full); err != nil {
			return err
		}
	}
	if o.prune {
		if o.data != "" {
			if full, err = o.copied(ctx, full); err != nil {
				return err
			}
		}
		if err := o.prunes(ctx, full, f); err != nil {
			return err
		}
	}
	if o.data != "" && !o.prune {
		return nil
	}
	return o.remove(ctx, full)
}
