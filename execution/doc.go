// Package execution owns the durable engine: what an execution is, how it goes
// from stage to stage, and that nothing of it is lost or done twice whatever
// process dies when. It stands between the language (package pipeline) and the
// kinds of stages (package stage).
//
// It refuses to know what any stage kind does, how a database is spoken to
// (package store implements the port declared here), and who may ask for what
// (package control).
//
// The shape is decide, then do. decide (decide*.go) is a deterministic function
// over the state of one execution, an event and the time; it reads no clock and
// does no I/O. The engine around it commits what was decided — one commit holds
// "task k done, task k+1 intended, events" — and only then starts anything that
// the outside world can see. After a crash a task with an intent and no result
// is asked what became of it (Task.Resume) before it is ever repeated.
package execution
