package cloudformation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/wire"
)

// recording is what AWS answered in one test, by the name of the answer.
type recording map[string]any

// differences are answers that are not AWS's, each with why. One that agrees after
// all fails the test, so that the list stays true.
var differences = map[string]string{
	"test_changesets::test_changeset_for_deleted_stack/ErrorForInProgress": "a deletion has ended before the next call",
	"test_stacks::TestStacksApi::test_stack_name_creation/stack_response":  "the pattern is written as in the models that clients have",
	"test_stacks::test_blocked_stack_deletion/stack_events":                "AWS says of a creation that failed at once that it was initiated",
	"test_references::TestPseudoParameters::test_stack_id/stack-id":        "identifiers of stacks are random, AWS's hold a time",
}

// TestRecordedAnswers makes the calls that AWS answered in the recorded tests and
// compares every answer.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]recording
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	scenarios := scenarios()
	agree, total := 0, 0
	unused := maps.Clone(differences)
	for _, name := range slices.Sorted(maps.Keys(recorded)) {
		scenario := scenarios[name]
		if scenario == nil {
			t.Errorf("nobody makes the calls of %s", name)
			continue
		}
		got := recording{}
		scenario(newWorld(t), got)
		c := comparer{bound: map[string]string{}}
		for _, key := range slices.Sorted(maps.Keys(recorded[name])) {
			total++
			found := c.compare(recorded[name][key], plain(got[key]), "")
			why := differences[name+"/"+key]
			delete(unused, name+"/"+key)
			switch {
			case len(found) == 0 && why == "":
				agree++
			case len(found) == 0:
				t.Errorf("%s/%s agrees, and is listed as different (%s)", name, key, why)
			case why == "":
				t.Errorf("%s/%s differs:\n  %s", name, key, strings.Join(found, "\n  "))
			}
		}
	}
	for name := range unused {
		t.Errorf("%s is listed as different and is not there", name)
	}
	t.Logf("%d of %d recorded answers agree (%.0f %%)", agree, total, 100*float64(agree)/float64(total))
}

// plain is an answer as a client has it: of JSON's types.
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
	case int64:
		return float64(x)
	case int:
		return float64(x)
	}
	return v
}

// comparer compares a recorded answer with ours. Placeholders stand for one value
// each.
type comparer struct{ bound map[string]string }

var (
	placeholderForm = regexp.MustCompile(`<[a-z-]+(?:_[a-z]+)?(?::\d+)?>|CFN-[A-Za-z]+-\w{12}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|arn:<partition>`)
)

func (c comparer) compare(want, got any, path string) []string {
	if text, ok := got.(string); ok {
		if _, isText := want.(string); !isText { // a document of JSON, which clients read
			var v any
			if json.Unmarshal([]byte(text), &v) == nil {
				got = v
			}
		}
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, want %v", path, got, want)}
		}
		if k, ok := onlyUUID(w); ok {
			if l, ok := onlyUUID(g); ok {
				return c.compare(w[k], g[l], path)
			}
		}
		var out []string
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if k == "ResponseMetadata" {
				continue
			}
			if _, there := g[k]; !there {
				out = append(out, fmt.Sprintf("%s.%s is missing, want %v", path, k, w[k]))
				continue
			}
			out = append(out, c.compare(w[k], g[k], path+"."+k)...)
		}
		for k := range g {
			if _, there := w[k]; !there {
				out = append(out, fmt.Sprintf("%s.%s is %v, want nothing", path, k, g[k]))
			}
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s is %v, want %v", path, got, want)}
		}
		var out []string
		for i := range w {
			out = append(out, c.compare(w[i], g[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
		return out
	case string:
		if g, ok := got.(string); ok && c.text(w, g) {
			return nil
		}
	default:
		if want == got {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %v, want %v", path, got, want)}
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// onlyUUID is the one key of a map that is an identifier.
func onlyUUID(m map[string]any) (string, bool) {
	for k := range m {
		return k, len(m) == 1 && uuidForm.MatchString(k)
	}
	return "", false
}

// text says whether a text is a recorded one, with the same value wherever the same
// placeholder stands.
func (c comparer) text(want, got string) bool {
	if slices.Contains([]string{"datetime", "timestamp", "resource-status-reason", "secret-string", "shard-id", "date"}, want) {
		return true
	}
	want = strings.ReplaceAll(want, "111111111111", "000000000000")
	want = strings.ReplaceAll(want, "<region>", region)
	want = strings.ReplaceAll(want, "arn:<partition>", "arn:aws")
	var names []string
	pattern := "^"
	for {
		at := placeholderForm.FindStringIndex(want)
		if at == nil {
			break
		}
		pattern += regexp.QuoteMeta(want[:at[0]]) + "(.+?)"
		names = append(names, want[at[0]:at[1]])
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

// answered is an error as a client of Python has it, or the answer.
func answered(out object, err error) any {
	var e *wire.Error
	if !errors.As(err, &e) {
		return out
	}
	return object{"Error": object{"Code": e.Code, "Message": e.Message, "Type": "Sender"}}
}

// answeredJSON is answered for the services whose protocol is JSON.
func answeredJSON(out object, err error) any {
	v, _ := answered(out, err).(object)
	if e, ok := v["Error"].(object); ok {
		delete(e, "Type")
		if e["Message"] != "" {
			v["Message"] = e["Message"]
		}
	}
	return v
}

// said is an error as a client of Python prints it.
func said(operation string, err error) string {
	var e *wire.Error
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("An error occurred (%s) when calling the %s operation: %s", e.Code, operation, e.Message)
}

// deploy is what the recorded tests do for a stack: a change set that is executed.
func (w *world) deploy(stack, template string, parameters map[string]string) error {
	w.t.Helper()
	kind := "CREATE"
	if _, err := w.try("DescribeStacks", object{"StackName": stack}); err == nil {
		kind = "UPDATE"
	}
	in := object{"StackName": stack, "ChangeSetName": fmt.Sprint("set-", strings.ToLower(kind)), "ChangeSetType": kind, "TemplateBody": template,
		"Capabilities": []any{"CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}, "Parameters": given(parameters)}
	if _, err := w.try("CreateChangeSet", in); err != nil {
		return err
	}
	w.call("ExecuteChangeSet", object{"StackName": stack, "ChangeSetName": in["ChangeSetName"]})
	w.stack(stack)
	return nil
}

func given(parameters map[string]string) []any {
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(parameters)) {
		out = append(out, object{"ParameterKey": k, "ParameterValue": parameters[k]})
	}
	return out
}

// first is the first stack of an answer of DescribeStacks.
func (w *world) first(id string) any {
	w.t.Helper()
	return w.call("DescribeStacks", object{"StackName": id})["Stacks"].([]any)[0]
}
