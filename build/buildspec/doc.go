// Package buildspec owns the buildspec language, version 0.2: from text to a
// checked Spec, with every finding in one pass and at its position. It refuses
// to know how commands are run (package build).
//
// Where the published descriptions leave a choice, this is what is chosen:
//
//   - Scalars are tolerated: a number or a boolean where text is expected is
//     taken as it is written, a single command or file may stand for a list of one.
//   - A phase other than install needs the key commands; its list may be empty.
//   - An unknown key is an error, except keys that begin with "x-" or ".", which
//     hold anchors for reuse.
//   - batch and version 0.1 are refused by name.
package buildspec
