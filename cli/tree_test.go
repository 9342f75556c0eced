package cli

import (
	"strings"
	"testing"
	"time"

	"showrunner/execution"
)

// An approval that expires in three days does not read as if it did today.
func TestStageNoteSaysTheDay(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	for until, want := range map[time.Time]string{
		now.Add(time.Minute):    "until 12:01:00",
		now.Add(72 * time.Hour): "until 2026-03-04 12:00:00",
	} {
		note := stageNote(execution.StageState{Status: execution.Running, Until: &until}, now)
		if !strings.HasSuffix(note, want) {
			t.Errorf("%q does not end with %q", note, want)
		}
	}
}
