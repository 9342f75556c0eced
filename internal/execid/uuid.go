// Package execid writes the identifiers of executions as UUIDs, and reads them again.
package execid

import (
	"encoding/base32"
	"encoding/hex"
	"hash/fnv"
	"strings"
)

// UUID is an execution's identifier in the form that other systems have, of version
// 8, with 32 bits of the caller's. The identifier can be read from it (ParseUUID),
// so that nothing has to be kept beside it. It is false for an identifier that no
// engine has made.
func UUID(id string, mark uint32) (string, bool) {
	if len(id) != idLength {
		return "", false
	}
	b, err := encoding.DecodeString(id + strings.Repeat("0", idPadding))
	if err != nil || encoding.EncodeToString(b)[:idLength] != id {
		return "", false
	}
	// The identifier has 90 bits: 48, 12 and 30. The mark follows them.
	var u [16]byte
	copy(u[:6], b[:6])
	u[6], u[7] = 0x80|b[6]>>4, b[6]<<4|b[7]>>4
	rest := uint64(b[7]&0xf)<<26 | uint64(b[8])<<18 | uint64(b[9])<<10 | uint64(b[10])<<2 | uint64(b[11]>>6)
	tail := 1<<63 | rest<<32 | uint64(mark)
	for i := range 8 {
		u[8+i] = byte(tail >> (56 - 8*i))
	}
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], true
}

// encoding is that of package execution's identifiers.
var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

const (
	idLength  = 18
	idPadding = 2 // to the 20 characters that 100 bits have
)

// ParseUUID is the identifier and the mark that UUID was given; false for another UUID.
func ParseUUID(text string) (id string, mark uint32, ok bool) {
	u, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(u) != 16 || u[6]>>4 != 8 || u[8]>>6 != 2 {
		return "", 0, false
	}
	var tail uint64
	for _, c := range u[8:] {
		tail = tail<<8 | uint64(c)
	}
	rest := tail >> 32 & (1<<30 - 1)
	b := append(append([]byte{}, u[:6]...), u[6]<<4|u[7]>>4, u[7]<<4|byte(rest>>26), byte(rest>>18), byte(rest>>10), byte(rest>>2), byte(rest<<6))
	id = encoding.EncodeToString(b)[:idLength]
	again, _ := UUID(id, uint32(tail))
	return id, uint32(tail), again == strings.ToLower(text)
}

// Marks gives each of an execution's stages 16 bits for a UUID's mark. They follow from
// the name; a stage whose bits an earlier stage has gets the next that are free. The
// names are in the order of the execution's definition.
func Marks(names []string) []uint32 {
	const all = 1 << 16 // a pipeline has fewer stages
	used, taken := make(map[uint32]bool, len(names)), make(map[uint32]bool, len(names))
	for _, name := range names {
		taken[mark(name)] = true
	}
	marks := make([]uint32, len(names))
	for i, name := range names {
		m := mark(name)
		for n := 0; n < all && (n > 0 || used[m]) && taken[m]; n++ {
			m = (m + 1) % all
		}
		marks[i], used[m], taken[m] = m, true, true
	}
	return marks
}

// mark is 16 bits of a text.
func mark(text string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(text))
	return h.Sum32()>>16 ^ h.Sum32()&0xffff
}
