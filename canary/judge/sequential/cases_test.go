package sequential

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// publicCase is a number that is published for one of the tests, or that follows from
// its formula.
type publicCase struct {
	Kind     string                     `json:"kind"`
	Input    map[string]json.RawMessage `json:"input"`
	Expected map[string]float64         `json:"expected"`
	Within   float64                    `json:"absTolerance"`
}

func (c publicCase) number(t *testing.T, name string) float64 {
	t.Helper()
	var v float64
	if err := json.Unmarshal(c.Input[name], &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// integers reads "integers 1..1000".
func (c publicCase) integers(t *testing.T, name string) []float64 {
	t.Helper()
	m := regexp.MustCompile(`integers (-?\d+)\.\.(-?\d+)`).FindStringSubmatch(string(c.Input[name]))
	if m == nil {
		var list []float64
		if err := json.Unmarshal(c.Input[name], &list); err != nil {
			t.Fatalf("%s: %s", name, c.Input[name])
		}
		return list
	}
	from, _ := strconv.Atoi(m[1])
	to, _ := strconv.Atoi(m[2])
	var list []float64
	for i := from; i <= to; i++ {
		list = append(list, float64(i))
	}
	return list
}

// compute is what the case asks for, by the names of its expected numbers.
func (c publicCase) compute(t *testing.T) map[string]float64 {
	n := func(name string) float64 { return c.number(t, name) }
	switch c.Kind {
	case "logBF":
		return map[string]float64{"logBF": LogBF(n("k"), n("n"), n("p"), n("K"))}
	case "quantileABPValue":
		logE, _ := QuantileTest(c.integers(t, "a"), c.integers(t, "b"), n("p"), 0, Tune(n("tOpt"), n("alphaOpt")))
		return map[string]float64{"pValue": math.Exp(-logE)}
	case "bernoulliCS":
		low, high := ShareInterval(uint64(n("successes")), uint64(n("trials")), n("alpha"), Tune(n("tOpt"), n("alphaOpt")))
		return map[string]float64{"lower": low, "upper": high}
	case "lilConstantC":
		return map[string]float64{"C": BandConstant(n("alpha"), n("A"))}
	case "doubleStitchingBound":
		return map[string]float64{"bound": DoubleStitchedBound(n("p"), n("t"), n("alpha"), n("tOpt"), n("delta"), n("s"), n("eta"))}
	case "normalMixture":
		m := NewNormalMixture(n("vOpt"), n("alphaOpt"))
		return map[string]float64{"rho": m.Rho, "logSuperMG": m.LogE(n("s"), n("v")), "bound": m.Bound(n("v"), n("alpha"))}
	}
	return nil
}

// The numbers that others have published for these tests come out here too.
func TestPublicNumbers(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases struct {
			Sequential []publicCase `json:"sequential"`
		}
		if err := json.Unmarshal(text, &cases); err != nil {
			t.Fatal(file, err)
		}
		for i, c := range cases.Sequential {
			seen[c.Kind] = true
			if c.Kind == "binomialStop" {
				checkStop(t, c)
				continue
			}
			got := c.compute(t)
			for name, want := range c.Expected {
				if v, ok := got[name]; !ok || math.Abs(v-want) > c.Within {
					t.Errorf("%s, %d: %s: %s is %v, want %v within %g", file, i, c.Kind, name, v, want, c.Within)
				}
			}
		}
	}
	if len(seen) < 7 {
		t.Errorf("only these kinds were seen: %v", seen)
	}
}

// checkStop looks for the counts at which a published run stopped: they were not
// published with it, but the p-value there has 13 digits.
func checkStop(t *testing.T, c publicCase) {
	var null []float64
	if err := json.Unmarshal(c.Input["theta0"], &null); err != nil {
		t.Fatal(err)
	}
	n, want, found := int(c.Expected["stopAt"]), c.Expected["pValue"], 0
	counts := make([]float64, len(null))
	var try func(at, left int)
	try = func(at, left int) {
		if at == len(null)-1 {
			counts[at] = float64(left)
			if p := math.Exp(-LogMultinomialBF(counts, null, c.number(t, "K"))); math.Abs(p-want) < 1e-10 {
				found++
			}
			return
		}
		for k := 0; k <= left; k++ {
			counts[at] = float64(k)
			try(at+1, left-k)
		}
	}
	try(0, n)
	if found == 0 {
		t.Errorf("no counts of %d events have the p-value %v", n, want)
	}
}

// Numbers of the published description of the multinomial test: its interval and
// p-value after 62 of 210.
func TestPublishedAnchors(t *testing.T) {
	if p := math.Exp(-LogBF(62, 210, 0.2, 100)); math.Abs(p-0.045579631759) > 1e-9 {
		t.Errorf("p-value %v", p)
	}
	for alpha, want := range map[float64]float64{.05: 8.1227, .025: 8.6226, .01: 9.2835, .005: 9.7834, .001: 10.943} {
		if got := BandConstant(alpha, BandFactor); math.Abs(got-want) > 1e-3 {
			t.Errorf("the band's constant for %g is %v, want %v", alpha, got, want)
		}
	}
	if k := Tune(800, 0.05); math.Abs(k-99.8) > 1 {
		t.Errorf("K for 800 events is %v", k)
	}
}

// The lower bound of the published interval is that of its last look; the upper one is
// of an earlier look of its run, and the interval only becomes narrower.
func TestPublishedIntervalOfARatio(t *testing.T) {
	s := Shares{Share: 0.2, K: 100}
	s.Add(62, 210, 0.05)
	if math.Abs(s.Low-0.00464625) > 1e-8 || s.High < 0.75493987 {
		t.Errorf("%v to %v", s.Low, s.High)
	}
	before := s
	for range 50 {
		s.Add(1, 5, 0.05)
		if s.Low < before.Low || s.High > before.High || s.PValue() > before.PValue() {
			t.Fatalf("the interval or the p-value has become wider: %+v, then %+v", before, s)
		}
		before = s
	}
}
