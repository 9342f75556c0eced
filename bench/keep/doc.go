// Command keep measures a control plane that has kept much: it fills a store with
// executions that have ended, and times pages of lists, searches, the start and
// the memory of a real control plane on it, and a backup restored into both
// databases:
//
//	go run ./bench/keep [-n 1000000] [-store sqlite,postgres] [-backup] [-dir DIR]
//
// The bulk path is the engine's own: one execution is really carried out, and its
// rows are committed again under new identifiers through Session.Commit, in
// batches of 512, every batch durable; so every index, the search words and the
// event log are filled as they are in production. Without that shortcut the same
// rows take eleven commits an execution (bench/engine).
package main
