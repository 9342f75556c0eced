package sequential

import "math"

// DefaultK is the weight of the prior in LogBF: it is near the best for evidence that
// comes within some hundreds of events.
const DefaultK = 100

// LogBF is the logarithm of the evidence against the null that each of n events is a
// success with probability p, when k were: a beta-binomial mixture with the mean p and
// the weight of K events. Under the null its exponential is a martingale with the mean
// 1, so P(LogBF ever reaches ln(1/alpha)) <= alpha. k and n may be fractions of events.
func LogBF(k, n, p, K float64) float64 {
	if n == 0 {
		return 0
	}
	if p <= 0 || p >= 1 {
		return certain(k, n, p)
	}
	return lnBeta(K*p+k, K*(1-p)+n-k) - lnBeta(K*p, K*(1-p)) - k*math.Log(p) - (n-k)*math.Log1p(-p)
}

// certain is LogBF for a null that allows one outcome only.
func certain(k, n, p float64) float64 {
	if p <= 0 && k == 0 || p >= 1 && k == n {
		return 0
	}
	return math.Inf(1)
}

func lnBeta(a, b float64) float64 { return lnGamma(a) + lnGamma(b) - lnGamma(a+b) }

func lnGamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// Tune is the K with which LogBF finds a deviation soonest when about events of them
// are expected and alpha is the level. It is at least a small positive number.
func Tune(events, alpha float64) float64 {
	return max(events*perVariance(alpha)-1, 1e-3)
}

// perVariance is the share of the expected variance that the best prior has
// (confseq, best_rho of the two-sided normal mixture).
func perVariance(alpha float64) float64 {
	l := 2 * math.Log(1/alpha)
	return 1 / (l + math.Log1p(l))
}

// ShareInterval holds the probability of success after k of n events, at all times
// together with probability 1-alpha. The prior is centred on each candidate, so K may
// be Tune of the number of events at which the interval should be narrowest.
func ShareInterval(k, n uint64, alpha, K float64) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	limit, share := math.Log(1/alpha), float64(k)/float64(n)
	outside := func(p float64) bool { return LogBF(float64(k), float64(n), p, K) >= limit }
	low, high = 0, 1
	if k > 0 && outside(smallest) {
		low = boundary(smallest, share, outside)
	}
	if k < n && outside(1-smallest) {
		high = boundary(1-smallest, share, outside)
	}
	return low, high
}

const smallest = 1e-12

// boundary is between out, where outside holds, and in, where it does not. It lies on
// the outer side, so that an interval is never too narrow.
func boundary(out, in float64, outside func(float64) bool) float64 {
	for math.Abs(out-in) > 1e-10*math.Abs(out) {
		middle := (out + in) / 2
		if middle == out || middle == in {
			break
		}
		if outside(middle) {
			out = middle
		} else {
			in = middle
		}
	}
	return out
}

// LogMultinomialBF is LogBF for events with several outcomes: a Dirichlet-multinomial
// mixture centred on the null's probabilities.
func LogMultinomialBF(counts []float64, null []float64, K float64) float64 {
	sum, n := lnGamma(K), 0.0
	for i, k := range counts {
		sum += lnGamma(K*null[i]+k) - lnGamma(K*null[i]) - k*math.Log(null[i])
		n += k
	}
	return sum - lnGamma(K+n)
}
