package cli

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

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
			n, err := io.Copy(&steady{file: f}, stream)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return problem.Wrap(err, problem.Unavailable, "backup", "the copy is not whole")
			}
			if err := os.Rename(f.Name(), args[0]); err != nil {
				return usage("%v", err)
			}
			a.say("%d bytes in %s", n, args[0])
			return nil
		},
	}
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
			if err := store.Restore(cmd.Context(), address, f, store.Options{}); err != nil {
				return err
			}
			a.say("restored; start it with `showrunner up`")
			return nil
		},
	}
	cmd.Flags().StringVar(&database, "database", "", "PostgreSQL URL (default: SQLite in the data folder)")
	return cmd
}
