package report

import (
	"strings"
	"testing"
)

func TestFormats(t *testing.T) {
	tests := map[string]struct {
		format, text string
		counts       map[Status]int
		failing      string // first failing case: "suite/name: message"
		coverage     *Lines
	}{
		"junit": {"junitxml", `<?xml version="1.0" encoding="UTF-8"?><testsuites><testsuite name="s"><testcase name="a" classname="c" time="0.5"/>
			<testcase name="b" classname="c"><failure message="no">at line 1</failure></testcase><testcase name="d"><error message="boom"/></testcase>
			<testcase name="e"><skipped/></testcase></testsuite></testsuites>`,
			map[Status]int{Succeeded: 1, Failed: 1, Errored: 1, Skipped: 1}, "c/b: no\nat line 1", nil},
		"junit, one suite": {"JUNITXML", `<testsuite name="s"><testcase name="a"/></testsuite>`, map[Status]int{Succeeded: 1}, "", nil},
		"nunit": {"NUnitXml", `<test-results><test-suite name="S"><results><test-case name="S.a" executed="True" success="True" time="0.1"/>
			<test-case name="S.b" executed="True" success="False"><failure><message>no</message></failure></test-case><test-case name="S.c" executed="False"/></results></test-suite></test-results>`,
			map[Status]int{Succeeded: 1, Failed: 1, Skipped: 1}, "S/S.b: no", nil},
		"nunit3": {"NUNIT3XML", `<test-run><test-suite name="S"><test-case name="a" classname="C" result="Passed" duration="0.2"/><test-case name="b" classname="C" result="Failed" label="Error"><failure><message><![CDATA[bad]]></message></failure></test-case><test-case name="c" result="Inconclusive"/></test-suite></test-run>`,
			map[Status]int{Succeeded: 1, Errored: 1, Unknown: 1}, "C/b: bad", nil},
		"testng": {"TESTNGXML", `<testng-results><suite name="x"><test name="t"><class name="K"><test-method is-config="true" name="setUp" status="PASS"/><test-method name="a" status="PASS" duration-ms="3"/><test-method name="b" status="FAIL"><exception><message>no</message></exception></test-method></class></test></suite></testng-results>`,
			map[Status]int{Succeeded: 1, Failed: 1}, "K/b: no", nil},
		"trx": {"VISUALSTUDIOTRX", `<TestRun xmlns="http://microsoft.com/schemas/VisualStudio/TeamTest/2010"><Results><UnitTestResult testName="N.K.a" outcome="Passed" duration="00:00:01.5000000"/><UnitTestResult testName="N.K.b" outcome="Failed"><Output><ErrorInfo><Message>no</Message></ErrorInfo></Output></UnitTestResult></Results></TestRun>`,
			map[Status]int{Succeeded: 1, Failed: 1}, "N.K/b: no", nil},
		"cucumber": {"CUCUMBERJSON", `[{"name":"F","elements":[{"type":"background","steps":[]},{"name":"a","type":"scenario","steps":[{"name":"x","result":{"status":"passed","duration":1000000}}]},{"name":"b","steps":[{"name":"x","result":{"status":"failed","error_message":"no"}},{"result":{"status":"skipped"}}]}]}]`,
			map[Status]int{Succeeded: 1, Failed: 1}, "F/b: no", nil},
		"clover":            {"CLOVERXML", `<coverage><project><metrics statements="10" coveredstatements="7" conditionals="4" coveredconditionals="1"/><package><metrics statements="3"/></package></project></coverage>`, nil, "", &Lines{7, 10, 70, 1, 4, 25}},
		"cobertura":         {"COBERTURAXML", `<coverage lines-covered="3" lines-valid="4" branches-covered="1" branches-valid="2"/>`, nil, "", &Lines{3, 4, 75, 1, 2, 50}},
		"cobertura, counts": {"COBERTURAXML", `<coverage line-rate="0.5"><packages><package><classes><class><methods><method><lines><line number="1" hits="1"/></lines></method></methods><lines><line number="1" hits="1"/><line number="2" hits="0" branch="true" condition-coverage="50% (1/2)"/></lines></class></classes></package></packages></coverage>`, nil, "", &Lines{1, 2, 50, 1, 2, 50}},
		"jacoco":            {"JACOCOXML", `<report name="x"><package name="p"><counter type="LINE" missed="9" covered="9"/></package><counter type="LINE" missed="1" covered="3"/><counter type="BRANCH" missed="1" covered="1"/></report>`, nil, "", &Lines{3, 4, 75, 1, 2, 50}},
		"simplecov":         {"SIMPLECOV", `{"RSpec":{"coverage":{"/a.rb":{"lines":[1,null,0,2],"branches":{"[:if]":{"[:then]":1,"[:else]":0}}},"/b.rb":[0]},"timestamp":1}}`, nil, "", &Lines{2, 4, 50, 1, 2, 50}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := Parse(test.format, strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []Status{Succeeded, Failed, Errored, Skipped, Unknown} {
				if r.Counts[s] != test.counts[s] {
					t.Errorf("%s: %d, want %d", s, r.Counts[s], test.counts[s])
				}
			}
			if f := r.Failing(); test.failing != "" && (len(f) == 0 || f[0].Suite+"/"+f[0].Name+": "+f[0].Message != test.failing) {
				t.Errorf("failing %+v, want %q first", f, test.failing)
			}
			if (r.Coverage == nil) != (test.coverage == nil) || r.Coverage != nil && *r.Coverage != *test.coverage {
				t.Errorf("coverage %+v, want %+v", r.Coverage, test.coverage)
			}
			if KindOf(test.format) != r.Kind {
				t.Errorf("kind %s", r.Kind)
			}
		})
	}
}

func TestMergeSumsFiles(t *testing.T) {
	var sum Result
	for _, text := range []string{`<testsuite><testcase name="a" time="1"/></testsuite>`, `<testsuite><testcase name="b" time="2"><failure/></testcase></testsuite>`} {
		r, err := Parse("JUNITXML", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		sum.Merge(r)
	}
	if sum.Total != 2 || sum.Counts[Failed] != 1 || sum.DurationMs != 3000 {
		t.Errorf("%+v", sum)
	}
}

func TestWhatIsNoReport(t *testing.T) {
	for _, format := range Formats() {
		for _, text := range []string{"", "<html></html>", "{", "[1]", "<a"} {
			if r, err := Parse(format, strings.NewReader(text)); err == nil {
				t.Errorf("%s read %q as %+v", format, text, r)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`<testsuite><testcase name="a"><failure/></testcase></testsuite>`)
	f.Add(`{"RSpec":{"coverage":{"/a.rb":[1,null]}}}`)
	f.Add(`[{"elements":[{"steps":[{}]}]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range Formats() {
			if r, err := Parse(format, strings.NewReader(text)); err == nil && r.Total != len(r.Cases) {
				t.Errorf("%s: %d cases, total %d", format, len(r.Cases), r.Total)
			}
		}
	})
}
