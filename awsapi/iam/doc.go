// Package iam serves AWS's Identity and Access Management: roles with inline and
// attached policies, managed policies with versions, instance profiles. They are
// kept and returned, and they survive a restart.
//
// They are not enforced: whoever has the endpoint's key, or a session made from
// it, acts as the owner. It refuses users with keys of their own, groups and
// identity providers, by not serving their operations.
package iam
