package control

import (
	"testing"
	"time"
)

// A freeze holds within its time, for the applications that it names, and lets
// those go on that it exempts.
func TestWhatAFreezeHolds(t *testing.T) {
	from := time.Date(2026, 12, 20, 0, 0, 0, 0, time.UTC)
	f := Freeze{Name: "peak", Reason: "peak week", From: from, To: from.Add(time.Hour)}
	shops, exempt, open := f, f, f
	shops.Applications = []string{"shop-*", "cart"}
	exempt.Exempt, exempt.ExemptReason = []string{"shop/hotfix"}, "security"
	open.To = time.Time{}
	for name, tt := range map[string]struct {
		f                     Freeze
		application, pipeline string
		after                 time.Duration
		held                  bool
	}{
		"everything":           {f, "shop", "release", 0, true},
		"before":               {f, "shop", "release", -time.Second, false},
		"its last moment":      {f, "shop", "release", time.Hour - 1, true},
		"after":                {f, "shop", "release", time.Hour, false},
		"until it is deleted":  {open, "shop", "release", 10000 * time.Hour, true},
		"one of those named":   {shops, "shop-eu", "release", 0, true},
		"another application":  {shops, "blog", "release", 0, false},
		"exempt":               {exempt, "shop", "hotfix", 0, false},
		"not the exempt one":   {exempt, "shop", "release", 0, true},
		"of another, not this": {exempt, "cart", "hotfix", 0, true},
	} {
		if got := tt.f.held(tt.application, tt.pipeline, from.Add(tt.after)); got != tt.held {
			t.Errorf("%s: %v", name, got)
		}
	}
}
