// Package checksum owns the checksum of a JSON object in a file or stream: a
// CRC-32C as the object's last member, `"c":"1a2b3c4d"`. It detects every damage
// of up to four adjacent bytes, and all but one in four billion others. It does
// not protect against attackers.
//
// The checksum covers the bytes of the object without the checksum. So the object
// stays JSON that any tool reads, and an object without a checksum, from an
// earlier version, can be distinguished.
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
// is room. In a stream, after is the checksum of the preceding object; it is 0
// for the first object and for a single object. Seal returns the object's own
// checksum for the next one. So a missing or moved object in a stream is detected
// too.
func Seal(object []byte, after uint32) (sealed []byte, sum uint32) {
	sum = crc32.Update(after, castagnoli(), object)
	object = append(object[:len(object)-1], begin...)
	for shift := 28; shift >= 0; shift -= 4 {
		object = append(object, "0123456789abcdef"[sum>>shift&0xf])
	}
	return append(object, end...), sum
}

// Sealed tells whether an object has a checksum.
func Sealed(object []byte) bool {
	at := len(object) - length
	return at > 0 && bytes.Equal(object[at:at+len(begin)], []byte(begin)) && bytes.HasSuffix(object, []byte(end))
}

// Open verifies the checksum of an object, and returns the object without it. It
// modifies the object's bytes. Errors: invalid when the object has no checksum,
// or a wrong one.
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

// OpenFile is Open for a single object in a file. An object without a checksum,
// from an earlier version, is returned unchanged. Errors: invalid.
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

// nearlySealed tells whether an object ends with a checksum in which one byte
// around the digits is damaged.
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

// SealFile is Seal for a single object in a file. An empty object stays
// unchanged: if it is damaged, it is no longer valid JSON.
func SealFile(object []byte) []byte {
	if string(object) == "{}" {
		return object
	}
	sealed, _ := Seal(object, 0)
	return sealed
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // the package builds the table once
