// Package storetest is the conformance suite that every store passes: everything
// that the engine and the rest of the product rely on. It is never skipped for a
// store that can be opened.
package storetest
