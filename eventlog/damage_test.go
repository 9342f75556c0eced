package eventlog

import (
	"path/filepath"
	"strings"
	"testing"

	"showrunner/internal/checksum/checksumtest"
	"showrunner/problem"
	"showrunner/store/record"
)

// TestADamagedArchiveIsNotReadFrom: an event with a flipped bit is an error that
// says where the damage is. A damaged line feed joins two lines, and the joined
// line is damaged.
func TestADamagedArchiveIsNotReadFrom(t *testing.T) {
	dir := t.TempDir()
	if err := OpenArchive(dir).Append(eventsOf(1, 2, 3, 4, 5)); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	checksumtest.Flip(t, names[0], func() error {
		s, ok, err := OpenArchive(dir).Read(0, record.Filter{}, 100)
		if err == nil && (!ok || len(s.Events) != 5) {
			return problem.New(problem.Internal, "test", "it ends early: %d events", len(s.Events)) // the last line feed
		}
		if err != nil && (problem.CodeOf(err) != problem.Internal || !strings.Contains(err.Error(), "is damaged") || !strings.Contains(err.Error(), names[0])) {
			t.Errorf("%v", err)
		}
		return err
	})
}
