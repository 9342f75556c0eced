// Package reactor waits for many descriptors on one goroutine, and reads and
// writes them there without telling the scheduler, which costs more than a short
// reading or writing does. It is there on Linux alone; New says so elsewhere.
package reactor
