// Package judge decides whether a canary is worse than its baseline, from the
// numbers alone: it reads nothing, asks no clock, and the same input always has
// the same verdict.
//
// Kayenta judges as Netflix's ACA judge does: metric by metric with a
// Mann-Whitney interval, then a score. Its compatible mode keeps the defects that
// users of Kayenta know; the other mode mends them.
package judge
