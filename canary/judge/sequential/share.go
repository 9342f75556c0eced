package sequential

import "math"

// Shares tests events that are divided over two sides in a constant proportion, such
// as logins or starts: whether the canary has the share of the events that it has of
// the users. Load that rises and falls on both sides alike does not matter. The zero
// value with Share and K set is ready for use.
type Shares struct {
	Share float64 `json:"share"` // of the canary under the null
	K     float64 `json:"k"`
	// Low and High hold the logarithm of the ratio of the two sides' rates, once
	// Bounded; they only ever become narrower.
	Low     float64 `json:"low,omitempty"`
	High    float64 `json:"high,omitempty"`
	Bounded bool    `json:"bounded,omitempty"`
	Canary  uint64  `json:"canary,omitempty"`
	All     uint64  `json:"all,omitempty"`
	Most    float64 `json:"most,omitempty"` // the greatest LogE so far
}

// Add counts events, of which some are the canary's, and narrows the interval of the
// level alpha.
func (s *Shares) Add(canary, all uint64, alpha float64) {
	s.Canary, s.All = s.Canary+canary, s.All+all
	s.Most = max(s.Most, s.LogE())
	low, high := s.interval(alpha)
	if s.Bounded {
		low, high = max(low, s.Low), min(high, s.High)
	}
	s.Low, s.High, s.Bounded = low, high, true
}

// LogE is the evidence against the null now.
func (s *Shares) LogE() float64 { return LogBF(float64(s.Canary), float64(s.All), s.Share, s.K) }

// PValue is valid at every time, and only ever becomes smaller.
func (s *Shares) PValue() float64 { return math.Exp(-s.Most) }

// widest bounds the logarithm of a ratio of rates.
const widest = 12

// interval holds the logarithm of the ratio: all D whose share of the canary,
// share·e^D / (share·e^D + 1 - share), the counts do not contradict. The prior stays
// centred on the null's share, so the evidence against D is that against the null,
// corrected by the likelihood of D.
func (s *Shares) interval(alpha float64) (low, high float64) {
	if s.All == 0 {
		return -widest, widest
	}
	k, n := float64(s.Canary), float64(s.All)
	prior := lnBeta(s.K*s.Share+k, s.K*(1-s.Share)+n-k) - lnBeta(s.K*s.Share, s.K*(1-s.Share))
	limit := math.Log(1 / alpha)
	outside := func(d float64) bool {
		theta := odds(s.Share, math.Exp(d))
		return prior-xlogy(k, theta)-xlogy(n-k, 1-theta) >= limit
	}
	// The likelihood is greatest where the share is the observed one.
	best := min(max(math.Log(k/(n-k))-math.Log(s.Share/(1-s.Share)), -widest), widest)
	low, high = -widest, widest
	if outside(low) {
		low = boundary(low, best, outside)
	}
	if outside(high) {
		high = boundary(high, best, outside)
	}
	return low, high
}

// odds is the canary's share of the events when its rate is r times that of the
// baseline and its share of the requests is rho.
func odds(rho, r float64) float64 { return rho * r / (rho*r + 1 - rho) }

// xlogy is x·ln(y), 0 where x is 0.
func xlogy(x, y float64) float64 {
	if x == 0 {
		return 0
	}
	return x * math.Log(y)
}

// Split is the guard of the division of requests: it says whether the canary received
// the share of the requests that it was given. Each weight is a test of its own, and
// the evidence of the weights so far is their product, which is a martingale too.
type Split struct {
	Share  float64 `json:"share,omitempty"` // the present weight
	Canary uint64  `json:"canary,omitempty"`
	All    uint64  `json:"all,omitempty"`
	Before float64 `json:"before,omitempty"` // the evidence of earlier weights
	Most   float64 `json:"most,omitempty"`
}

// splitK favours the small deviations that bad division has, over the gross ones.
const splitK = 300

// Add counts requests at a weight of the canary among the two sides. tolerance is how
// far the real share may be from the weight, as a share of the smaller side: 0 where
// requests are drawn one by one.
func (s *Split) Add(share float64, canary, all uint64, tolerance float64) {
	if share <= 0 || share >= 1 || all == 0 {
		return
	}
	if share != s.Share {
		s.Before += s.evidence(tolerance)
		s.Share, s.Canary, s.All = share, 0, 0
	}
	s.Canary, s.All = s.Canary+canary, s.All+all
	s.Most = max(s.Most, s.Before+s.evidence(tolerance))
}

// evidence is that against every share within the tolerance.
func (s *Split) evidence(tolerance float64) float64 {
	if s.All == 0 {
		return 0
	}
	off := tolerance * min(s.Share, 1-s.Share)
	nearest := min(max(float64(s.Canary)/float64(s.All), s.Share-off), s.Share+off)
	return LogBF(float64(s.Canary), float64(s.All), nearest, splitK)
}
