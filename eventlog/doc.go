// Package eventlog owns where events go once the log has them: the archive that
// they are kept in after they have left the database, the CloudEvents form, and
// the subscriptions that have them sent to other systems as signed webhooks.
//
// It refuses to know what events mean, who writes them (package execution and
// the front door), and how the log itself is kept (package store).
package eventlog
