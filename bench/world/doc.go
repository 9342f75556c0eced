// Package world is what the benchmarks that look at a fleet from outside have in
// common: the built program as `showrunner up` runs it with a data folder of its
// own, its command line, an open loop of requests through its edge, a service
// that can be made to misbehave (world/service), and what is left behind when
// it has ended. It refuses to know what a benchmark wants to show.
package world
