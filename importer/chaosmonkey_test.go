package importer

import (
	"reflect"
	"strings"
	"testing"

	"showrunner/pipeline"
)

// chaosNotes imports documents and returns the blocks and the notes by path.
func chaosNotes(t *testing.T, docs ...string) (ChaosResult, map[string]Note) {
	t.Helper()
	var files []ChaosFile
	for _, d := range docs {
		name := "storefront.json"
		if strings.HasPrefix(d, "[") {
			name = "chaosmonkey.toml"
		}
		files = append(files, ChaosFile{name, []byte(d)})
	}
	r, ds, err := ChaosMonkey(files, "")
	if err != nil {
		t.Fatalf("%v\n%s", err, ds)
	}
	notes := map[string]Note{}
	for _, n := range r.NotCarried {
		notes[n.Path] = n
	}
	return r, notes
}

const chaosApplication = `{"name": "storefront", "attributes": {"chaosMonkey": {"enabled": true, "grouping": "stack", "regionsAreIndependent": true,
	"meanTimeBetweenKillsInWorkDays": 4, "minTimeBetweenKillsInWorkDays": 0, "exceptions": [{"account": "prod", "region": "*", "stack": "db", "detail": "*"}]}}}`

func TestChaosMonkeyImport(t *testing.T) {
	t.Parallel()
	r, notes := chaosNotes(t, chaosApplication, "[chaosmonkey]\nenabled = true\nschedule_enabled = true\nleashed = true\naccounts = [\"prod\"]\nstart_hour = 10\n"+
		"cron_expression = \"0 7 * * 1-4\"\ntrackers = [\"atlas\"]\ncron_path = \"/etc/cron.d/x\"\n[spinnaker]\nendpoint = \"http://x\"\n")
	none := 0
	want := &pipeline.Chaos{Enabled: true, Grouping: "stack", Mean: 4, Min: &none, RegionsAreIndependent: true, DryRun: true, Zone: "America/Los_Angeles",
		Exceptions: []pipeline.ChaosException{{Account: "prod", Region: "*", Stack: "db", Detail: "*"}},
		Hours:      &pipeline.ChaosHours{From: "10:00", To: "15:00"}, Days: []string{"mon", "tue", "wed", "thu"}}
	if len(r.Blocks) != 1 || !reflect.DeepEqual(r.Blocks[0].Chaos, want) {
		t.Fatalf("%+v", r.Blocks[0].Chaos)
	}
	doc, ds := pipeline.ParseChaos("x", r.Blocks[0].YAML)
	if len(ds) > 0 || !reflect.DeepEqual(doc.Chaos, want) || doc.Application != "storefront" {
		t.Errorf("%s%s", ds, r.Blocks[0].YAML)
	}
	for path, severity := range map[string]Severity{"/chaosmonkey/accounts": Warning, "/chaosmonkey/trackers": Warning, "/chaosmonkey/cron_path": Info, "/spinnaker/endpoint": Info,
		"/chaosmonkey/cron_expression": Warning, "/attributes/chaosMonkey/exceptions": Warning} {
		if notes[path].Severity != severity {
			t.Errorf("%s: %+v", path, notes[path])
		}
	}
}

// TestChaosMonkeyAccountsForEveryKey: each key of chaosmonkey.toml is carried over or
// named in a note.
func TestChaosMonkeyAccountsForEveryKey(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"enabled": "true", "leashed": "false", "schedule_enabled": "true", "accounts": `["a"]`, "start_hour": "9", "end_hour": "15", "time_zone": `"UTC"`, "max_apps": "3", "trackers": "[]",
		"error_counter": `""`, "decryptor": `""`, "outage_checker": `""`, "cron_path": `"x"`, "term_path": `"x"`, "term_account": `"x"`, "schedule_cron_path": `"x"`, "schedule_path": `"x"`, "log_path": `"x"`,
		"cron_expression": `"0 7 1 * *"`, "made_up": "1"}
	text := "[chaosmonkey]\n"
	for k, v := range keys {
		text += k + " = " + v + "\n"
	}
	r, notes := chaosNotes(t, chaosApplication, text)
	for k := range keys {
		path := "/chaosmonkey/" + k
		_, noted := notes[path]
		for _, c := range r.Carried {
			noted = noted || c.Path == path
		}
		if !noted {
			t.Errorf("%s is neither carried over nor noted", k)
		}
	}
	if notes["/chaosmonkey/cron_expression"].Severity != Error {
		t.Error("a cron line of days of the month is no error")
	}
}

func TestChaosMonkeyThatEndsNothing(t *testing.T) {
	t.Parallel()
	for name, docs := range map[string][]string{
		"program":   {chaosApplication, "[chaosmonkey]\nenabled = true\nschedule_enabled = true\n"},
		"whitelist": {strings.Replace(chaosApplication, `"enabled": true`, `"enabled": true, "whitelist": []`, 1)},
	} {
		r, _ := chaosNotes(t, docs...)
		why := ""
		for _, n := range r.NotCarried {
			why += n.Why
		}
		if r.Blocks[0].Chaos.Enabled || !strings.Contains(why, "enabled: false") {
			t.Errorf("%s: %+v, %s", name, r.Blocks[0].Chaos, why)
		}
	}
	for _, wrong := range []string{"application: shop\n", `{"name": "a"}`, "[chaosmonkey]\nenabled = true\n"} {
		if _, _, err := ChaosMonkey([]ChaosFile{{"x", []byte(wrong)}}, ""); err == nil {
			t.Errorf("%q is imported", wrong)
		}
	}
}
