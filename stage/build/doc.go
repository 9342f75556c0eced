// Package build is the stage kinds build and run: a buildspec, or a list of
// commands, over an artifact. It owns what of an execution a build gets to
// know, and what of a build an execution does; package build runs it, in a
// process of its own that outlives this one.
package build
