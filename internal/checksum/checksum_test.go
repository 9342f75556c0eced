package checksum

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"showrunner/problem"
)

func TestEveryFlippedBitIsFound(t *testing.T) {
	const text = `{"a":1,"b":"two","c":"three"}`
	sealed, sum := Seal([]byte(text), 7)
	if !json.Valid(sealed) || !Sealed(sealed) || Sealed([]byte(text)) {
		t.Fatalf("%s", sealed)
	}
	object, got, err := Open(bytes.Clone(sealed), 7)
	if err != nil || string(object) != text || got != sum {
		t.Fatalf("%s %x %v", object, got, err)
	}
	for at := range sealed {
		for bit := range 8 {
			bad := bytes.Clone(sealed)
			bad[at] ^= 1 << bit
			if object, _, err := Open(bad, 7); problem.CodeOf(err) != problem.Invalid {
				t.Fatalf("byte %d, bit %d: %s %v", at, bit, object, err)
			}
		}
	}
	if _, _, err := Open(sealed, 8); problem.CodeOf(err) != problem.Invalid {
		t.Error("the same object in another place:", err)
	}
}

func TestFilesOfAnEarlierVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(map[string]string{rapid.String().Draw(t, "key"): rapid.String().Draw(t, "value")})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenFile(append(bytes.Clone(text), '\n')); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("without a checksum: %s %v", got, err)
		}
		sealed := SealFile(bytes.Clone(text))
		if got, err := OpenFile(append(bytes.Clone(sealed), '\n')); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%s: %s %v", sealed, got, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"a":1,"c":"00000000"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		object, err := OpenFile(bytes.Clone(data))
		if err == nil && Sealed(bytes.TrimRight(data, "\n")) && !bytes.Equal(SealFile(bytes.Clone(object))[:len(object)], bytes.TrimRight(data, "\n")[:len(object)]) {
			t.Fatalf("%q", data)
		}
	})
}
