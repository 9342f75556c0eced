package web

import (
	"fmt"
	"testing"
	"time"

	"showrunner/execution"
)

// Outputs are read by people: no JSON, no nanoseconds, no counts of nothing.
func TestOutputsAreText(t *testing.T) {
	t.Parallel()
	phase := func(name, ended string) any {
		return map[string]any{"name": name, "status": "SUCCEEDED", "message": "", "started": "2026-11-30T17:40:04.718015142Z", "ended": ended}
	}
	for _, tt := range []struct {
		in   any
		want string
	}{
		{"text", "text"},
		{"2026-11-30T17:40:03+01:00", "2026-11-30 16:40:03 UTC"},
		{float64(1), "1"},
		{0, "0"},
		{true, "true"},
		{nil, ""},
		{[]any{}, ""},
		{map[string]any{}, ""},
		{[]any{"a", "b"}, "a, b"},
		{map[string]any{"us-west-2": "shop-v001", "eu-west-1": "shop-v000"}, "eu-west-1 shop-v000, us-west-2 shop-v001"},
		{map[string]any{"a": map[string]any{"min": 1, "max": 4}, "b": map[string]any{"min": 2, "max": 3}}, "a: max 4, min 1; b: max 3, min 2"},
		{map[string]any{"total": float64(0), "failed": float64(0)}, ""},
		{map[string]any{"total": float64(3), "failed": float64(0)}, "failed 0, total 3"},
		{[]any{phase("SUBMITTED", "2026-11-30T17:40:04.756183777Z"), phase("BUILD", "2026-11-30T17:40:06.718015142Z")}, "SUBMITTED succeeded in 38ms; BUILD succeeded in 2.0s"},
	} {
		if got := outputs(map[string]any{"x": tt.in}); tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || got[0].Value != tt.want) {
			t.Errorf("%v: %v, want %q", tt.in, got, tt.want)
		}
	}
	if got := outputs(map[string]any{"url": "http://shop.localhost/"}); fmt.Sprint(got) != "[{url http://shop.localhost/ true}]" {
		t.Error(got)
	}
}

// A filtered page names the command that lists the same.
func TestTheCommandOfAFilteredPage(t *testing.T) {
	t.Parallel()
	for want, q := range map[string]execution.Query{
		"showrunner executions list": {},
		"showrunner executions list shop/release --status failed --trigger push -q 'it'\\''s new'": {Application: "shop", Pipeline: "release", Statuses: []execution.Status{execution.Terminal}, Trigger: "push", Text: "it's new"},
		"showrunner executions list -p release":                                                    {Pipeline: "release"},
	} {
		if got := listCommand(q); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestSpanOf: a stage that was skipped began and ended in one moment, and took no time.
func TestSpanOf(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	later := at.Add(90 * time.Second)
	for _, c := range []struct {
		from, to *time.Time
		want     string
	}{{nil, nil, ""}, {&at, nil, "since 10:00:00"}, {&at, &later, "1m30s"}, {&at, &at, ""}} {
		if got := spanOf(c.from, c.to); got != c.want {
			t.Errorf("from %v to %v: %q, want %q", c.from, c.to, got, c.want)
		}
	}
}
