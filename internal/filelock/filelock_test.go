package filelock

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestOneHolder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first, err := Try(name)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Try(name); !errors.Is(err, ErrHeld) {
		t.Errorf("a second holder: %v, %v", second, err)
	}
	first.Close()
	third, err := Try(name)
	if err != nil {
		t.Fatal(err)
	}
	third.Close()
	if _, err := Try(filepath.Join(name, "x")); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("below a file: %v", err)
	}
}
