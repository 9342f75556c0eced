// Package sequential judges a canary from raw counts while they come in. It may be
// asked after every interval: the probability that it ever fails a version that is
// no worse is at most alpha, whatever the number of looks.
//
// An Analysis holds what all intervals so far say. Adding an interval costs the same
// however many came before, and the analysis is its own saved form: one that was
// saved, loaded and continued gives the same verdict. The package reads nothing and
// asks no clock; times are arguments.
//
// The tests, and their sources:
//   - one primitive, a beta-binomial mixture centred on the null (Robbins 1970; used
//     so by Lindon and Malek, "Anytime-Valid Inference For Multinomial Count Data",
//     2022): LogBF;
//   - failures compared at the same load: a mixture of likelihood ratios, given the
//     requests of both sides in each interval: Ratio;
//   - quantiles and whole distributions: Howard and Ramdas, "Sequential estimation of
//     quantiles with applications to A/B testing and best-arm identification", 2022.
package sequential
