package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"showrunner/control"
	"showrunner/problem"
	"showrunner/store"
)

func newBackupCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Copy the control plane's state, while it runs", Args: exactArgs("FILE"),
		Long: `Backup writes a consistent copy of the control plane's state: applications,
executions, events, secrets (encrypted; keep the file named key of the data folder
with it). Artifacts and what the regions hold are files in the data folder.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			stream, err := a.connect().Stream(cmd.Context(), "/backup")
			if err != nil {
				return err
			}
			defer stream.Close()
			// Under another name until it is whole, so that a broken copy never stands under the one asked for.
			f, err := os.CreateTemp(filepath.Dir(args[0]), ".backup-*")
			if err != nil {
				return usage("%v", err)
			}
			defer os.Remove(f.Name())
			var so counter
			stop := a.tellProgress(func(took time.Duration) string {
				return fmt.Sprintf("%s after %s", sizeOf(so.n.Load()), took)
			})
			summary, err := saveBackup(f, io.TeeReader(stream, &so))
			stop()
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return problem.Wrap(err, problem.Unavailable, "backup", "the copy is not whole")
			}
			if err := os.Rename(f.Name(), args[0]); err != nil {
				return usage("%v", err)
			}
			a.say("%d rows, %d bytes in %s", summary.Rows, so.n.Load(), args[0])
			return nil
		},
	}
}

// saveBackup writes a backup to a file and checks it on its way.
func saveBackup(f *os.File, from io.Reader) (store.BackupSummary, error) {
	return store.VerifyBackup(io.TeeReader(from, &steady{file: f}))
}

// steadyBytes is how much of a copy may wait for the disk.
const steadyBytes = 4 << 20

// steady writes to a file and has the disk keep up: the commits of a database on
// the same disk would have to wait for all that is written but not yet there.
type steady struct {
	file    *os.File
	waiting int
}

// Write implements io.Writer.
func (s *steady) Write(b []byte) (int, error) {
	n, err := s.file.Write(b)
	if s.waiting += n; err == nil && s.waiting >= steadyBytes {
		s.waiting = 0
		err = s.file.Sync()
	}
	return n, err
}

// counter counts what is written to it.
type counter struct{ n atomic.Int64 }

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// tellEvery is how often a command that takes long says how far it is.
const tellEvery = 5 * time.Second

// tellProgress says how far it is until stop is called.
func (a *app) tellProgress(text func(took time.Duration) string) (stop func()) {
	began, tick := time.Now(), time.NewTicker(tellEvery)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-tick.C:
				a.say("%s", text(time.Since(began).Round(time.Second)))
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func newRestoreCommand(a *app) *cobra.Command {
	var database string
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Fill an empty data folder, or database, from a backup", Args: exactArgs("FILE"),
		Long: `Restore fills an empty control plane's state from what backup wrote. Nothing may
run on the data folder. A backup taken from SQLite fits PostgreSQL and the other
way round. Put the file named key of the old data folder beside it for the secrets.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return usage("%v", err)
			}
			defer f.Close()
			address := database
			if address == "" {
				address = filepath.Join(a.data, "showrunner.db")
			}
			// All of it is checked before anything is made or changed.
			var verified store.BackupSummary
			err = a.readingBackup(f, "is checked", func(r io.Reader) (err error) {
				verified, err = store.VerifyBackup(r)
				return err
			})
			if err != nil {
				return err
			}
			if !verified.Checked {
				a.say("an earlier version wrote this backup, without checksums: a damage that leaves it readable cannot be found")
			}
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return usage("%v", err)
			}
			err = a.readingBackup(f, "is read; the indexes are being made", func(r io.Reader) error {
				return store.Restore(cmd.Context(), address, r, store.Options{})
			})
			if err != nil {
				return err
			}
			if err := markRestored(cmd.Context(), address); err != nil {
				return err
			}
			a.say("restored; start it with `showrunner up`")
			return nil
		},
	}
	cmd.Flags().StringVar(&database, "database", "", "PostgreSQL URL (default: SQLite in the data folder)")
	return cmd
}

// readingBackup has a backup read, and says how far that is; done is said when all
// of it is read and more is to do.
func (a *app) readingBackup(f *os.File, done string, read func(io.Reader) error) error {
	about, err := f.Stat()
	if err != nil {
		return usage("%v", err)
	}
	var count counter
	stop := a.tellProgress(func(took time.Duration) string {
		if count.n.Load() >= about.Size() {
			return fmt.Sprintf("all of %s %s, after %s", sizeOf(about.Size()), done, took)
		}
		return fmt.Sprintf("%s of %s (%d %%) after %s", sizeOf(count.n.Load()), sizeOf(about.Size()), 100*count.n.Load()/about.Size(), took)
	})
	defer stop()
	return read(io.TeeReader(f, &count))
}

// markRestored writes down that the state is a restored one: what was put into
// traffic between the backup and now is not known to it.
func markRestored(ctx context.Context, address string) error {
	s, err := store.Open(ctx, address, store.Options{})
	if err != nil {
		return err
	}
	mark := control.Restored(time.Now(), 0)
	old, err := s.GetRecord(ctx, mark.Collection, mark.Key)
	if err == nil || problem.CodeOf(err) == problem.NotFound {
		_, err = s.PutRecord(ctx, control.Restored(time.Now(), old.Version))
	}
	return errors.Join(err, s.Close())
}

// sizeOf is a number of bytes as people read it.
func sizeOf(n int64) string {
	if n < 1e9 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}
