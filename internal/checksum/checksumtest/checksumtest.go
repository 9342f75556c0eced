// Package checksumtest damages files, for tests of code that reads them.
package checksumtest

import (
	"bytes"
	"os"
	"testing"
)

// Flip flips single bits in bytes all over a file, one at a time, and calls read
// for each damaged file: read has to return an error each time. Afterwards the
// file is restored and has to be readable.
func Flip(t testing.TB, path string, read func() error) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(whole) == 0 {
		t.Fatalf("%s is empty", path)
	}
	for at := 0; at < len(whole); at += max(1, len(whole)/300) {
		bad := bytes.Clone(whole)
		bad[at] ^= 1 << (at % 8)
		write(bad)
		if err := read(); err == nil {
			t.Errorf("%s was read although its byte %d, %q, had become %q", path, at, whole[at], bad[at])
		}
	}
	write(whole)
	if err := read(); err != nil {
		t.Errorf("undamaged again: %v", err)
	}
}
