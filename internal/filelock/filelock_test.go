package filelock

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
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

// A claim waits for a moment: what a killed holder was starting may have the lock still.
func TestClaimOutlastsABriefHolder(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "lock")
	first, err := Try(name)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { first.Close() })
	second, err := Claim(name)
	if err != nil {
		t.Fatal(err)
	}
	if third, err := Claim(name); !errors.Is(err, ErrHeld) {
		t.Errorf("claimed while another holds it: %v, %v", third, err)
	}
	second.Close()
}
