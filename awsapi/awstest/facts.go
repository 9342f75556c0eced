package awstest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// Fact is what AWS was recorded to answer to one call, stated in a test.
type Fact struct {
	Name, Operation string
	In              map[string]any
	// Want is the answer, with placeholders as recordings have them; nil for a call
	// whose answer is not compared.
	Want any
	// Different says why our answer is another one; empty: it is AWS's.
	Different string
}

// Fails is an answer that is an error.
func Fails(code, message string) map[string]any {
	return map[string]any{"Error": map[string]any{"Code": code, "Message": message}}
}

// Facts makes the calls of recorded tests, each against an endpoint of its own, and
// compares the answers with what AWS answered. share is what docs/aws.md says: AGREE of TOTAL.
func Facts(t *testing.T, service, share string, open func(t *testing.T) *Client, tests map[string][]Fact) {
	t.Helper()
	agree, total := 0, 0
	for _, test := range slices.Sorted(maps.Keys(tests)) {
		client, c := open(t), Comparer{Region: Region}
		for _, fact := range tests[test] {
			in, _ := c.filled(fact.In).(map[string]any)
			got := client.Inside(service, fact.Operation, in)
			if fact.Want == nil {
				if got["Error"] != nil {
					t.Errorf("%s: %s(%v): %v", test, fact.Operation, in, got["Error"])
				}
				continue
			}
			total++
			found := c.Compare(fact.Want, got)
			switch {
			case len(found) == 0 && fact.Different == "":
				agree++
			case len(found) == 0:
				t.Errorf("%s/%s agrees, and is listed as different (%s)", test, fact.Name, fact.Different)
			case fact.Different == "":
				t.Errorf("%s/%s differs:\n  %s", test, fact.Name, strings.Join(found, "\n  "))
			}
		}
		for _, twice := range c.sameRevisions() {
			t.Errorf("%s: %s", test, twice)
		}
	}
	if got := fmt.Sprintf("%d of %d", agree, total); got != share {
		t.Errorf("%s stated answers agree; say so here and in docs/aws.md", got)
	}
	if page, err := os.ReadFile("../../docs/aws.md"); err != nil || !strings.Contains(string(page), "| "+share+" |") {
		t.Errorf("docs/aws.md does not say that %s answers agree (%v)", share, err)
	}
}

// sameRevisions are placeholders of identifiers that stand for the same one: what has
// changed has another.
func (c *Comparer) sameRevisions() (found []string) {
	by := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.bound)) {
		if !strings.HasPrefix(name, "<uuid:") {
			continue
		}
		if other := by[c.bound[name]]; other != "" {
			found = append(found, fmt.Sprintf("%s and %s are both %s", other, name, c.bound[name]))
		}
		by[c.bound[name]] = name
	}
	return found
}

// filled is an input whose placeholders are what earlier answers have bound them to.
func (c *Comparer) filled(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			out[k] = c.filled(e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = c.filled(e)
		}
		return out
	case string:
		if had, ok := c.bound[x]; ok {
			return had
		}
	}
	return v
}
