// Package notify is the stage kind webhook: it calls another system, and may wait
// for a callback (Callbacks receives it).
//
// A call is made at least once. When the process dies between the call and the
// record of its answer, the call is made again with the same Idempotency-Key (the
// task's key), so the receiver can recognise the repetition. Redirects are not
// followed: a signed message would reach a host it was not meant for.
package notify
