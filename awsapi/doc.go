// Package awsapi is the endpoint that answers AWS's clients: one loopback port
// that verifies each request's signature, finds the operation, and lets the
// service's package act through control, which stays the one door with rights
// and audit. What it answers is true: it acts.
//
// It owns the endpoint's keys and sessions, the order of the checks, and which
// service serves what. It refuses to know the protocols (package wire), how
// signatures are verified (package signature) and what an operation does (the
// packages below this one, one for each service of AWS).
package awsapi
