package execution

import (
	"encoding/base32"
	"io"
	"strconv"
	"sync"
	"time"
)

// identifiers makes ids that sort by time: 48 bits of milliseconds and 42 of
// chance, 18 letters and digits.
type identifiers struct {
	mu     sync.Mutex
	source io.Reader
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func (g *identifiers) next(now time.Time) string {
	var b [12]byte
	ms := uint64(now.UnixMilli()) << 2 // 50 bits: ten characters exactly
	for i := range 6 {
		b[i] = byte(ms >> (42 - 8*i))
	}
	g.mu.Lock()
	_, err := io.ReadFull(g.source, b[6:])
	g.mu.Unlock()
	if err != nil {
		panic("execution: no randomness: " + err.Error()) // crypto/rand never fails
	}
	b[6] = byte(ms)&0xc0 | b[6]&0x3f
	return idEncoding.EncodeToString(b[:])[:18]
}

// Cursor is Query.After for the executions created before the one with this
// place in the order of creation.
func Cursor(seq int64) string { return strconv.FormatInt(seq, 36) }
