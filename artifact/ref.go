package artifact

// Ref names an artifact: the digest of its manifest, as "sha256:<64 hex>".
// Equal content has an equal Ref.
type Ref string
