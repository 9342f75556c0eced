// Package web owns the pages: complete without scripts, kept in step with the
// event log where scripts run. They show and do only what package
// control offers, under a strict Content-Security-Policy.
package web
