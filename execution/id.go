package execution

import (
	"encoding/base32"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
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

// maxSearchWords bounds what one execution adds to the search index.
const maxSearchWords = 64

// SearchWords are the words by which Query.Text finds an execution whose number
// is known; stores keep them.
func SearchWords(h *Head) []string {
	words := Words(h.ID + " " + h.Request.By)
	if h.Number > 0 {
		words = append(words, strconv.Itoa(h.Number))
	}
	keys := make([]string, 0, len(h.Request.Trigger))
	for k := range h.Request.Trigger {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		switch v := h.Request.Trigger[k].(type) {
		case string:
			words = append(words, Words(v)...)
		case fmt.Stringer:
			words = append(words, Words(v.String())...)
		}
		if len(words) >= maxSearchWords {
			words = words[:maxSearchWords]
			break
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// Words splits text into the lower-case runs of letters and digits that
// searching works on.
func Words(text string) []string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		if len(w) > 64 {
			words[i] = strings.ToValidUTF8(w[:64], "")
		}
	}
	return words
}

// Cursor is Query.After for the executions created before the one with this
// place in the order of creation.
func Cursor(seq int64) string { return strconv.FormatInt(seq, 36) }
