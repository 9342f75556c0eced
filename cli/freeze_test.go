package cli

import (
	"testing"
	"time"
)

func TestAheadOfATime(t *testing.T) {
	now := time.Date(2026, time.December, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"0s":                   now,
		"2h":                   now.Add(2 * time.Hour),
		"3d":                   now.Add(72 * time.Hour),
		"2026-12-27T00:00:00Z": time.Date(2026, time.December, 27, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := ahead(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1h", "soon", "tomorrow"} {
		if got, err := ahead(text, now); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}
