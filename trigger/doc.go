// Package trigger owns what starts pipelines without a person: signed webhooks
// (Hooks), polling, schedules and the end of another pipeline (Service). It
// decides whether an event means a pipeline, and starts it once.
//
// Once means: every start carries a trigger and an event identifier, and the
// engine, whose store all replicas share, keeps one start for each pair. What
// the identifiers are:
//
//	push      the pipeline, and repository, ref, before and after of the push: two hooks
//	          or two deliveries of one push are one event
//	webhook   the pipeline and the webhook's name, and what the signature covers: the id of
//	          Standard Webhooks, else a digest of the body
//	poll      the pipeline and the repository, and ref, commits and a count of the ref's changes
//	schedule  the pipeline, cron and zone, and the time it was due
//	pipeline  the pipeline and the one it follows, and the position of the end in the event log
//
// State is kept in records with compare-and-set, always after the start it
// speaks of: a crash in between repeats the start, which the engine recognises.
//
// It refuses to know how executions run and how definitions are stored.
package trigger
