// Package source is the stage kind git: a commit becomes an artifact. It owns
// which commit an execution means; package source fetches it.
package source
