package build

import (
	"crypto/rand"
	"encoding/hex"
)

// markVariable is how a build's processes are recognised after they have left
// their session and their parent.
const markVariable = "SHOWRUNNER_BUILD_MARK"

// mark says which processes belong to a build.
type mark struct {
	value     string
	sessions  []int
	exclusive bool
	spare     int // a process that is none of the build's, whoever its parent is
}

// newMark makes a value that no other build has.
func newMark() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	return hex.EncodeToString(b[:])
}
