// Package secretsmanager serves AWS Secrets Manager over the secret store of this
// control plane: values are encrypted at rest there, and what AWS tells of a secret
// (versions, stages, tags, planned deletion) is a document beside them. It refuses
// to know who may read a secret: every caller is the owner, and resource policies
// are kept and returned, not enforced. Rotation needs a function, and is refused
// while none can be invoked.
//
// Source: AWS Secrets Manager API Reference; the answers that AWS recorded.
package secretsmanager
