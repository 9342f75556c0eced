package sequential

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// The alternatives of a Test: ratios r0·exp(±g) with g in the middle of gridSize equal
// parts of gridReach, weighted as a normal distribution with the deviation gridSpread.
const (
	gridSize   = 60
	gridReach  = 3.2
	gridSpread = 0.8
)

// gridWeights are the logarithms of the alternatives' weights.
var gridWeights = func() (w [gridSize]float64) {
	sum := 0.0
	for i := range w {
		w[i] = -gridAt(i) * gridAt(i) / (2 * gridSpread * gridSpread)
		sum += math.Exp(w[i])
	}
	for i := range w {
		w[i] -= math.Log(sum)
	}
	return w
}()

func gridAt(i int) float64 { return (float64(i) + 0.5) * gridReach / gridSize }

// Test is a one-sided test of the ratio of the canary's rate of failures to that of the
// baseline, each per request. It conditions on the failures of both sides together and
// on the requests of each side, interval by interval, so that neither load nor failures
// that both sides have in common matter, nor that the weights change. For every true
// ratio on the null's side, P(LogE ever reaches ln(1/alpha)) <= alpha: the family has a
// monotone likelihood ratio. Where most requests fail the law is tighter than the one
// assumed, and the test errs on the safe side.
//
// A Test with Up tests for a ratio above Null, one without for a ratio below it.
type Test struct {
	Null float64 `json:"null"`
	Up   bool    `json:"up,omitempty"`
	Logs floats  `json:"logs,omitempty"` // of the likelihood ratios, by alternative
	Most float64 `json:"most,omitempty"` // the greatest LogE so far
}

// Add counts the failures of an interval in which the canary received the share rho of
// the requests. An interval with requests on one side only says nothing.
func (t *Test) Add(rho float64, canary, baseline uint64) {
	if rho <= 0 || rho >= 1 || canary+baseline == 0 {
		return
	}
	if t.Logs == nil {
		t.Logs = make(floats, gridSize)
	}
	base := rho*t.Null + 1 - rho
	for i := range t.Logs {
		g := gridAt(i)
		if !t.Up {
			g = -g
		}
		t.Logs[i] += float64(canary)*g - float64(canary+baseline)*math.Log((rho*t.Null*math.Exp(g)+1-rho)/base)
	}
	t.Most = max(t.Most, t.LogE())
}

// LogE is the logarithm of the evidence now.
func (t *Test) LogE() float64 {
	if t.Logs == nil {
		return 0
	}
	terms := [gridSize]float64{}
	for i, l := range t.Logs {
		terms[i] = gridWeights[i] + l
	}
	return logSumExp(terms[:])
}

func logSumExp(terms []float64) float64 {
	most := math.Inf(-1)
	for _, x := range terms {
		most = max(most, x)
	}
	if math.IsInf(most, -1) {
		return most
	}
	sum := 0.0
	for _, x := range terms {
		sum += math.Exp(x - most)
	}
	return most + math.Log(sum)
}

// The logarithms of ratios at which a Likelihood is kept.
const (
	likelihoodReach = 6.0
	likelihoodStep  = 0.1
	likelihoodSize  = 2*60 + 1
)

// Likelihood is what all intervals say of the ratio: its estimate, and an interval that
// holds it at all times together with probability 1-alpha. The function that is kept is
// smooth, so that between its points it is interpolated.
type Likelihood struct {
	Canary   uint64 `json:"canary,omitempty"` // failures that were counted in
	Baseline uint64 `json:"baseline,omitempty"`
	Norm     floats `json:"norm,omitempty"`
	// Low and High are the logarithms of the interval's bounds, once Bounded; they only
	// ever become narrower.
	Low     float64 `json:"low,omitempty"`
	High    float64 `json:"high,omitempty"`
	Bounded bool    `json:"bounded,omitempty"`
	// Moved says that an interval contradicted the earlier ones: the ratio changes over
	// time. The interval then begins anew.
	Moved bool `json:"moved,omitempty"`
}

