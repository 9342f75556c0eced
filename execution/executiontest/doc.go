// Package executiontest holds what tests of the engine, and of everything on
// top of it, share: a world that counts effects outside the product, small
// stage kinds over it, an engine over any store, and the crash simulator.
package executiontest
