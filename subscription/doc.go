// Package subscription owns sending events to other systems: what a subscription
// asks for, the progress of each subscription, and the sender. The sender
// delivers the events of the log in order, at least once, as signed webhooks. Of
// several replicas, one at a time sends each subscription.
//
// It refuses to know what events mean and how the log is kept: it follows the log
// that it is given (package execution).
package subscription
