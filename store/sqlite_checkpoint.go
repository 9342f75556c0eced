package store

import (
	"database/sql"
	"os"
	"time"

	"modernc.org/sqlite"
)

// Commits append to SQLite's write-ahead log, which is called the log here. It is
// written back into the database in the background, after which commits use it
// again from its start. Its file keeps its size: writing over a file in place is
// cheaper to make durable than extending it. The file grows as long as somebody
// reads what the log held earlier; afterwards it gives the disk back.

const (
	// checkpointPages is after how many pages (of 4 KB) the log is written back.
	checkpointPages = 2000
	// logKept is the size in bytes that the log's file keeps. It has room for what
	// is committed while the log is being written back.
	logKept = 16 << 20
	// fewPages is how many pages of log commits may wait for to be written back.
	fewPages = 200
	// checkpointPasses is after how many passes commits wait for the rest, however
	// much that is.
	checkpointPasses = 5
	// checkpointRetry is the time until the next try where a reader was in the way.
	checkpointRetry = time.Second
)

// countLogged notes how many pages a commit has added to the log, and has it
// written back when there are many; the store is locked.
func (s *SQLite) countLogged() {
	err := s.conn.Raw(func(driver any) error {
		pages, _, err := driver.(sqlite.DBStatus).Status(sqlite.DBStatusCacheWrite, true)
		s.logged += pages
		return err
	})
	if err != nil {
		s.logged++ // the counter cannot be read: at least one page was written
	}
	if s.logged >= checkpointPages {
		s.logged = 0
		signal(s.grown)
	}
}

// signal wakes the goroutine that waits on a channel of one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// checkpointLoop writes the log back whenever it has grown, and tries again
// later, also without further commits, where that was not possible.
func (s *SQLite) checkpointLoop() {
	// A checkpoint does not wait for readers: commits would have to wait with it.
	db, err := sql.Open("sqlite", dataSource(s.path, "wal_autocheckpoint(0)", "busy_timeout(0)"))
	if err != nil {
		return // Close still writes the log back
	}
	defer db.Close()
	retry := time.NewTimer(checkpointRetry)
	defer retry.Stop()
	for {
		mode := "PASSIVE"
		select {
		case <-s.closing:
			return
		case <-s.grown:
		case <-retry.C:
			if s.logTooLarge() { // no commit has come since that would have cut it (journal_size_limit)
				mode = "TRUNCATE"
			}
		}
		if s.writeBack(db, mode) {
			retry.Stop()
		} else {
			retry.Reset(checkpointRetry)
		}
	}
}

// writeBack writes the log back, and tells whether all of it was and its file is
// no larger than it should be. The log is used again from its start once all of
// it is written back at a moment without a writer. What commits add meanwhile is
// written back without holding them up until it is little; only then do they wait,
// for a moment. Where a reader needs what the log held earlier, as a backup does,
// they do not wait at all. The mode is that of the last pass.
func (s *SQLite) writeBack(db *sql.DB, mode string) bool {
	before := 0 // pages that the last pass found in the log
	for range checkpointPasses {
		pages, whole := checkpoint(db, "PASSIVE")
		if !whole {
			return false
		}
		added := pages - before
		before = pages
		if added <= fewPages {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, whole := checkpoint(db, mode)
	return whole && !s.logTooLarge()
}

// checkpoint makes one pass, and returns how many pages it found in the log and
// whether all of them are in the database now. Nothing is lost by a failure.
func checkpoint(db *sql.DB, mode string) (pages int, whole bool) {
	var busy, written int
	err := db.QueryRow(`PRAGMA wal_checkpoint(`+mode+`)`).Scan(&busy, &pages, &written)
	return pages, err == nil && busy == 0 && written >= pages
}

func (s *SQLite) logTooLarge() bool {
	about, err := os.Stat(s.path + "-wal")
	return err == nil && about.Size() > logKept
}
