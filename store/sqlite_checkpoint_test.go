package store

import (
	"database/sql"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"showrunner/store/record"
)

// What a backup holds back in the log cannot be written back before it ends: no
// commit waits for the attempt. Once it has ended the whole log is written back.
func TestWhileABackupReadsNoCommitWaitsForTheLog(t *testing.T) {
	s := begin(t, filepath.Join(t.TempDir(), "db"))
	defer s.Close()
	large := record.Record{Collection: "c", Key: "k", Data: json.RawMessage(`"` + strings.Repeat("x", 300_000) + `"`)}
	if _, err := s.PutRecord(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	backup, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- s.Backup(t.Context(), out); out.Close() }()
	if _, err := backup.Read(make([]byte, 1)); err != nil { // its snapshot is taken
		t.Fatal(err)
	}
	if err := s.AppendEvents(t.Context(), record.Event{Time: time.UnixMilli(1), Type: "later"}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dataSource(s.path, "wal_autocheckpoint(0)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s.mu.Lock() // as a commit does: it hangs here if it has to wait
	s.writeBack(db, "PASSIVE")
	s.mu.Unlock()
	if _, err := io.Copy(io.Discard, backup); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	s.writeBack(db, "PASSIVE")
	var held, log, written int
	if err := db.QueryRow(`PRAGMA wal_checkpoint(PASSIVE)`).Scan(&held, &log, &written); err != nil || log != written {
		t.Fatalf("%d of %d pages of the log are written back: %v", written, log, err)
	}
}

// TestTheLogShrinksAfterALongReader: while somebody reads, the log grows and no
// commit waits for that; when the reader has gone, its file shrinks, also when
// nothing more is committed.
func TestTheLogShrinksAfterALongReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	b := begin(t, path)
	defer b.Close()
	b.commit(t, creation("x0"))
	reader, err := sql.Open("sqlite", path) // as the sqlite3 tool does
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	tx, err := reader.Begin()
	if err == nil {
		err = tx.QueryRow(`SELECT count(*) FROM event`).Scan(new(int))
	}
	if err != nil {
		t.Fatal(err)
	}
	large := json.RawMessage(`"` + strings.Repeat("x", 60_000) + `"`)
	size := func() int64 {
		about, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return about.Size()
	}
	var longest time.Duration
	for n := 0; size() < 3*logKept; n++ {
		began := time.Now()
		c := step("x0", 0, n)
		c.Events[0].Data = large
		b.commit(t, c)
		longest = max(longest, time.Since(began))
	}
	if longest > 5*time.Second { // a busy timeout is 10 s
		t.Errorf("a commit took %v while somebody read", longest)
	}
	t.Logf("the log grew to %d MB; the slowest commit took %v", size()>>20, longest)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); size() > logKept; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("the log has %d MB long after its reader has gone", size()>>20)
		}
	}
	b.commit(t, step("x0", 0, 1)) // and is used as before
}

// TestTheLogStaysSmall: constant work does not let the log grow.
func TestTheLogStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	b := begin(t, path)
	defer b.Close()
	b.commit(t, creation("x0"))
	var largest int64
	for n := range 6000 { // some 24,000 pages, 96 MB
		b.commit(t, step("x0", n%7, n))
		if n%100 == 0 {
			about, err := os.Stat(path + "-wal")
			if err != nil {
				t.Fatal(err)
			}
			largest = max(largest, about.Size())
		}
	}
	if t.Logf("the log had at most %d KB", largest>>10); largest > 2*logKept {
		t.Error("it grew")
	}
}
