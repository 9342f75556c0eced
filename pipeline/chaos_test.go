package pipeline

import (
	"reflect"
	"strings"
	"testing"
)

// chaosFile puts a block of Chaos Monkey into a valid file.
func chaosFile(block string) []byte {
	return []byte("application: shop\nchaos:\n" + block + "pipelines: { p: { stages: { s: { wait: { for: 1s } } } } }\n")
}

func TestChaosIsRead(t *testing.T) {
	t.Parallel()
	src := chaosFile(`  enabled: true
  grouping: stack
  meanTimeBetweenKillsInWorkDays: 5
  minTimeBetweenKillsInWorkDays: 0
  regionsAreIndependent: true
  exceptions: [{ account: "*", region: us-east-1, stack: prod, detail: "*" }]
  hours: { from: "10:00", to: "24:00" }
  zone: Europe/Paris
  days: [sun, mon]
  holidays: [us, 2026-12-24, 2026-12-24..2027-01-01, 02-29]
  dryRun: true
  duringRollouts: true
`)
	doc, ds := Parse("showrunner.yaml", src)
	if len(ds) > 0 {
		t.Fatalf("%s", ds)
	}
	none := 0
	want := &Chaos{Enabled: true, Grouping: "stack", Mean: 5, Min: &none, RegionsAreIndependent: true,
		Exceptions: []ChaosException{{Account: "*", Region: "us-east-1", Stack: "prod", Detail: "*"}},
		Hours:      &ChaosHours{From: "10:00", To: "24:00"}, Zone: "Europe/Paris", Days: []string{"sun", "mon"},
		Holidays: []string{"us", "2026-12-24", "2026-12-24..2027-01-01", "02-29"}, DryRun: true, DuringRollouts: true}
	if !reflect.DeepEqual(doc.Chaos, want) {
		t.Errorf("got %+v", doc.Chaos)
	}
	if err := bySchema(t, compiledSchema(t), src); err != nil {
		t.Errorf("by the schema: %v", err)
	}
	out, err := Format(doc)
	if err != nil {
		t.Fatal(err)
	}
	again, ds := Parse("formatted.yaml", out)
	if len(ds) > 0 || !reflect.DeepEqual(doc, again) {
		t.Errorf("does not survive Format:\n%s%s", out, ds)
	}
}

func TestChaosMistakes(t *testing.T) {
	t.Parallel()
	around := Surroundings{Accounts: map[string][]string{"local": {"us-east-1", "eu-west-1"}}}
	for _, tt := range []struct{ block, at, says string }{
		{"  grouping: clusters\n", "3:13", `did you mean "cluster"?`},
		{"  meanTimeBetweenKillsInWorkDays: 0\n", "3:35", "must be at least 1, not 0"},
		{"  meanTimeBetweenKillsInWorkDays: 1.5\n", "3:35", "must be a whole number"},
		{"  minTimeBetweenKillsInWorkDays: -1\n", "3:34", "must be at least 0, not -1"},
		{"  meanTimeBetweenKillsInWorkDays: 2\n  minTimeBetweenKillsInWorkDays: 4\n", "4:34", "5 working days apart on average"},
		{"  mean: 3\n", "3:3", `did you mean "meanTimeBetweenKillsInWorkDays"?`},
		{"  timezone: UTC\n", "3:3", `did you mean "zone"?`},
		{"  zone: America/Los_Angelos\n", "3:9", "IANA time zone"},
		{"  hours: 9-17\n", "3:10", `write { from: "09:00", to: "17:00" }`},
		{"  hours: { from: \"16:00\" }\n", "3:10", "16:00 is not before 15:00"},
		{"  hours: { from: \"9:00\" }\n", "3:18", "a time of day such as 09:00"},
		{"  hours: { from: \"15:00\", to: \"09:00\" }\n", "3:10", "15:00 is not before 09:00"},
		{"  days: []\n", "3:9", "names no day"},
		{"  days: [monday]\n", "3:10", `did you mean "mon"?`},
		{"  holidays: [usa]\n", "3:14", `did you mean "us"?`},
		{"  holidays: [2026-02-30]\n", "3:14", "a day such as 2026-12-24"},
		{"  holidays: [02-30]\n", "3:14", `no year has a day "02-30"`},
		{"  holidays: [2027-01-01..2026-12-24]\n", "3:14", "ends before it begins"},
		{"  exceptions: [{ account: local }]\n", "3:16", `needs "region"`},
		{"  exceptions: [{ account: local, region: us-*, stack: a }]\n", "3:42", `"us-*" would match nothing`},
		{"  exceptions: [{ account: prod, region: \"*\" }]\n", "3:27", `there is no account "prod"`},
		{"  exceptions: [{ account: local, region: us-est-1 }]\n", "3:42", `did you mean "us-east-1"?`},
		{"  exceptions: [{ account: \"*\", region: us-est-1 }]\n", "3:40", `did you mean "us-east-1"?`},
		{"  whitelist: []\n", "3:3", "write enabled: false, or exceptions"},
		{"  enabled: ${{ parameters.x }}\n", "3:15", "takes no expression"},
	} {
		_, ds := ParseFor(around, "showrunner.yaml", chaosFile(tt.block))
		if text := ds.String(); len(ds) != 1 || !strings.Contains(text, tt.says) || !strings.Contains(text, ":"+tt.at+":") {
			t.Errorf("%q at %s:\n%s", tt.block, tt.at, text)
		}
	}
	if _, ds := Parse("showrunner.yaml", []byte("application: a\nchaos: true\npipelines: { p: { stages: { s: { wait: { for: 1s } } } } }\n")); !strings.Contains(ds.String(), "write { enabled: true }") {
		t.Errorf("%s", ds)
	}
	if _, ds := Parse("showrunner.yaml", []byte("application: a\nkaos: {}\npipelines: { p: { stages: { s: { wait: { for: 1s } } } } }\n")); !strings.Contains(ds.String(), `did you mean "chaos"?`) {
		t.Errorf("%s", ds)
	}
}
