package carry

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

var plainName = regexp.MustCompile(`^[a-z0-9._]([a-z0-9._-]*[a-z0-9._])?$`)

// versionEnd is how the name of a server group ends, which no cluster's may.
var versionEnd = regexp.MustCompile(`-v[0-9]{3}$`)

// ClusterName is the cluster of what has a name at AWS: the name after the prefix, in
// lower case as host names are, with a digest where others would be called the same.
func ClusterName(prefix, name string, taken func(cluster string) bool) string {
	lower := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, strings.ToLower(name))
	lower = strings.Trim(lower[:min(len(lower), 80)], "-")
	cluster := prefix + lower
	if plainName.MatchString(lower) && !versionEnd.MatchString(lower) && !taken(cluster) {
		return cluster
	}
	sum := sha256.Sum256([]byte(name))
	return prefix + strings.Trim(lower+"-"+hex.EncodeToString(sum[:4]), "-")
}

// NewUUID is a random identifier.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
