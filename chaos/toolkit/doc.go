// Package toolkit runs experiments written for Chaos Toolkit, in JSON or YAML: the
// steady-state hypothesis, the method, the hypothesis again, and the rollbacks. It owns
// reading and checking such a file, its three providers (http, process, python), its
// tolerances, and the journal. It refuses what it cannot carry out, by name and before
// anything begins; it makes no fault of its own (package chaos does).
//
// Two things differ from Chaos Toolkit, on purpose. Rollbacks always run unless the file
// or the caller says otherwise, and controls, which are Python code around activities,
// are named in a note and not run.
package toolkit
