package eventlog

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/internal/filelock"
	"showrunner/problem"
	"showrunner/store/record"
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func eventsOf(positions ...int64) []record.Event {
	var list []record.Event
	for _, p := range positions {
		list = append(list, record.Event{Position: p, Time: at, Type: "execution.started", Application: fmt.Sprintf("app%d", p%3), Data: json.RawMessage(`{"n":1}`)})
	}
	return list
}

// readAll reads an archive page by page to its end.
func readAll(t testing.TB, a *Archive, from int64, f record.Filter, limit int) []int64 {
	t.Helper()
	var all []int64
	for {
		s, ok, err := a.Read(from, f, limit)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		for _, e := range s.Events {
			all = append(all, e.Position)
		}
		if s.Next <= from {
			t.Fatalf("reading after %d returns the next position %d", from, s.Next)
		}
		from = s.Next
	}
}

// Appends happen in random pieces, repeated or cut off by crashes. Reading from
// any position still returns every later event once and in order.
func TestArchiveKeepsEachEventOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "archive")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		a := OpenArchive(dir)
		a.sync = func(*os.File) error { return nil }
		a.FileSize = int64(rapid.IntRange(1, 2000).Draw(t, "file size"))
		total := int64(rapid.IntRange(1, 60).Draw(t, "events"))
		var all []int64
		for p := int64(1); p <= total; p += int64(rapid.IntRange(1, 3).Draw(t, "gap")) {
			all = append(all, p)
		}
		for done := 0; done < len(all); {
			n := rapid.IntRange(1, len(all)-done).Draw(t, "piece")
			old, before := newest(t, a)
			if err := a.Append(eventsOf(all[done : done+n]...)); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "crash before the store removed them") {
				name, after := newest(t, a)
				switch {
				case name > old:
					before = 0 // a new file was begun
				case name < old:
					before = after // the newest file, which a crash had emptied, is deleted; nothing was written to it
				}
				if after > before && rapid.Bool().Draw(t, "with the end of the last write lost") {
					if err := os.Truncate(name, rapid.Int64Range(before, after-1).Draw(t, "up to")); err != nil {
						t.Fatal(err)
					}
				}
				a = &Archive{dir: dir, FileSize: a.FileSize, hints: map[int64]readPosition{}, sync: a.sync}
				continue // the same events are archived again, perhaps with later events
			}
			done += n
		}
		from := int64(rapid.IntRange(0, int(total)).Draw(t, "from"))
		if len(all) > 0 && from+1 < all[0] {
			from = all[0] - 1
		}
		var want []int64
		for _, p := range all {
			if p > from && (p%3 == 1) {
				want = append(want, p)
			}
		}
		var got []int64
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		for position := from; ; {
			s, ok, err := a.Read(position, record.Filter{Application: "app1"}, limit)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			for _, e := range s.Events {
				got = append(got, e.Position)
			}
			position = s.Next
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("after %d the archive answers %v, want %v", from, got, want)
		}
		if last := OpenArchive(dir).Last(true); last != all[len(all)-1] {
			t.Fatalf("the last position is %d, want %d", last, all[len(all)-1])
		}
	})
}

// newest returns the archive's last file and its size.
func newest(t *rapid.T, a *Archive) (string, int64) {
	names, _, err := a.files()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		return "", 0
	}
	info, err := os.Stat(names[len(names)-1])
	if err != nil {
		t.Fatal(err)
	}
	return names[len(names)-1], info.Size()
}

func TestArchiveSaysWhatItDoesNotHold(t *testing.T) {
	a := OpenArchive(filepath.Join(t.TempDir(), "a"))
	if _, ok, err := a.Read(0, record.Filter{}, 10); ok || err != nil {
		t.Errorf("an archive without a folder: %v, %v", ok, err)
	}
	if err := a.Append(eventsOf(11, 12)); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := a.Read(5, record.Filter{}, 10); ok || err != nil {
		t.Errorf("events before the archive: %v, %v", ok, err)
	}
	if got := readAll(t, a, 10, record.Filter{}, 1); fmt.Sprint(got) != "[11 12]" {
		t.Errorf("read %v", got)
	}
}

func TestCloudEvent(t *testing.T) {
	e := record.Event{Position: 42, Time: at, Type: "stage.succeeded", Application: "shop", Pipeline: "release", Execution: "x1", Stage: "build", Data: json.RawMessage(`{"attempt":1}`)}
	got, err := json.Marshal(CloudEventOf("http://control", e))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"specversion":"1.0","id":"42","source":"http://control","type":"dev.showrunner.stage.succeeded","subject":"shop/release/x1/build",` +
		`"time":"2026-03-04T05:06:07Z","datacontenttype":"application/json","data":{"attempt":1},"sequence":"00000000000000000042",` +
		`"application":"shop","pipeline":"release","execution":"x1","stage":"build"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Two processes never write the archive at the same time.
func TestOneProcessAppends(t *testing.T) {
	dir := t.TempDir()
	lock, err := filelock.Try(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	a := OpenArchive(dir)
	if err := a.Append(eventsOf(1)); problem.CodeOf(err) != problem.Unavailable {
		t.Errorf("while another process appends: %v", err)
	}
	lock.Close()
	if err := a.Append(eventsOf(1)); err != nil {
		t.Error(err)
	}
	if got := readAll(t, a, 0, record.Filter{}, 10); fmt.Sprint(got) != "[1]" {
		t.Errorf("read %v", got)
	}
}
