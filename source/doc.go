// Package source owns how a commit of any Git repository becomes an artifact:
// addresses and what may stand in them, credentials that leave no trace, one
// mirror for each repository so that a second run fetches only what is new, and
// the export of a commit's work tree.
//
// It runs the git command isolated from the configuration of the machine and of
// its user: no hooks, no helpers, no prompts, only the transports file, git,
// http, https and ssh. It refuses to know what a pipeline does with the commit
// (package stage/source) and when to look for new commits (package trigger).
//
// The exported tree has no .git folder: equal commits give equal artifacts, and a
// mirror's history, which is shallow and depends on earlier runs, stays out of
// it. A build gets the commit's data (message, author, date) from the stage's
// outputs.
package source
