package control

import (
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/pipeline"
)

// A plan says what holds a stage back at this moment: its windows, in their own
// zone, for every kind, and freezes for what they are about.
func TestPlanSaysWhatHoldsAStageNow(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) // 17:45 in Kathmandu
	open := pipeline.Window{From: "17:00", To: "18:00", Zone: "Asia/Kathmandu"}
	closed := pipeline.Window{From: "11:00", To: "13:00", Zone: "Asia/Kathmandu"}
	for name, c := range map[string]struct {
		kind    string
		windows []pipeline.Window
		frozen  string
		// rollbacks says that the freeze holds these too.
		rollbacks bool
		want      []string
	}{
		"no window":       {kind: "wait"},
		"an open one":     {kind: "wait", windows: []pipeline.Window{closed, open}},
		"a closed one":    {kind: "wait", windows: []pipeline.Window{closed}, want: []string{"closed until", "05:15"}},
		"frozen":          {kind: "deploy", frozen: "peak week", want: []string{"peak week"}},
		"a rollback":      {kind: "rollback", frozen: "peak week"},
		"rollbacks too":   {kind: "rollback", frozen: "peak week", rollbacks: true, want: []string{"peak week"}},
		"frozen, no care": {kind: "wait", frozen: "peak week"},
		"both":            {kind: "deploy", windows: []pipeline.Window{closed}, frozen: "peak week", want: []string{"closed until", "; frozen", "peak week"}},
	} {
		freezes := NewFreezeWatch(nil, func() time.Time { return now })
		s := New(Deps{Now: func() time.Time { return now }, FreezeWatch: freezes, Accounts: one{cloud.NewAccount("local", memcloud.New(memcloud.Config{Regions: []string{"a"}}), cloud.Options{})}})
		known := &knownFreezes{}
		if c.frozen != "" {
			known.list = []Freeze{{Name: "peak", Reason: c.frozen, Rollbacks: c.rollbacks}}
		}
		freezes.known.Store(known)
		var ps PreviewStage
		s.previewStage(t.Context(), pipeline.Stage{Name: "s", Kind: c.kind, Windows: c.windows, With: []byte("{}")}, pipeline.Scope{}, &ps)
		if len(c.want) == 0 && ps.Held != "" {
			t.Errorf("%s: held: %s", name, ps.Held)
		}
		for _, w := range c.want {
			if !strings.Contains(ps.Held, w) {
				t.Errorf("%s: %q does not say %q", name, ps.Held, w)
			}
		}
	}
}
