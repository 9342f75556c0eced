// Package plain reads and answers the requests that cannot be misunderstood,
// and leaves every other one to net/http from its first byte on.
//
// A plain request has no body and says nothing about one, nothing about the
// connection but that it ends or stays, and is written as RFC 9112 has it to the letter. Whatever is not
// is judged by net/http's server: Read looks at bytes without taking them, so
// that a connection is handed over whole. Nothing here decides where a body
// ends, so nothing here can disagree with anybody about it.
package plain
