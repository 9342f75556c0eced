// Package eventlog owns what becomes of events after the database: the archive that
// keeps them, and the CloudEvents form in which others read them.
//
// It refuses to know what events mean, who writes them (package execution and
// package control), how the log itself is kept (package store), and who is sent
// them (package subscription).
package eventlog
