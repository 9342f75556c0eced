package plot

import (
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is drawn is well-formed, inside the chart, and carries no style.
func TestChartsAreWellFormed(t *testing.T) {
	number := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e300}))
	rapid.Check(t, func(t *rapid.T) {
		c := Chart{Title: rapid.String().Draw(t, "title"), Width: 600, Height: 240}
		c.X.Log, c.Y.Log = rapid.Bool().Draw(t, "logX"), rapid.Bool().Draw(t, "logY")
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			l := Line{Label: rapid.String().Draw(t, "label"), Class: "c1"}
			band := Band{Class: "c1"}
			for range rapid.IntRange(0, 5).Draw(t, "points") {
				x := number.Draw(t, "x")
				l.Points = append(l.Points, [2]float64{x, number.Draw(t, "y")})
				band.Points = append(band.Points, [3]float64{float64(len(l.Points)), 1, 2})
			}
			c.Lines, c.Bands = append(c.Lines, l), append(c.Bands, band)
		}
		c.Rules = []Rule{{"stop", "limit", number.Draw(t, "rule")}}
		text := c.SVG()
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			if e, ok := token.(xml.StartElement); ok {
				for _, a := range e.Attr {
					if a.Name.Local == "style" || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
						t.Fatalf("%s=%q in %s", a.Name.Local, a.Value, e.Name.Local)
					}
				}
			}
		}
	})
}

func TestTicksAreRoundAndInside(t *testing.T) {
	for _, test := range []struct {
		s    scale
		want []float64
	}{
		{scale{from: 0, to: 100}, []float64{0, 20, 40, 60, 80, 100}},
		{scale{from: 0.5, to: 12, log: true}, []float64{0.5, 1, 2, 5, 10}},
		{scale{from: 1, to: 1e5, log: true}, []float64{1, 10, 100, 1000, 1e4, 1e5}},
	} {
		got := ticks(test.s, 5)
		if len(got) != len(test.want) {
			t.Fatalf("%v, want %v", got, test.want)
		}
		for i := range got {
			if math.Abs(got[i]-test.want[i]) > 1e-9*test.want[len(test.want)-1] {
				t.Errorf("%v, want %v", got, test.want)
			}
		}
	}
}

// A scale of logarithms that reaches the smallest numbers has an end.
func TestTicksOfTheSmallestNumbers(t *testing.T) {
	for _, from := range []float64{0, 5e-324, 1e-320} {
		if list := ticks(scale{log: true, from: from, to: math.MaxFloat64}, 7); len(list) > 2000 {
			t.Errorf("from %g: %d ticks", from, len(list))
		}
	}
}
