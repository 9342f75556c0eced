// Package iam serves AWS's Identity and Access Management: roles with inline and
// attached policies, managed policies with versions, users, groups, instance
// profiles. They are kept and returned, and they survive a restart. What policies
// allow is evaluated when a client asks for it (evaluate.go, which is pure).
//
// They are not enforced: whoever has the endpoint's key, or a session made from
// it, acts as the owner. It refuses keys and passwords of users, and
// identity providers, by not serving their operations.
package iam
