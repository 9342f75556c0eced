// Package archtest holds the rules of this repository that no compiler checks,
// each with its reason: which package may import what, what pure code must not
// call, what a name or a file must not be. It has tests only; run it with
// `go test ./internal/archtest`.
package archtest
