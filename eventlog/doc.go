// Package eventlog owns events after they leave the database: the archive that
// keeps them, and the CloudEvents form for other systems.
//
// It refuses to know what events mean, which code writes them (package execution
// and package control), how the log itself is kept (package store), and where
// events are sent (package subscription).
package eventlog
