package alarm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// points are written as in the user guide's tables: X breaches, 0 does not, - is missing.
func points(text string) []Point {
	list := make([]Point, len(text))
	for i, c := range text {
		list[i] = Point{Present: c != '-', Breaching: c == 'X'}
	}
	return list
}

// The rows of the user guide's tables on missing data, and edges of each rule. Keep is
// the state from before.
func TestTablesOfTheUserGuide(t *testing.T) {
	const keep = State("keep")
	for _, c := range []struct {
		points                                   string
		periods, datapoints                      int
		missing, ignore, breaching, notBreaching State
	}{
		{"0-X-X", 3, 3, OK, OK, OK, OK},
		{"0XX-X", 3, 3, Alarm, Alarm, Alarm, Alarm},
		{"00X0X", 3, 2, Alarm, Alarm, Alarm, Alarm},
		{"---X-", 3, 2, Alarm, keep, Alarm, OK},
		{"----X", 3, 2, InsufficientData, keep, Alarm, OK},
		{"-----", 3, 3, InsufficientData, keep, Alarm, OK},
		{"0----", 3, 3, OK, OK, OK, OK},
		{"--X--", 3, 3, Alarm, keep, Alarm, OK},
		{"---0-", 3, 1, OK, OK, Alarm, OK},
		{"-", 1, 0, InsufficientData, keep, Alarm, OK},
		{"X", 1, 0, Alarm, Alarm, Alarm, Alarm},
		{"", 1, 1, InsufficientData, keep, Alarm, OK},
		{"XXX0", 1, 1, OK, OK, OK, OK}, // only the newest points count
	} {
		for treat, want := range map[Missing]State{TreatMissing: c.missing, TreatIgnore: c.ignore, TreatBreaching: c.breaching, TreatNotBreaching: c.notBreaching, "": c.missing} {
			for _, before := range []State{OK, Alarm, InsufficientData} {
				expected := want
				if want == keep {
					expected = before
				}
				if got := (Rule{c.periods, c.datapoints, treat}).Evaluate(points(c.points), before); got.State != expected {
					t.Errorf("%s, %d of %d, %s, %s before: %s, want %s", c.points, c.datapoints, c.periods, treat, before, got.State, expected)
				}
			}
		}
	}
}

// The rows of the user guide, as they are kept in testdata, for each way to treat
// missing points and each state from before.
func TestRowsOfTheUserGuide(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rows struct {
			Alarms []struct {
				Periods    int                `json:"evaluationPeriods"`
				Datapoints int                `json:"datapointsToAlarm"`
				Range      int                `json:"evaluationRange"`
				Points     []string           `json:"points"`
				Expected   map[Missing]string `json:"expected"`
			} `json:"cloudwatchAlarms"`
		}
		if err := json.Unmarshal(text, &rows); err != nil || len(rows.Alarms) == 0 {
			t.Fatalf("%s: %d rows, %v", file, len(rows.Alarms), err)
		}
		for _, row := range rows.Alarms {
			list := points(strings.Join(row.Points, ""))
			if got := (Rule{Periods: row.Periods}).Range(); got != row.Range {
				t.Errorf("%d periods: %d are looked at, want %d", row.Periods, got, row.Range)
			}
			for treat, want := range row.Expected {
				for _, before := range []State{OK, Alarm, InsufficientData} {
					expected := State(want)
					if want == "RETAIN" {
						expected = before
					}
					if got := (Rule{row.Periods, row.Datapoints, treat}).Evaluate(list, before); got.State != expected {
						t.Errorf("%v, %d of %d, %s, %s before: %s, want %s", row.Points, row.Datapoints, row.Periods, treat, before, got.State, expected)
					}
				}
			}
		}
	}
}

// With every point there, how missing ones are treated means nothing; and one more
// breaching point never ends an alarm.
func TestPropertiesOfTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "n")
		m := rapid.IntRange(1, n).Draw(t, "m")
		list := points(rapid.StringOfN(rapid.RuneFrom([]rune("X0-")), n, n+2, -1).Draw(t, "points"))
		treat := rapid.SampledFrom([]Missing{TreatMissing, TreatIgnore, TreatBreaching, TreatNotBreaching}).Draw(t, "treat")
		r := Rule{n, m, treat}
		before := r.Evaluate(list, OK)
		i := rapid.IntRange(0, len(list)-1).Draw(t, "i")
		if list[i].Present {
			list[i].Breaching = true
			if after := r.Evaluate(list, OK); before.State == Alarm && after.State != Alarm {
				t.Fatalf("%v: a breaching point ended the alarm", list)
			}
		}
		for i := range list {
			list[i].Present = true
		}
		if a, b := r.Evaluate(list, OK), (Rule{n, m, TreatIgnore}).Evaluate(list, Alarm); a.State != b.State {
			t.Fatalf("%v: %s and %s", list, a.State, b.State)
		}
	})
}
