// Package archtest tests the rules of this repository that no compiler checks,
// each with its reason: which package may import which, what pure code must not
// call, and which names and files are not allowed. It has only tests; run it with
// `go test ./internal/archtest`.
package archtest
