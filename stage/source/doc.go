// Package source is the family of stage kinds that fetch: git and object. A commit
// or an object becomes an artifact. It owns which commit an execution means;
// package source fetches it.
package source
