// Package report owns the reading of test and coverage reports in the formats
// that a buildspec may name. It refuses to know where the files come from and
// what becomes of the results.
package report
