package control

import (
	"fmt"
	"testing"

	"showrunner/pipeline"
)

// A pipeline that reads from elsewhere says so, for stages and polls, without secrets
// of an address; one that changed otherwise says nothing.
func TestMoved(t *testing.T) {
	with := func(url, branch string, poll string) pipeline.Pipeline {
		return pipeline.Pipeline{Name: "p", Triggers: []pipeline.Trigger{{Poll: &pipeline.PollTrigger{URL: poll, Branches: []string{"main"}}}},
			Stages: []pipeline.Stage{{Name: "s", Kind: "git", With: fmt.Appendf(nil, `{"url":%q,"branch":%q}`, url, branch)}, {Name: "b", Kind: "build", With: []byte(`{}`)}}}
	}
	for name, tt := range map[string]struct {
		before, after pipeline.Pipeline
		want          string
	}{
		"the same": {with("/a", "main", "/a"), with("/a", "main", "/a"), "[]"},
		"address":  {with("/a", "main", "/a"), with("https://u:secret@host/b", "main", "/a"), "[{p stage s /a, branch main https://***@host/b, branch main}]"},
		"branch":   {with("/a", "main", "/a"), with("/a", "next", "/a"), "[{p stage s /a, branch main /a, branch next}]"},
		"poll":     {with("/a", "main", "/a"), with("/a", "main", "/b"), "[{p trigger 1 /a, branch main /b, branch main}]"},
		"new":      {pipeline.Pipeline{}, with("/a", "main", "/a"), "[]"},
	} {
		if got := fmt.Sprint(moved(tt.before, tt.after)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
