// Package cli owns the command line: flags to operations, answers to text or
// JSON, errors to exit codes. What is read or changed goes through the HTTP
// API, like every other face; only what needs no server (validate, schema,
// import, build) and what starts one (up, control, edge, region, demo) does not.
package cli
