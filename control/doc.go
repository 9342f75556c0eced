// Package control is the front door: every operation that a person or a
// program may ask for. It takes a principal, checks what it may do, does it,
// and writes an audit event. It refuses to know HTTP, terminals and pages
// (package api, cli, web), and how any of it is carried out (the packages it
// calls).
package control
