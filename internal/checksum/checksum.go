// Package checksum owns the checksum that a JSON object carries in the file or
// stream that it is kept in: a CRC-32C as its last member, `"c":"1a2b3c4d"`. It
// finds every damage of up to four neighbouring bytes, and others but for one in
// four billion; it is no protection against people.
//
// The checksum is over the bytes of the object before it was added. So an object
// stays JSON that any tool reads, and one without a checksum, as an earlier
// version wrote it, can be told from one with it.
package checksum

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"

	"showrunner/problem"
)

// begin and end enclose the eight hexadecimal digits.
const (
	begin  = `,"c":"`
	end    = `"}`
	length = len(begin) + 8 + len(end)
)

// Seal adds the checksum to a JSON object that is not empty, in place where there
// is room. After is the checksum of what comes before the object in a stream of
// them, 0 for the first or for an object alone; the object's own is returned for
// the next one, so that one that is missing or in another place is found too.
func Seal(object []byte, after uint32) (sealed []byte, sum uint32) {
	sum = crc32.Update(after, castagnoli(), object)
	object = append(object[:len(object)-1], begin...)
	for shift := 28; shift >= 0; shift -= 4 {
		object = append(object, "0123456789abcdef"[sum>>shift&0xf])
	}
	return append(object, end...), sum
}

// Sealed tells whether an object carries a checksum.
func Sealed(object []byte) bool {
	at := len(object) - length
	return at > 0 && bytes.Equal(object[at:at+len(begin)], []byte(begin)) && bytes.HasSuffix(object, []byte(end))
}

// Open checks the checksum that an object carries, and returns the object without
// it. The object's bytes are changed. Errors: invalid when the object carries
// none, or another than that of its bytes.
func Open(sealed []byte, after uint32) (object []byte, sum uint32, err error) {
	const op = "checksum"
	if !Sealed(sealed) {
		return nil, 0, problem.New(problem.Invalid, op, "there is no checksum")
	}
	at := len(sealed) - length
	want := string(sealed[at+len(begin) : at+len(begin)+8])
	object = append(sealed[:at], '}')
	sum = crc32.Update(after, castagnoli(), object)
	if got := fmt.Sprintf("%08x", sum); got != want {
		return nil, 0, problem.New(problem.Invalid, op, "the checksum is %s and should be %q", got, want)
	}
	return object, sum, nil
}

// OpenFile is Open for an object alone in a file. One without a checksum, as an
// earlier version wrote it, is returned as it is. Errors: invalid.
func OpenFile(data []byte) ([]byte, error) {
	data = bytes.TrimRight(data, "\n")
	if !Sealed(data) {
		if nearlySealed(data) {
			return nil, problem.New(problem.Invalid, "checksum", "the checksum is damaged")
		}
		return data, nil
	}
	object, _, err := Open(data, 0)
	return object, err
}

// nearlySealed tells whether an object ends as if it carried a checksum, but for
// one byte of what encloses the digits.
func nearlySealed(object []byte) bool {
	at := len(object) - length
	if at < 1 {
		return false
	}
	wrong := 0
	for i, c := range object[at:] {
		switch digit := i - len(begin); {
		case digit < 0 && c != begin[i], digit >= 8 && c != end[digit-8]:
			wrong++
		case digit >= 0 && digit < 8 && !strings.ContainsRune("0123456789abcdef", rune(c)):
			return false
		}
	}
	return wrong == 1
}

// SealFile is Seal for an object alone in a file. An empty object stays as it is:
// a damage of it is no JSON.
func SealFile(object []byte) []byte {
	if string(object) == "{}" {
		return object
	}
	sealed, _ := Seal(object, 0)
	return sealed
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // made once by the package
