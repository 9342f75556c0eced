package web

import (
	"testing"
	"time"

	"showrunner/execution"
)

// The four figures: only a success has a lead time, and a failure is restored by the next
// success of the same pipeline, counted from the first failure in a row.
func TestTheFourFigures(t *testing.T) {
	t.Parallel()
	var d doraFigures
	at := now.Add(-10 * time.Hour)
	add := func(pipeline string, after time.Duration, status execution.Status) {
		at = at.Add(after)
		d.add(execution.Execution{Application: "shop", Pipeline: pipeline, Status: status, Ended: new(at)}, at.Add(-20*time.Minute))
	}
	add("release", 0, execution.Succeeded)
	add("release", time.Hour, execution.Terminal)
	add("other", time.Minute, execution.Succeeded)
	add("release", time.Hour, execution.Terminal)
	add("release", time.Hour, execution.Succeeded)
	add("other", time.Hour, execution.Terminal)
	s := d.strip(30, "in 30 days")
	want := doraStrip{Deployments: 6, Failed: 3, Frequency: "3.0 a month", Failure: "50 %", Lead: "20m00s", Restore: "2h01m", LeadOf: 3, Restored: 1, Failing: 1, Period: "in 30 days"}
	if s != want {
		t.Errorf("%+v\nwant %+v", s, want)
	}
	if s := (&doraFigures{}).strip(30, "x"); s != (doraStrip{Period: "x"}) {
		t.Errorf("of nothing: %+v", s)
	}
}
