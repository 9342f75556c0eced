// Package gate holds the stage kinds that wait for something that is not work:
// a time (wait) and people (approval). A waiting stage holds no goroutine: it
// answers Again, and is called when its time has come or a signal arrives.
package gate
