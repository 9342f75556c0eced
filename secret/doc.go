// Package secret owns the credentials that pipelines use: how they are kept
// (encrypted with age, one record each), how ${{ secrets.NAME }} becomes a
// value at the last moment, and how values are kept out of everything that is
// written down (Masker).
//
// It refuses to know what a secret is for and who may read it: package control
// decides that before it calls. A value leaves this package through Resolve and
// Expand only; there is no operation that lists values.
package secret
