package importer_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"showrunner/importer"
	"showrunner/pipeline"
)

// TestEveryMemberIsAccountedFor walks each document of testdata. A member is
// carried over when the written file changes if the member is removed or gets
// another value; reading the member does not count. Every member that is not
// carried over has to be named in the notes.
func TestEveryMemberIsAccountedFor(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parts := strings.Split(filepath.Base(file), ".")
		if parts[1] == "options" || parts[1] == "golden" {
			continue
		}
		t.Run(parts[0], func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range unaccounted(t, parts[1], src, options(t, parts[0], filepath.Base(file))) {
				t.Errorf("%s is neither in the file nor in the notes", path)
			}
		})
	}
}

// unaccounted lists the members of a document that are neither carried over nor
// named in a note.
func unaccounted(t testing.TB, kind string, src []byte, opts importer.Options) []string {
	t.Helper()
	var doc any
	if err := json.Unmarshal(src, &doc); err != nil {
		t.Fatal(err)
	}
	r, err := run(kind, src, opts)
	if err != nil {
		t.Fatal(err)
	}
	before := meaning(r)
	var list []string
	visit(doc, func(v any) any { doc = v; return v }, func() {}, "", func(path string, set func(any), drop func()) {
		if named(r, path) || formMembers.MatchString(path) {
			return
		}
		changes := func(change func()) bool {
			change()
			raw, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			other, err := run(kind, raw, opts)
			return err != nil || meaning(other) != before || named(other, path)
		}
		if !changes(func() { set(nil) }) && !changes(drop) {
			list = append(list, path)
		}
	})
	return list
}

// formMembers are members that describe the form of a document. They act through other
// members, or not at all.
var formMembers = regexp.MustCompile(`(?i)^/(conditions/.*|parameters/[^/]+/type)$` + // decide about resources; parameters are texts
	`|/fn::if/0$|/fn::if/[12]/ref$` + // the condition decides; a branch that is left out is named
	`|/actiontypeid/(owner|version)$|/ruletypeid/(category|owner|version)$` + // an action type is told apart by category and provider
	`|/action/[0-9]+/(owner|version|run_order)$|/rule_type_id/0/(category|owner|version)$` + // Terraform's names of those
	`|/runorder$` + // only the order among the actions of a stage counts
	`|/refid$|/requisitestagerefids/[0-9]+$`) // Spinnaker's graph; that of stages that are left out is closed

// named says whether a note is about a member, or about everything inside a value
// that contains the member.
func named(r importer.Result, path string) bool {
	return slices.ContainsFunc(r.NotCarried, func(n importer.Note) bool {
		return n.Path == path || n.All && strings.HasPrefix(path, n.Path+"/")
	})
}

// meaning is the result of an import without its notes.
func meaning(r importer.Result) string {
	body, err := pipeline.Format(r.Document)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(string(body), r.Files, r.Outputs, r.Secrets)
}

// visit calls see with each leaf below v. In the call, set(nil) puts another
// value in the leaf's place and drop removes the leaf; both are undone after the
// call.
func visit(v any, put func(any) any, without func(), path string, see func(path string, set func(any), drop func())) {
	switch e := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(e)) {
			child := e[k]
			visit(child, func(w any) any { e[k] = w; return w }, func() { delete(e, k) }, path+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(k), see)
			e[k] = child
		}
		return
	case []any:
		for i, child := range e {
			visit(child, func(w any) any { e[i] = w; return w }, func() { e[i] = nil }, path+"/"+strconv.Itoa(i), see)
			e[i] = child
		}
		return
	case nil:
		return
	}
	see(path, func(any) { put(different(v)) }, without)
	put(v)
}

// different is another value of the same kind.
func different(v any) any {
	switch e := v.(type) {
	case bool:
		return !e
	case float64:
		return e + 1
	case string:
		if e == "ENABLED" {
			return "DISABLED"
		}
		if b, err := strconv.ParseBool(e); err == nil && len(e) > 1 {
			return strconv.FormatBool(!b)
		}
		if n, err := strconv.Atoi(e); err == nil {
			return strconv.Itoa(n + 1)
		}
		return e + "x"
	}
	return "other"
}
