package stagelog

import (
	"os"
	"testing"
	"time"

	"showrunner/stage"
)

// Each stretch of a log has the time at which it was written, over a restart whose crash
// has torn an entry too; a log of before there were times has none.
func TestTimesOfALog(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	f := New(t.TempDir())
	f.now = func() time.Time { return at }
	write := func(after time.Duration, text string) {
		t.Helper()
		at = at.Add(after)
		w, err := f.Open(stage.Key{Execution: "e", Stage: "s", Attempt: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	begin := at
	write(0, "one\n")
	write(time.Second, "two\n")
	name, _ := f.path("e", "s", 1)
	torn, err := os.OpenFile(name+timesSuffix, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.Write([]byte{0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	torn.Close()
	write(time.Second, "three\n")
	list, err := f.Times("e", "s", 1, 5, 100)
	if err != nil || len(list) != 2 || list[0] != (Written{4, begin.Add(time.Second)}) || list[1] != (Written{8, begin.Add(2 * time.Second)}) {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := f.Times("e", "s", 1, 0, 4); err != nil || len(list) != 1 || list[0] != (Written{0, begin}) {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := f.Times("e", "s", 2, 0, 100); err != nil || list != nil {
		t.Errorf("a log without times: %+v, %v", list, err)
	}
	if _, err := f.Times("..", "s", 1, 0, 1); err == nil {
		t.Error("a path from outside is read")
	}
}
