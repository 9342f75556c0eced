package execution

import (
	"testing"
	"time"

	"showrunner/pipeline"
	"showrunner/stage"
)

// A person's word to begin in spite of a window or a freeze is for one attempt: a
// stage that is restarted weeks later waits again.
func TestAWordToProceedIsForOneAttempt(t *testing.T) {
	said := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	later := said.Add(time.Hour)
	mail := []stage.Signal{{Name: SignalProceed, By: "ada", At: said}}
	restarted := &StageState{Attempt: 1, History: []Attempt{{Attempt: 1, Ended: &later}}}
	for name, tt := range map[string]struct {
		mail []stage.Signal
		row  *StageState
		want bool
	}{
		"nobody":          {nil, nil, false},
		"another word":    {[]stage.Signal{{Name: "skip", At: said}}, nil, false},
		"first":           {mail, nil, true},
		"held":            {mail, &StageState{Phase: PhaseHeld}, true},
		"restarted":       {mail, restarted, false},
		"said once again": {append(mail, stage.Signal{Name: SignalProceed, By: "ada", At: later.Add(time.Minute)}), restarted, true},
	} {
		if got := proceeds(tt.mail, tt.row); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Windows are in their own zone, last over midnight, belong to the day on which
// they begin, and follow the clock when it changes.
func TestWindows(t *testing.T) {
	work := pipeline.Window{Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "09:00", To: "17:00", Zone: "America/Los_Angeles"}
	night := pipeline.Window{Days: []string{"fri"}, From: "22:00", To: "04:00", Zone: "Europe/Berlin"}
	for name, tt := range map[string]struct {
		windows []pipeline.Window
		now     string
		open    string // "" now, else when it opens next
	}{
		"none":                            {nil, "2026-03-02T03:00:00Z", ""},
		"before":                          {[]pipeline.Window{work}, "2026-03-02T16:59:59Z", "2026-03-02T17:00:00Z"},
		"begins":                          {[]pipeline.Window{work}, "2026-03-02T17:00:00Z", ""},
		"ends":                            {[]pipeline.Window{work}, "2026-03-03T01:00:00Z", "2026-03-03T17:00:00Z"},
		"over the weekend and the change": {[]pipeline.Window{work}, "2026-03-07T20:00:00Z", "2026-03-09T16:00:00Z"},
		"friday night":                    {[]pipeline.Window{night}, "2026-03-06T21:30:00Z", ""},
		"still friday's, on saturday":     {[]pipeline.Window{night}, "2026-03-07T02:59:00Z", ""},
		"saturday night":                  {[]pipeline.Window{night}, "2026-03-07T22:00:00Z", "2026-03-13T21:00:00Z"},
		"either":                          {[]pipeline.Window{work, night}, "2026-03-06T21:30:00Z", ""},
		"the nearer":                      {[]pipeline.Window{night, work}, "2026-03-07T22:00:00Z", "2026-03-09T16:00:00Z"},
		"the whole day":                   {[]pipeline.Window{{Days: []string{"sun"}, From: "00:00", To: "00:00"}}, "2026-03-08T23:59:00Z", ""},
	} {
		now, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		reason, until, err := WindowClosed(tt.windows, now)
		opens := ""
		if reason != "" {
			opens = until.Format(time.RFC3339)
		}
		if err != nil || opens != tt.open {
			t.Errorf("%s: opens %q, want %q; %v", name, opens, tt.open, err)
		}
	}
	if _, _, err := WindowClosed([]pipeline.Window{{From: "09:00", To: "17:00", Zone: "Mars/Olympus"}}, time.Now()); err == nil {
		t.Error("a zone that there is not is open")
	}
}
