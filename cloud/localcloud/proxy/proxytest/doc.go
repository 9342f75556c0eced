// Package proxytest holds what every front that is built on package proxy must
// keep, as one set of tests that region and edge both run: each answer is the
// asker's own, and nothing is taken for a request that is none, whatever clients
// and instances do.
package proxytest
