package span

import (
	"testing"
	"time"
)

func TestText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration][2]string{
		-time.Second:            {"0s", "0s"},
		0:                       {"0s", "0s"},
		85 * time.Millisecond:   {"85ms", "0s"},
		1234 * time.Millisecond: {"1.2s", "1s"},
		12 * time.Second:        {"12s", "12s"},
		64 * time.Second:        {"1m04s", "1m"},
		123 * time.Minute:       {"2h03m", "2h"},
		76 * time.Hour:          {"3d04h", "3d"},
	} {
		if got := [2]string{Text(d), Rough(d)}; got != want {
			t.Errorf("%v: %v, want %v", d, got, want)
		}
	}
}
