// Package trigger owns every start of a pipeline that no person asks for: signed
// webhooks (Hooks), polling, schedules and the end of another pipeline (Service).
// It decides which pipelines an event concerns, and starts each of them once.
//
// Once means: every start carries the identifiers of its trigger and of its
// event. The engine, whose store all replicas share, accepts one start for each
// pair. The identifiers are made of:
//
//	push      the pipeline, and repository, ref, before and after of the push: two hooks
//	          or two deliveries of one push are one event
//	webhook   the pipeline and the webhook's name, and what the signature covers: the id of
//	          Standard Webhooks, else a digest of the body
//	poll      the pipeline and the repository, and ref, commits and a count of the ref's changes
//	schedule  the pipeline, cron and zone, and the time it was due
//	pipeline  the pipeline and the one it follows, and the position of the end in the event log
//
// A signature belongs to the webhook that received it first; the addresses of forges
// count as one (binding.go). Another webhook with the same secret refuses it.
//
// State is kept in records with compare-and-set. A record is always written after
// the start it describes: a crash in between repeats the start, and the engine
// recognises the repetition.
//
// It refuses to know how executions run and how definitions are stored.
package trigger
