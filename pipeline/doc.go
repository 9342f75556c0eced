// Package pipeline owns the language: pipeline files and what they mean. It
// reads and writes them, says everything that is wrong with one in a single
// pass and where, evaluates expressions, orders the graph, and describes itself
// as a JSON Schema and a reference. It is pure: no I/O, no clock, no log. It
// stands at the beginning of the journey; what carries a pipeline out is
// package execution.
package pipeline
