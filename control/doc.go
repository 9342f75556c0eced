// Package control owns the operations: every change that a person, a program, a
// trigger or a stage may ask for, and what they may read. An operation takes a
// principal and a subject, checks the right, writes its intent to the audit log,
// acts, and writes its outcome. It refuses to know HTTP, terminals and pages
// (packages api, cli, web), and how an operation is carried out (the packages it
// calls).
package control
