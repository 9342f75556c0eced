// Package storetest is the conformance suite that every store passes: what the
// engine and the rest of the product rely on, said once. It is never skipped
// for a store that can be opened.
package storetest
