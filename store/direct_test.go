package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestDirectWritesAreThoseOfTheFile: what goes past the page cache is what
// anybody reads, up to the end of it and not beyond, block by block and across.
func TestDirectWritesAreThoseOfTheFile(t *testing.T) {
	const size = 8 * 4096
	path := filepath.Join(t.TempDir(), "f")
	want := bytes.Repeat([]byte("old "), size/4)
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	at := 100
	d := openDirect(path, size, want[:at])
	if d == nil {
		t.Skip("this system or file system has no direct writes")
	}
	defer d.close()
	for _, n := range []int{1, 500, 4096, 3000, 9000, 4096 - 601, 1} {
		b := bytes.Repeat([]byte{byte('a' + n%26)}, n)
		if err := d.writeAt(b, int64(at)); err != nil {
			t.Fatal(err)
		}
		copy(want[at:], b)
		at += n
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != size || !bytes.Equal(got[:at], want[:at]) {
			t.Fatalf("after %d bytes the file is not what was written", at)
		}
		if next := (at + 4095) / 4096 * 4096; !bytes.Equal(got[next:], want[next:]) {
			t.Fatalf("after %d bytes something beyond %d has changed", at, next)
		}
	}
}

// TestRecordsGoOnWhereDirectWritesCannot: a file system that turns out to want
// them otherwise, or has none, costs nothing but time.
func TestRecordsGoOnWhereDirectWritesCannot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	b := begin(t, path)
	b.commit(t, creation("x0"))
	b.commit(t, step("x0", 0, 1))
	if b.ahead.direct != nil {
		spoil(b.ahead.direct)
	}
	for n := 2; n < 5; n++ {
		b.commit(t, step("x0", 0, n))
	}
	if b.ahead.broken || len(b.ahead.waiting) != 4 {
		t.Fatalf("%d records wait, broken %v", len(b.ahead.waiting), b.ahead.broken)
	}
	next := filepath.Join(t.TempDir(), "db")
	powerCut(t, path, next)
	_ = b.Close()
	again := begin(t, next)
	defer again.Close()
	checkAll(t, again.SQLite, map[string]map[int]string{"x0": {0: `{"n":4}`}},
		[]string{"execution.started x0 ", `stage.task x0 {"n":1}`, `stage.task x0 {"n":2}`, `stage.task x0 {"n":3}`, `stage.task x0 {"n":4}`})
}
