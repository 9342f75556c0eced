package chaosmonkey

import (
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/chaos/monkey"
)

const attributes = `{
  "name": "storefront",
  "attributes": {
    "email": "ada@example.com",
    "chaosMonkey": {
      "enabled": true,
      "grouping": "stack",
      "meanTimeBetweenKillsInWorkDays": 5,
      "minTimeBetweenKillsInWorkDays": 2,
      "regionsAreIndependent": true,
      "exceptions": [{"account": "prod", "region": "*", "stack": "db", "detail": "*"}]
    }
  },
  "clusters": {"prod": [{"name": "storefront-web"}, {"name": "storefront-db-main"}], "test": ["storefront-web"]}
}`

func TestSpinnakersAnswer(t *testing.T) {
	t.Parallel()
	doc, ds := Read("storefront.json", []byte(attributes))
	if len(ds) > 0 {
		t.Fatalf("%s", ds)
	}
	a := doc.Applications[0]
	if a.Name != "storefront" || !a.Enabled || a.Grouping != "stack" || a.Mean != 5 || a.Min != 2 || !a.RegionsAreIndependent || a.Path != "/attributes/chaosMonkey" || a.At.Line != 1 {
		t.Errorf("%+v", a)
	}
	if want := []monkey.Exception{{Account: "prod", Region: "*", Stack: "db", Detail: "*"}}; !slices.Equal(a.Exceptions, want) {
		t.Errorf("exceptions %+v", a.Exceptions)
	}
	if len(a.Clusters) != 3 || a.Clusters[0].Name != "storefront-db-main" || a.Clusters[0].Stack != "db" || a.Clusters[0].Detail != "main" {
		t.Errorf("clusters %+v", a.Clusters)
	}
	s, err := a.Settings(nil)
	if err != nil || s.From != 9*60 || s.To != 15*60 || s.Zone.String() != "America/Los_Angeles" || s.DryRun {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestFormsOfApplications(t *testing.T) {
	t.Parallel()
	const one = `"enabled": true, "grouping": "app", "meanTimeBetweenKillsInWorkDays": 2, "minTimeBetweenKillsInWorkDays": 1`
	for src, want := range map[string][]string{
		`{` + one + `}`: {"shop"},
		`{"name": "a", "chaosMonkey": {` + one + `}}`: {"a"},
		`[{"name": "a", "chaosMonkey": {` + one + `}}, {"name": "b", "attributes": {"chaosMonkey": {"enabled": false}}}]`: {"a", "b"},
		`{"applications": [{"name": "a", ` + one + `}]}`:                                                                  {"a"},
		"\ufeff\t{" + one + "}": {"shop"},
		`{"enabled": false}`:    {"shop"},
		`{"chaosmonkey": {"start_hour": 8}, "applications": [{"name": "a", ` + one + `}]}`: {"a"},
	} {
		if !Is([]byte(src)) {
			t.Errorf("not recognized: %s", src)
		}
		doc, ds := Read("shop.json", []byte(src))
		if ds.HasErrors() {
			t.Errorf("%s\n%s", src, ds)
			continue
		}
		var names []string
		for _, a := range doc.Applications {
			names = append(names, a.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: %v", src, names)
		}
	}
}

func TestApplicationMistakes(t *testing.T) {
	t.Parallel()
	const one = `"enabled": true, "grouping": "app", "meanTimeBetweenKillsInWorkDays": 2, "minTimeBetweenKillsInWorkDays": 1`
	for _, tt := range []struct{ src, at, says string }{
		{`{"enabled": true, "grouping": "app", "minTimeBetweenKillsInWorkDays": 1}`, "1:1", "meanTimeBetweenKillsInWorkDays of application \"shop\" is missing"},
		{`{"enabled": true, "grouping": "app", "meanTimeBetweenKillsInWorkDays": 1}`, "1:1", "minTimeBetweenKillsInWorkDays of application \"shop\" is missing"},
		{`{"enabled": true, "meanTimeBetweenKillsInWorkDays": 1, "minTimeBetweenKillsInWorkDays": 1}`, "1:1", "grouping of application \"shop\" is missing"},
		{`{"grouping": "app"}`, "1:1", `enabled of application "shop" is missing`},
		{"{" + one + ",\n \"grouping\": \"clustr\"}", "2:14", `did you mean "cluster"?`},
		{"{" + one + ",\n \"meanTimeBetweenKillsInWorkDays\": 0}", "2:36", "must be at least 1, not 0"},
		{"{" + one + ",\n \"meanTimeBetweenKillsInWorkDays\": \"3\"}", "2:36", "write 3, without quotes"},
		{"{" + one + ",\n \"meanTimeBetweenKillsInWorkDays\": 2.5}", "2:36", "must be a whole number, not the number 2.5"},
		{"{" + one + ",\n \"minTimeBetweenKillsInWorkDays\": -1}", "2:35", "must be at least 0, not -1"},
		{"{" + one + ",\n \"enabled\": \"true\"}", "2:13", "must be true or false"},
		{"{" + one + ",\n \"exceptions\": {}}", "2:16", "must be a list"},
		{"{" + one + ",\n \"exceptions\": [{\"region\": \"*\"}]}", "2:17", "has no account"},
		{"{" + one + ",\n \"exceptions\": [\"prod\"]}", "2:17", "must be an object, not the text \"prod\""},
		{"{" + one + ",\n \"exceptions\": [{\"account\": \"prod-*\", \"region\": \"*\"}]}", "2:29", "matches nothing: only * alone"},
		{"{" + one + ",\n \"whitelist\": []}", "2:15", "Chaos Monkey ends nothing of this application"},
		{"{" + one + ",\n \"meanTime\": 3}", "2:2", "has no setting \"meanTime\""},
		{`{"name": "a", "email": "x"}`, "1:1", `application "a" has no settings of Chaos Monkey`},
		{`{"name": "a", "chaosmonkey": {` + one + `}}`, "1:30", "write chaosMonkey"},
		{`[3]`, "1:2", "an application must be an object"},
		{`[{"name": "a", ` + one + `}, {"name": "a", ` + one + `}]`, "1:126", `application "a" is there twice`},
		{`3`, "1:1", "an object, not the number 3"},
		{"{\"enabled\": true,\n", "2:1", "ends too early"},
		{"{\"enabled\": yes}", "1:13", "not readable as JSON"},
		{"{" + one + "} x", "", "not readable as JSON"},
	} {
		_, ds := Read("shop.json", []byte(tt.src))
		found := false
		for _, d := range ds {
			at := tt.at == "" || strings.Contains(d.File+":"+itoa(d.Line)+":"+itoa(d.Column), "shop.json:"+tt.at)
			found = found || at && strings.Contains(d.Message+" "+d.Help+" "+" did you mean \""+d.Suggestion+"\"?", tt.says)
		}
		if !found {
			t.Errorf("%s: not %q at %s:\n%s", tt.src, tt.says, tt.at, ds)
		}
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestProgram(t *testing.T) {
	t.Parallel()
	doc, ds := Read("chaosmonkey.toml", []byte(`
[chaosmonkey]
enabled = true
schedule_enabled = true
leashed = false
accounts = '["prod", "test"]'   # a list as JSON is allowed too
start_hour = 8
end_hour = 17
time_zone = "Europe/Berlin"
cron_expression = "0 6 * * 1,3"
[database]
host = "db"
[spinnaker]
endpoint = "http://spinnaker.example.com:8084"
`))
	if len(ds) > 0 {
		t.Fatalf("%s", ds)
	}
	p := doc.Program
	if !p.Enabled || !p.ScheduleEnabled || p.Leashed || !slices.Equal(p.Accounts, []string{"prod", "test"}) || p.StartHour != 8 || p.EndHour != 17 || p.Inert() != "" {
		t.Errorf("%+v, %s", p, p.Inert())
	}
	if days, ok := p.Weekdays(); !ok || !slices.Equal(days, []string{"mon", "wed"}) {
		t.Errorf("days %v, %v", days, ok)
	}
	s, err := DefaultApplication("a").Settings(p)
	if err != nil || s.From != 8*60 || s.To != 17*60 || s.Zone.String() != "Europe/Berlin" {
		t.Errorf("%+v, %v", s, err)
	}
	// It draws on Monday and Wednesday, and counts Monday to Friday.
	for day := 1; day <= 7; day++ {
		d := monkey.Date{Year: 2026, Month: time.June, Day: day} // the first is a Monday
		if got, want := s.Draws(d), day == 1 || day == 3; got != want {
			t.Errorf("draws on %s: %v", d, got)
		}
		if got, want := s.DayOff(d) == "", day <= 5; got != want {
			t.Errorf("counts %s: %v", d, got)
		}
	}
}

func TestProgramMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ src, at, says string }{
		{"start_hour = 24", "2:14", "at most 23"},
		{"start_hour = 15", "2:14", "end_hour 15 is not after start_hour 15"},
		{"end_hour = 9", "2:12", "end_hour 9 is not after start_hour 9"},
		{"start_hour = \"9\"", "2:14", "write 9, without quotes"},
		{"time_zone = \"Mars\"", "2:13", "is no time zone"},
		{"accounts = \"prod\"", "2:12", `write a list such as ["prod", "test"]`},
		{"accounts = [1]", "2:1", "one of them is the number 1"},
		{"cron_expression = \"0 7 * *\"", "2:19", "five fields"},
		{"leashed = 1", "2:11", "true or false"},
		{"trackers = [\"x\"]", "", "showrunner subscriptions"},
		{"starthour = 9", "2:1", `did you mean "start_hour"?`},
		{"enabled = true\nenabled = false", "3:1", "not readable as TOML"},
		{"enabled =", "2:10", "not readable as TOML"},
	} {
		_, ds := Read("chaosmonkey.toml", []byte("[chaosmonkey]\n"+tt.src+"\n"))
		text := ds.String()
		if !strings.Contains(text, tt.says) || !strings.Contains(text, "chaosmonkey.toml:"+tt.at) {
			t.Errorf("%q: not %q at %s:\n%s", tt.src, tt.says, tt.at, text)
		}
	}
	for src, want := range map[string]string{
		"":                        "schedule_enabled is false (the default)",
		"schedule_enabled = true": "enabled is false (the default)",
		"schedule_enabled = true\nenabled = true": "names no account (the default)",
		"schedule_enabled = false":                "schedule_enabled is false:",
	} {
		doc, ds := Read("chaosmonkey.toml", []byte("[chaosmonkey]\n"+src+"\n"))
		if len(ds) > 0 || !strings.Contains(doc.Program.Inert(), want) {
			t.Errorf("%q: %v %s", src, doc, ds)
		}
	}
}

func TestServerGroups(t *testing.T) {
	t.Parallel()
	doc, ds := Read("a.json", []byte(`{"name": "a", "enabled": true, "grouping": "app", "meanTimeBetweenKillsInWorkDays": 1, "minTimeBetweenKillsInWorkDays": 0, "serverGroups": [
		{"name": "a-b-v003", "account": "prod", "region": "r1", "instances": [{}, {}, {}]},
		{"name": "a-b-v002", "account": "prod", "region": "r1", "isDisabled": true, "instances": [{}]},
		{"name": "a-v001-v004", "cluster": "a-v001", "account": "prod", "region": "r2"}]}`))
	if len(ds) > 0 {
		t.Fatalf("%s", ds)
	}
	b, v := monkey.NewCluster("a", "prod", "r1", "a-b"), monkey.NewCluster("a", "prod", "r2", "a-v001")
	b.Instances, v.Instances = 3, 1
	if got := doc.Applications[0].Clusters; !slices.Equal(got, []monkey.Cluster{b, v}) {
		t.Errorf("%+v", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(attributes))
	f.Add([]byte("[chaosmonkey]\nenabled = true\na.b = {c = [1, {d = 2}]}\n[[x]]\ny = 1\n[[x]]\n"))
	f.Add([]byte("[[[{}]]]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		doc, ds := Read("file", src)
		if doc == nil && !ds.HasErrors() {
			t.Fatal("no document and no error")
		}
		if doc == nil {
			return
		}
		for _, a := range doc.Applications {
			if _, err := a.Settings(doc.Program); err != nil {
				t.Fatalf("read without an error, and then: %v", err)
			}
		}
	})
}
