package acceptance

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// counted is a pipeline in which each stage appends a line to a file.
const counted = `application: shop
pipelines:
  release:
    concurrency: parallel
    stages:
      a: {run: {commands: ['echo ${{ execution.number }} a >> FILE']}}
      b: {needs: [a], run: {commands: ['echo ${{ execution.number }} b >> FILE']}}
      c: {needs: [b], run: {commands: ['echo ${{ execution.number }} c >> FILE']}}
      d: {needs: [c], run: {commands: ['echo ${{ execution.number }} d >> FILE']}}
`

const (
	countedRuns   = 12
	countedStages = 4
)

// counts reads how often each stage of each run appended its line.
func counts(t *testing.T, file string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	n := map[string]int{}
	for line := range strings.Lines(string(text)) {
		n[strings.TrimSpace(line)]++
	}
	return n
}

// sqliteHost is a single control plane on SQLite.
func sqliteHost(t *testing.T, data string) *host {
	t.Helper()
	h := &host{world: &world{t: t, data: data, listen: freeAddress(t), output: &lockedBuffer{}}, shared: data, patience: "10m"}
	t.Cleanup(func() {
		h.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("it said:\n%s", tail(h.output.String(), 40))
		}
	})
	return h
}

// allEnd waits until every run has succeeded.
func (h *host) allEnd() {
	h.t.Helper()
	h.eventually(2*time.Minute, "every run has ended", func() error {
		var page struct {
			Executions []struct{ Status string }
		}
		h.json(&page, "executions", "list", "--limit", "100")
		done := 0
		for _, e := range page.Executions {
			if e.Status == "Succeeded" {
				done++
			}
		}
		if done != countedRuns {
			return fmt.Errorf("%d of %d", done, countedRuns)
		}
		return nil
	})
}

// copyTree copies the files of a data folder, except the database.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if err := os.Remove(filepath.Join(to, "showrunner.db"+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func copyFiles(t *testing.T, from, to string, suffixes ...string) {
	t.Helper()
	for _, suffix := range suffixes {
		data, err := os.ReadFile(from + suffix)
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func sqlite(t *testing.T, db, statement string) string {
	t.Helper()
	out, err := exec.Command("sqlite3", "-cmd", ".timeout 10000", db, statement).CombinedOutput()
	if err != nil {
		t.Fatalf("sqlite3 %s: %v: %s", statement, err, out)
	}
	return string(out)
}

// TestACopyOfTheDatabaseRunsNothingAgain copies the database in each common way
// while stages run that append a line each. It lets the original run to the end,
// and then starts a control plane on the copy. Stages that are done in the copy
// are never run again. Builds that the original ran after the copy are found in
// the folder of builds when that is available, and only then.
func TestACopyOfTheDatabaseRunsNothingAgain(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sqlite3"); err != nil {
		t.Skip("sqlite3 is not installed")
	}
	for name, way := range map[string]struct {
		running bool // the copy is made while the control plane runs
		stop    syscall.Signal
		copy    func(t *testing.T, db, to string)
	}{
		".backup":     {running: true, copy: func(t *testing.T, db, to string) { sqlite(t, db, ".backup '"+to+"'") }},
		"VACUUM INTO": {running: true, copy: func(t *testing.T, db, to string) { sqlite(t, db, "VACUUM INTO '"+to+"'") }},
		"cp of the database and its log after a kill": {stop: syscall.SIGKILL, copy: func(t *testing.T, db, to string) { copyFiles(t, db, to, "", "-wal") }},
		"cp of the database alone after a clean stop": {stop: syscall.SIGTERM, copy: func(t *testing.T, db, to string) { copyFiles(t, db, to, "") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, original := filepath.Join(dir, "effects"), filepath.Join(dir, "original")
			db, copied := filepath.Join(original, "showrunner.db"), filepath.Join(dir, "copy.db")
			h := sqliteHost(t, original)
			h.begin()
			definition := filepath.Join(dir, "showrunner.yaml")
			if err := os.WriteFile(definition, []byte(strings.ReplaceAll(counted, "FILE", file)), 0o600); err != nil {
				t.Fatal(err)
			}
			h.must("apply", "-f", definition)
			for range countedRuns {
				h.must("run", "shop/release")
			}
			h.eventually(2*time.Minute, "a third of the stages have run", func() error {
				if n := len(counts(t, file)); n < countedRuns*countedStages/3 {
					return fmt.Errorf("%d", n)
				}
				return nil
			})
			if !way.running {
				h.end(way.stop)
			}
			way.copy(t, db, copied)
			if !way.running {
				h.begin()
			}
			h.allEnd()
			h.end(syscall.SIGTERM)
			before := counts(t, file)
			if len(before) != countedRuns*countedStages {
				t.Fatalf("the original did %v", before)
			}
			seen := filepath.Join(dir, "seen.db") // stages that are done in the copy; reading the copy makes a log file beside it
			copyFiles(t, copied, seen, "")
			if _, err := os.Stat(copied + "-wal"); err == nil {
				copyFiles(t, copied, seen, "-wal")
			}
			done := strings.Fields(strings.ReplaceAll(sqlite(t, seen, `SELECT x.number || ' ' || e.stage FROM event e JOIN execution x ON x.id = e.execution WHERE e.type = 'stage.succeeded'`), " ", "-"))
			t.Logf("the copy has %d of %d stages as done", len(done), len(before))
			if len(done) == 0 || len(done) == len(before) {
				t.Fatal("the copy was made too early or too late")
			}

			place := func(folder string) {
				for _, suffix := range []string{"", "-wal"} {
					if _, err := os.Stat(copied + suffix); err == nil {
						copyFiles(t, copied+suffix, filepath.Join(folder, "showrunner.db"+suffix), "")
					}
				}
				c := sqliteHost(t, folder)
				c.begin()
				c.allEnd()
				c.end(syscall.SIGTERM)
			}
			whole := filepath.Join(dir, "whole") // with all other files in their present state
			copyTree(t, original, whole)
			place(whole)
			if after := counts(t, file); !maps.Equal(after, before) {
				t.Errorf("with the folder of builds something was done again: %v", after)
			}
			bare := filepath.Join(dir, "bare") // only the database
			if err := os.Mkdir(bare, 0o700); err != nil {
				t.Fatal(err)
			}
			place(bare)
			after := counts(t, file)
			for _, what := range done {
				if what = strings.ReplaceAll(what, "-", " "); after[what] != 1 {
					t.Errorf("stage %q, done in the copy, was done %d times", what, after[what])
				}
			}
		})
	}
}
