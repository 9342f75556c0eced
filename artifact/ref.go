package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"showrunner/problem"
)

// Ref names an artifact: the digest of its manifest, as "sha256:<64 hex>".
// Equal content has an equal Ref.
type Ref string

// algorithm is the only digest algorithm. It prefixes every digest, so that a
// second algorithm can be told apart later.
const algorithm = "sha256:"

// Hex returns the digest without its algorithm.
func (r Ref) Hex() string { return strings.TrimPrefix(string(r), algorithm) }

// ParseRef checks that s has the form of a reference. Errors: invalid.
func ParseRef(s string) (Ref, error) {
	if _, err := digestHex(s); err != nil {
		return "", err
	}
	return Ref(s), nil
}

func digestHex(digest string) (string, error) {
	h, ok := strings.CutPrefix(digest, algorithm)
	if ok && len(h) == 2*sha256.Size && strings.ToLower(h) == h {
		if _, err := hex.DecodeString(h); err == nil {
			return h, nil
		}
	}
	return "", problem.New(problem.Invalid, "artifact", "%q is not a digest of the form sha256:<64 hexadecimal digits>", digest)
}

func digestOf(sum []byte) string { return algorithm + hex.EncodeToString(sum) }
