package sequential

import "math"

// DoubleStitchedBound is how far the number of values at or below a p-quantile may be
// from p·t after t values, at all times and for all p together with probability
// 1-alpha: theorem 1 of Howard and Ramdas 2022, with its parameters delta, s and eta,
// and values counted from the optimal time on.
func DoubleStitchedBound(p, t, alpha, optimal, delta, s, eta float64) float64 {
	late := max(t, optimal)
	logit := math.Log(p / (1 - p))
	r := p
	if p < 0.5 {
		r = min(0.5, 1/(1+math.Exp(-logit-2*delta*math.Sqrt(optimal*eta/late))))
	}
	variance := r * (1 - r)
	j := math.Sqrt(late/optimal)*math.Abs(logit)/(2*delta) + 1
	z := zeta(s)
	level := s*math.Log(math.Log(eta*late/optimal)) + s*math.Log(j) + math.Log(2*z*(2*z+1)/(alpha*math.Pow(math.Log(eta), s)))
	k1, k2 := (math.Pow(eta, 0.25)+math.Pow(eta, -0.25))/math.Sqrt2, (math.Sqrt(eta)+1)/2
	skew := k2 * (1 - 2*p) / 3 * level
	return delta*math.Sqrt(eta*late*variance/optimal) + math.Sqrt(k1*k1*variance*late*level+skew*skew) + skew
}

// zeta is Riemann's function for s > 1, by Euler and Maclaurin.
func zeta(s float64) float64 {
	const n = 20
	sum := 0.0
	for i := 1; i < n; i++ {
		sum += math.Pow(float64(i), -s)
	}
	return sum + math.Pow(n, 1-s)/(s-1) + math.Pow(n, -s)/2 + s*math.Pow(n, -s-1)/12 - s*(s+1)*(s+2)*math.Pow(n, -s-3)/720
}

// NormalMixture is the two-sided normal mixture for sums of sub-Gaussian steps
// (Robbins 1970).
type NormalMixture struct{ Rho float64 }

// NewNormalMixture makes the mixture whose bound is narrowest at a variance.
func NewNormalMixture(variance, alpha float64) NormalMixture {
	return NormalMixture{Rho: variance * perVariance(alpha)}
}

// LogE is the evidence against the mean 0 of a sum with a variance.
func (m NormalMixture) LogE(sum, variance float64) float64 {
	return 0.5*math.Log(m.Rho/(variance+m.Rho)) + sum*sum/(2*(variance+m.Rho))
}

// Bound is what a sum with the mean 0 stays below at all times, with probability
// 1-alpha.
func (m NormalMixture) Bound(variance, alpha float64) float64 {
	return math.Sqrt((variance + m.Rho) * (math.Log(1+variance/m.Rho) + 2*math.Log(1/alpha)))
}
