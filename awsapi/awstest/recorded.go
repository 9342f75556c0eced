package awstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Answers are what one recorded test was answered, by the names of its answers.
type Answers = map[string]any

// Recorded compares answers with those that AWS gave in recorded tests.
type Recorded struct {
	File   string // of the answers by test, which is the name after the last file's
	Region string
	// Different are answers that are not AWS's, by TEST/ANSWER, or TEST/* for a whole
	// test, each with why. One that agrees after all fails the test, so that the list
	// stays true.
	Different map[string]string
	// Share is what the documentation says: AGREE of TOTAL, without whole tests of what
	// is not served.
	Share string
}

// Compare makes the calls of each recorded test and compares its answers. calls is
// nil for a test whose calls are not made.
func (r Recorded) Compare(t *testing.T, calls func(test string) func() Answers) {
	t.Helper()
	text, err := os.ReadFile(r.File)
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]Answers
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	agree, total, unused := 0, 0, maps.Clone(r.Different)
	for _, test := range slices.Sorted(maps.Keys(recorded)) {
		if unused[test+"/*"] != "" { // it is of something that is not served
			delete(unused, test+"/*")
			continue
		}
		total += len(recorded[test])
		make := calls(test)
		if make == nil {
			t.Errorf("nobody makes the calls of %s", test)
			continue
		}
		got, c := make(), Comparer{Region: r.Region}
		for _, key := range slices.Sorted(maps.Keys(recorded[test])) {
			name := test + "/" + key
			found := c.Compare(recorded[test][key], got[key])
			why := r.Different[name]
			delete(unused, name)
			switch {
			case len(found) == 0 && why == "":
				agree++
			case len(found) == 0:
				t.Errorf("%s agrees, and is listed as different (%s)", name, why)
			case why == "":
				t.Errorf("%s differs:\n  %s", name, strings.Join(found, "\n  "))
			}
		}
	}
	for name := range unused {
		t.Errorf("%s is listed as different and is not there", name)
	}
	if share := fmt.Sprintf("%d of %d", agree, total); share != r.Share {
		t.Errorf("%s recorded answers agree; say so in Share and in docs/aws.md", share)
	}
	if page, err := os.ReadFile("../../docs/aws.md"); err != nil || !strings.Contains(string(page), "| "+r.Share+" |") {
		t.Errorf("docs/aws.md does not say that %s recorded answers agree (%v)", r.Share, err)
	}
}

// Comparer compares recorded answers with ours. A placeholder stands for one value,
// wherever it is; the account and the region are ours.
type Comparer struct {
	Region string
	bound  map[string]string
}

// Compare says where an answer is not the recorded one; nothing when it is.
func (c *Comparer) Compare(want, got any) []string {
	if c.bound == nil {
		c.bound = map[string]string{}
	}
	return c.compare(plainError(want), plainError(plain(got)), "")
}

// plain is an answer as a client of Python has it.
func plain(v any) any {
	switch x := v.(type) {
	case time.Time:
		return "datetime"
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			out[k] = plain(e)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range x {
			out = append(out, plain(e))
		}
		return out
	case []byte:
		return pythonBytes(x)
	case int64:
		return float64(x)
	case int:
		return float64(x)
	}
	return v
}

// pythonBytes is how Python writes bytes.
func pythonBytes(b []byte) string {
	var out strings.Builder
	for _, c := range b {
		if c < ' ' || c > '~' {
			fmt.Fprintf(&out, "\\x%02x", c)
		} else {
			out.WriteByte(c)
		}
	}
	return "b'" + out.String() + "'"
}

// plainError is an answer without what only some of the recorded errors repeat: the
// type, and the message beside the error.
func plainError(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	e, ok := m["Error"].(map[string]any)
	if !ok || e["Code"] == nil {
		return v
	}
	message, _ := e["Message"].(string) // some have none
	return map[string]any{"Error": map[string]any{"Code": e["Code"], "Message": message}}
}

