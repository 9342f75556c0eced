// Package notification owns telling people of runs: what is said of a run (pure), when,
// and in which channels: Slack and servers that answer its calls, signed webhooks, mail.
// A channel that can edit has one message for each run, which always shows where the run
// stands. What was sent is a record beside each run, so that a control plane that dies
// and another that takes over do not send it again.
//
// It refuses to know how runs are carried out: it reads executions and follows the event
// log. Sending never delays a run. Sending all events to programs is package
// subscription.
package notification