// Add counts an interval, as Test.Add, and narrows the interval of the level alpha.
func (l *Likelihood) Add(rho float64, canary, baseline uint64, alpha float64) {
	if rho <= 0 || rho >= 1 || canary+baseline == 0 {
		return
	}
	if l.Norm == nil {
		l.Norm = make(floats, likelihoodSize)
	}
	for i := range l.Norm {
		l.Norm[i] += float64(canary+baseline) * math.Log1p(rho*math.Expm1(float64(i)*likelihoodStep-likelihoodReach))
	}
	l.Canary, l.Baseline = l.Canary+canary, l.Baseline+baseline
	low, high := l.interval(alpha)
	if l.Bounded {
		if narrowed := [2]float64{max(low, l.Low), min(high, l.High)}; narrowed[0] < narrowed[1] {
			low, high = narrowed[0], narrowed[1]
		} else {
			l.Moved = true
		}
	}
	l.Low, l.High, l.Bounded = low, high, true
}

// at is the logarithm of the likelihood of the ratio exp(x), up to a constant.
func (l *Likelihood) at(x float64) float64 {
	position := (x + likelihoodReach) / likelihoodStep
	i := min(max(int(position)-1, 0), likelihoodSize-4)
	u := position - float64(i)
	a, b, c, d := l.Norm[i], l.Norm[i+1], l.Norm[i+2], l.Norm[i+3]
	norm := -a*(u-1)*(u-2)*(u-3)/6 + b*u*(u-2)*(u-3)/2 - c*u*(u-1)*(u-3)/2 + d*u*(u-1)*(u-2)/6
	return float64(l.Canary)*x - norm
}

// peak is the most likely logarithm of the ratio.
func (l *Likelihood) peak() float64 {
	low, high := -likelihoodReach, likelihoodReach
	for high-low > 1e-9 { // the logarithm is concave
		third := (high - low) / 3
		if l.at(low+third) < l.at(high-third) {
			low += third
		} else {
			high -= third
		}
	}
	return (low + high) / 2
}

// Estimate is the most likely ratio; false when the failures bound it on one side only,
// or not at all.
func (l *Likelihood) Estimate() (float64, bool) {
	if l.Canary == 0 || l.Baseline == 0 {
		return 0, l.Canary == 0 && l.Baseline > 0
	}
	return math.Exp(l.peak()), true
}

// interval is the set of ratios whose likelihood is not below that of a mixture by more
// than the factor 1/alpha. The mixture is normal in the logarithm, around equality.
func (l *Likelihood) interval(alpha float64) (low, high float64) {
	peak := l.peak()
	top := l.at(peak)
	// The mixture's integral, around the peak where the likelihood is.
	reach := func(to float64) float64 {
		if l.at(to)-top > -40 {
			return to
		}
		return boundary(to, peak, func(x float64) bool { return l.at(x)-top <= -40 })
	}
	from, to := reach(-likelihoodReach), reach(likelihoodReach)
	const parts = 400
	terms := make([]float64, parts+1)
	for i := range terms {
		x := from + (to-from)*float64(i)/parts
		terms[i] = l.at(x) - top - x*x/2
	}
	mixture := logSumExp(terms) + math.Log((to-from)/parts/math.Sqrt(2*math.Pi))
	outside := func(x float64) bool { return mixture-(l.at(x)-top) >= math.Log(1/alpha) }
	low, high = -likelihoodReach, likelihoodReach
	if outside(low) {
		low = boundary(low, peak, outside)
	}
	if outside(high) {
		high = boundary(high, peak, outside)
	}
	return low, high
}

// floats are kept in JSON as their bits, so that nothing is lost and little is written.
type floats []float64

// MarshalJSON implements json.Marshaler.
func (f floats) MarshalJSON() ([]byte, error) {
	raw := make([]byte, 0, 8*len(f))
	for _, v := range f {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(raw))
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *floats) UnmarshalJSON(text []byte) error {
	var encoded string
	if err := json.Unmarshal(text, &encoded); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw)%8 != 0 {
		return fmt.Errorf("%d bytes are no list of numbers", len(raw))
	}
	*f = make(floats, len(raw)/8)
	for i := range *f {
		(*f)[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return nil
}
