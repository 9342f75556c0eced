package store

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// Testdata holds a database as the earlier version left it at a power cut: three
// executions, twelve steps, the last seven of them only in the record file.
func earlierVersion(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "db")
	for _, suffix := range []string{"", "-wal", "-ahead"} {
		f, err := os.Open("testdata/records/db" + suffix + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(z)
		if err == nil {
			err = os.WriteFile(path+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close() // it was read
	}
	return path
}

// checkEarlierVersion looks for all that the earlier version had acknowledged.
func checkEarlierVersion(t testing.TB, s *SQLite) {
	t.Helper()
	stages, events := map[string]map[int]string{"x0": {}, "x1": {}, "x2": {}}, []string{"execution.started x0 ", "execution.started x1 "}
	for n := range 12 {
		id := "x0"
		if n == 5 {
			events = append(events, "execution.started x2 ")
		}
		if n >= 5 {
			id = fmt.Sprintf("x%d", n%3)
		}
		data := fmt.Sprintf(`{"n":%d}`, n)
		stages[id][n%2] = data
		events = append(events, "stage.task "+id+" "+data)
	}
	checkAll(t, s, stages, events)
}

func TestRecordsOfAnEarlierVersionAreTakenOver(t *testing.T) {
	path := earlierVersion(t)
	for range 2 { // and nothing is taken over twice
		s, err := OpenSQLite(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkEarlierVersion(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + recordFileSuffix); !os.IsNotExist(err) {
			t.Fatalf("the file is still there: %v", err)
		}
	}
}

// TestDamagedRecordsStopTheStart: each case says how the file was damaged, and
// what the error says of it; the database stays as it was, so that the undamaged
// file can be put back.
func TestDamagedRecordsStopTheStart(t *testing.T) {
	second := func(data []byte) int { return recordHeader + int(binary.LittleEndian.Uint32(data)) }
	for name, c := range map[string]struct {
		damage func(data []byte) []byte // nil: the file is removed
		says   string
	}{
		"missing":                        {func([]byte) []byte { return nil }, "is missing"},
		"cut short":                      {func(b []byte) []byte { return b[:1000] }, "cut short"},
		"another database's":             {func([]byte) []byte { return recordFile(t, 77, 80) }, "another database"},
		"an older copy":                  {func(b []byte) []byte { return recordFile(t, number(b)-40, number(b)-30) }, "older copy"},
		"a gap":                          {func(b []byte) []byte { return recordFile(t, number(b)+1, number(b)+3) }, "the database holds only"},
		"a flipped byte, good ones next": {func(b []byte) []byte { b[second(b)+20] ^= 1; return b }, "is damaged, and record"},
		"a length, good ones next":       {func(b []byte) []byte { b[second(b)] ^= 0x80; return b }, "is damaged, and record"},
		"the first record":               {func(b []byte) []byte { b[30] ^= 1; return b }, "is damaged, and record"},
		"a number, good ones next":       {func(b []byte) []byte { b[second(b)+8] ^= 1; return b }, "is damaged, and record"},
		"a block of zeros":               {func(b []byte) []byte { clear(b[:second(b)+8]); return b }, "is damaged, and record"},
	} {
		t.Run(name, func(t *testing.T) {
			path := earlierVersion(t)
			good, err := os.ReadFile(path + recordFileSuffix)
			if err != nil {
				t.Fatal(err)
			}
			if bad := c.damage(bytes.Clone(good)); bad != nil {
				err = os.WriteFile(path+recordFileSuffix, bad, 0o600)
			} else {
				err = os.Remove(path + recordFileSuffix)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = OpenSQLite(t.Context(), path, Options{})
			if problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path+recordFileSuffix) ||
				!strings.Contains(problem.HelpOf(err), "put an empty file in its place") {
				t.Fatalf("%v (help: %s)", err, problem.HelpOf(err))
			}
			if v := schemaOf(t, path); v != 5 {
				t.Errorf("the database has schema version %d now: the earlier version cannot open it", v)
			}
			if err := os.WriteFile(path+recordFileSuffix, good, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := OpenSQLite(t.Context(), path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			checkEarlierVersion(t, s)
		})
	}
}

func schemaOf(t testing.TB, path string) (version int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(`PRAGMA user_version`).Scan(&version); err != nil {
		t.Fatal(err)
	}
	return version
}

// TestAnEmptyFileGoesOnWithoutRecords: the way out that the error names.
func TestAnEmptyFileGoesOnWithoutRecords(t *testing.T) {
	path := earlierVersion(t)
	if err := os.Truncate(path+recordFileSuffix, 0); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if slice, err := s.ReadEvents(t.Context(), 0, record.Filter{}, 100); err != nil || len(slice.Events) != 8 {
		t.Fatalf("%d events, want the 8 that the database holds (%v)", len(slice.Events), err)
	}
}

// TestATornRecordWasNotAcknowledged: what was being written when the process ended
// is left out, and what is before it is taken over.
func TestATornRecordWasNotAcknowledged(t *testing.T) {
	for _, keep := range []int{1, 9, 20, 40} {
		path := earlierVersion(t)
		data, err := os.ReadFile(path + recordFileSuffix)
		if err != nil {
			t.Fatal(err)
		}
		bodies, first, end := leadingRecords(data)
		torn := encodeRecord(first+int64(len(bodies)), []*execution.Change{step("x0", 0, 1000)}, []record.Event{{Position: 99, Data: json.RawMessage("{}")}})
		copy(data[end:], torn[:min(keep, len(torn)-1)])
		if err := os.WriteFile(path+recordFileSuffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSQLite(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkEarlierVersion(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAKillWhileRecordsAreTakenOver kills a process after every write of the
// migration; the next start finds everything.
func TestAKillWhileRecordsAreTakenOver(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace, which kills at a chosen system call, is not installed")
	}
	for _, call := range []string{"pwrite64", "fdatasync,fsync", "unlink,unlinkat"} {
		for n := 1; ; n++ {
			path := earlierVersion(t)
			child := exec.Command(strace, "-f", "-o", os.DevNull, "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n),
				os.Args[0])
			child.Env = append(os.Environ(), "SHOWRUNNER_OPEN_AND_CLOSE="+path) // see TestMain
			out, err := child.CombinedOutput()
			if err != nil && !killed(err) {
				t.Fatalf("the process ended with %v\n%s", err, out)
			}
			s, oerr := OpenSQLite(t.Context(), path, Options{})
			if oerr != nil {
				t.Fatalf("after the end of a process at %s number %d: %v", call, n, oerr)
			}
			checkEarlierVersion(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err == nil {
				t.Logf("killed at each of %d calls of %s", n-1, call)
				break // it made fewer calls than that
			}
		}
	}
}

func killed(err error) bool {
	exit, ok := err.(*exec.ExitError)
	return ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// number is that of the first record of a file.
func number(data []byte) int64 { return int64(binary.LittleEndian.Uint64(data[8:])) }

// recordFile is a file with records of the numbers given.
func recordFile(t testing.TB, first, last int64) []byte {
	t.Helper()
	var data []byte
	for n := first; n <= last; n++ {
		data = append(data, encodeRecord(n, []*execution.Change{step("x0", 0, int(n%100))}, nil)...)
	}
	return append(data, make([]byte, recordFileSize-len(data))...)
}

// encodeRecord writes a record as the earlier version did.
func encodeRecord(number int64, batch []*execution.Change, events []record.Event) []byte {
	b := encodeBody(make([]byte, recordHeader), batch, events)
	binary.LittleEndian.PutUint32(b, uint32(len(b)-recordHeader))
	binary.LittleEndian.PutUint64(b[8:], uint64(number))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli()))
	return b
}

func encodeBody(b []byte, batch []*execution.Change, events []record.Event) []byte {
	b = binary.AppendUvarint(b, uint64(len(batch)))
	for _, c := range batch {
		b = appendText(b, c.ID)
		b = binary.AppendUvarint(b, uint64(len(c.Stages)))
		for i := range c.Stages {
			r := &c.Stages[i]
			b = binary.AppendUvarint(b, uint64(r.Index))
			wake := int64(-1)
			if !r.Wake.IsZero() {
				wake = r.Wake.UnixMilli()
			}
			b = binary.AppendVarint(b, wake)
			b = appendText(b, r.Data)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(events)))
	for i := range events {
		e := &events[i]
		b = binary.AppendVarint(b, e.Position)
		b = binary.AppendVarint(b, e.Time.UnixMilli())
		for _, s := range [...]string{e.Type, e.Application, e.Pipeline, e.Execution, e.Stage, e.By} {
			b = appendText(b, s)
		}
		b = appendText(b, e.Data)
	}
	return b
}

func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// FuzzRecords: what a damaged file holds is refused or passed over, never followed.
func FuzzRecords(f *testing.F) {
	f.Add(encodeBody(nil, []*execution.Change{step("x0", 0, 1)}, []record.Event{{Position: 1, Type: "t", Data: json.RawMessage("{}")}}), int64(4))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}, int64(0))
	f.Fuzz(func(t *testing.T, body []byte, held int64) {
		_, _ = newRecords(body, held) // it returns
		r, err := decodeRecord(body)
		if err != nil {
			return
		}
		again, err := decodeRecord(encodeBody(nil, r.changes, r.events))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v became %v (%v)", r, again, err)
		}
	})
}
