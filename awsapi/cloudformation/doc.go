// Package cloudformation serves AWS CloudFormation: stacks, change sets, events,
// exports, and an engine that makes, changes, replaces and deletes the resources
// of a stack through the endpoint's other services.
//
// It owns what a stack is and the order of its changes. A stack's operation is part
// of the stack's document: each act on a resource is recorded as an intent before
// it and as an outcome after it, so that another process carries it on after a
// crash and nothing is made twice. It refuses transforms, macros and types of
// resources that are not served, all by name and before anything is made. Stack
// policies are kept and returned, not enforced. The language of templates is
// package template's, what a type of resource does is package resource's.
package cloudformation
