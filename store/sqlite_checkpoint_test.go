package store

import (
	"database/sql"
	"encoding/json"
	"io"
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
	s.writeBack(db)
	s.mu.Unlock()
	if _, err := io.Copy(io.Discard, backup); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	s.writeBack(db)
	var held, log, written int
	if err := db.QueryRow(`PRAGMA wal_checkpoint(PASSIVE)`).Scan(&held, &log, &written); err != nil || log != written {
		t.Fatalf("%d of %d pages of the log are written back: %v", written, log, err)
	}
}