var (
	placeholderForm = regexp.MustCompile(`<[A-Za-z0-9_:-]+>|CFN-[A-Za-z]+-\w{12}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	wholeForm       = regexp.MustCompile(`^(?:` + placeholderForm.String() + `)$`)
	// anyValue are words of the recordings that stand for any value.
	anyValue = []string{"datetime", "<datetime>", "timestamp", "last-updated-time", "resource-status-reason", "secret-string", "shard-id", "date", "starting_hash", "ending_hash",
		"too-old-log-event-end-index", "too-new-log-event-start-index"}
)

func (c *Comparer) compare(want, got any, path string) []string {
	if text, ok := got.(string); ok {
		if _, isText := want.(string); !isText { // a document of JSON, which clients read
			var v any
			if plain, err := url.QueryUnescape(text); err == nil && strings.HasPrefix(text, "%") {
				text = plain // IAM's documents
			}
			if json.Unmarshal([]byte(text), &v) == nil {
				got = v
			}
		}
	}
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			return c.members(w, g, path)
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		var out []string
		for i := range w {
			out = append(out, c.compare(w[i], g[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
		return out
	case string:
		if g, ok := got.(string); ok && c.text(w, g) || slices.Contains(anyValue, w) && got != nil {
			return nil
		}
	default:
		if want == got {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %v, want %v", path, got, want)}
}

// members compares two maps. Texts that are a placeholder come first: they say what
// the placeholder stands for in longer texts.
func (c *Comparer) members(w, g map[string]any, path string) []string {
	keys := slices.Sorted(maps.Keys(w))
	slices.SortStableFunc(keys, func(a, b string) int { return rank(w[a]) - rank(w[b]) })
	var out []string
	taken := map[string]bool{}
	for _, k := range keys {
		if k == "ResponseMetadata" {
			continue
		}
		name := c.key(w, g, k, taken)
		taken[name] = true
		if _, there := g[name]; !there {
			out = append(out, fmt.Sprintf("%s.%s is missing, want %v", path, k, w[k]))
			continue
		}
		out = append(out, c.compare(w[k], g[name], path+"."+k)...)
	}
	for k := range g {
		if !taken[k] {
			out = append(out, fmt.Sprintf("%s.%s is %v, want nothing", path, k, g[k]))
		}
	}
	return out
}

func rank(v any) int {
	if text, ok := v.(string); ok && wholeForm.MatchString(text) {
		return 0
	}
	return 1
}

// key is the key that a recorded one stands for: what a placeholder is bound to, or
// the first one whose value is as recorded.
func (c *Comparer) key(w, g map[string]any, k string, taken map[string]bool) string {
	if !wholeForm.MatchString(k) {
		return k
	}
	if had, ok := c.bound[k]; ok {
		return had
	}
	for _, candidate := range slices.Sorted(maps.Keys(g)) {
		trial := Comparer{Region: c.Region, bound: maps.Clone(c.bound)}
		if !taken[candidate] && !slices.Contains(slices.Collect(maps.Values(c.bound)), candidate) && len(trial.compare(w[k], g[candidate], "")) == 0 {
			c.bound[k] = candidate
			return candidate
		}
	}
	return k
}

// text says whether a text is a recorded one, with the same value wherever the same
// placeholder stands.
func (c *Comparer) text(want, got string) bool {
	if slices.Contains(anyValue, want) {
		return true
	}
	want = strings.NewReplacer("111111111111", "000000000000", "<region>", c.Region, "arn:<partition>", "arn:aws").Replace(want)
	var names []string
	pattern := "^"
	for {
		at := placeholderForm.FindStringIndex(want)
		if at == nil {
			break
		}
		name := want[at[0]:at[1]]
		pattern += regexp.QuoteMeta(want[:at[0]])
		if had, ok := c.bound[name]; ok && strings.HasPrefix(name, "<") {
			pattern += regexp.QuoteMeta(had)
		} else {
			pattern += "(.+?)"
			names = append(names, name)
		}
		want = want[at[1]:]
	}
	rest := regexp.QuoteMeta(want)
	if strings.HasSuffix(rest, "-date") {
		rest = strings.TrimSuffix(rest, "date") + ".+"
	}
	found := regexp.MustCompile(pattern + rest + "$").FindStringSubmatch(got)
	if found == nil {
		return false
	}
	for i, name := range names {
		if had, ok := c.bound[name]; ok && had != found[i+1] && strings.HasPrefix(name, "<") {
			return false
		}
		c.bound[name] = found[i+1]
	}
	return true
}
