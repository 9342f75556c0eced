package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// With the same commit, every changed option makes a new version in every region,
// and an unchanged delivery makes none.
func TestAChangedOptionIsANewVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := serviceFiles("red-black", "good", "v0")
	r := newRepo(t, files)
	file := filepath.Join(r.dir, "showrunner.yaml")
	versions := 0
	// deliver applies the options without a commit, and returns the version that
	// serves.
	deliver := func(what string, options ...string) {
		t.Helper()
		text := files["showrunner.yaml"]
		for n := 0; n < len(options); n += 2 {
			if !strings.Contains(text, options[n]) {
				t.Fatalf("%s: the file has no %q", what, options[n])
			}
			text = strings.Replace(text, options[n], options[n+1], 1)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if errs, code := w.deliver(r); code != 0 {
			t.Fatalf("%s: exit %d\n%s", what, code, errs)
		}
		want := fmt.Sprintf("api-prod-v%03d", versions)
		for _, c := range w.clusters() {
			serving := map[string]string{}
			for _, g := range c.Groups {
				if g.Enabled() {
					serving[g.Region] = g.Name
				}
			}
			for _, region := range w.regions {
				if serving[region] != want {
					t.Errorf("%s: %s serves in %s, want %s", what, serving[region], region, want)
				}
			}
		}
	}
	const command, health = "command: [./api]", "interval: 200ms"
	env := func(text string) []string { return []string{command, command + "\n          env: " + text} }
	deliver("the first")
	deliver("nothing changed")
	for _, change := range []struct {
		what    string
		options []string
	}{
		{"a variable added", env("{ A: one, B: two }")},
		{"a value changed", env("{ A: other, B: two }")},
		{"a variable removed", env("{ A: other }")},
		{"health", append(env("{ A: other }"), health, "interval: 250ms")},
		{"limits", append(env("{ A: other }"), "files: 64", "files: 65")},
		{"drain", append(env("{ A: other }"), "drain: 5s", "drain: 4s")},
		{"stickiness", append(env("{ A: other }"), "drain: 5s", "drain: 5s\n          sticky: true")},
		{"hooks", append(env("{ A: other }"), "drain: 5s", "drain: 5s\n          hooks: { terminate: { command: [/bin/true] } }")},
		{"scaling", append(env("{ A: other }"), "drain: 5s", "drain: 5s\n          scaling: [ { name: cpu, target: { metric: cpu, value: 0.8 } } ]")},
		{"command", []string{command, "command: [./api, --again]"}},
	} {
		versions++
		deliver(change.what, change.options...)
		deliver(change.what+", and then nothing", change.options...)
	}
}
