// Package chaos is the stage kind chaos: a new version is tried with faults before it
// is promoted, as ChAP of Netflix does (A. Basiri and others, "Automating chaos
// experiments in production", 2019). Two server groups of the version get equal shares
// of a cluster's traffic; the experiment group meets the faults, the control group does
// not, and the judge of canaries compares the two. It refuses to know how faults are
// injected and undone (package control, which keeps a record of each) and how a version
// is promoted (package deploy).
package chaos
