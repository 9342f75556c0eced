// Package notify is the stage kind webhook: it calls out, and may wait for a
// call back (Callbacks receives it).
//
// A call is made at least once: when the process dies between the call and the
// record of its answer, it is made again, with the same Idempotency-Key (the
// task's key), by which the other side knows it. Redirects are not followed: a
// signed message would reach someone it was not meant for.
package notify
