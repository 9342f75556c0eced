package importer_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"showrunner/importer"
)

// TestMutations replaces each value of the JSON documents in turn: no import may
// panic, and each import that succeeds is sound.
func TestMutations(t *testing.T) {
	t.Parallel()
	others := []any{
		nil, 1.0, "x", "", true, []any{}, map[string]any{}, []any{nil}, map[string]any{"Ref": "Nobody"}, map[string]any{"Ref": "AWS::NoValue"},
		map[string]any{"Fn::If": []any{"Nobody", "a", "b"}}, "${{ secrets.X }}", "#{a.b}", "a\nb\u0000\x01c\x02", strings.Repeat("ä", 200),
	}
	for _, name := range []string{"cross-region.cdk.json", "two-pipelines.cdk.json", "self-mutating.cdk.json", "with-project.codepipeline.json", "awkward.codepipeline.json", "deck.spinnaker.json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			var doc any
			if err := json.Unmarshal(src, &doc); err != nil {
				t.Fatal(err)
			}
			tried, imported := 0, 0
			mutate(doc, func(v any) any { doc = v; return v }, "", func(path string) {
				raw, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				tried++
				r, err := run(strings.Split(name, ".")[1], raw, importer.Options{SourceOverrides: map[string]string{"Git": "/srv/git"}})
				if err != nil {
					return
				}
				imported++
				checkSound(t, r)
				if t.Failed() {
					t.Fatalf("with another value at %s", path)
				}
			}, others, new(int))
			if tried < 50 || imported < tried/2 {
				t.Errorf("%d tried, %d imported", tried, imported)
			}
		})
	}
}

// mutate calls try once for each value below v, with the value replaced by the
// next replacement, and restores the value.
func mutate(v any, set func(any) any, path string, try func(string), others []any, n *int) {
	*n++
	set(others[*n%len(others)])
	try(path + " = " + strconv.Itoa(*n%len(others)))
	set(v)
	switch e := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(e)) {
			child := e[k]
			mutate(child, func(w any) any { e[k] = w; return w }, path+"/"+k, try, others, n)
		}
	case []any:
		for i, child := range e {
			mutate(child, func(w any) any { e[i] = w; return w }, path+"/"+strconv.Itoa(i), try, others, n)
		}
	}
}
