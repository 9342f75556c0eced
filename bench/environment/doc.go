// Package environment is shared by the benchmarks that observe a fleet from outside:
// the built program as `showrunner up` runs it with a data folder of its own, its
// command line, requests through its edge at a constant rate, a service that can
// be made to misbehave (environment/service), and a check for leftovers after the end.
// It refuses to know what a benchmark wants to show.
package environment
