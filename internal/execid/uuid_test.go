package execid

import (
	"regexp"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestAnIdentifierIsReadFromItsUUID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := encoding.EncodeToString(rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "id"))[:18]
		mark := rapid.Uint32().Draw(t, "mark")
		text, ok := UUID(id, mark)
		if !ok || !uuidForm.MatchString(text) {
			t.Fatalf("%s became %q", id, text)
		}
		if got, m, ok := ParseUUID(text); !ok || got != id || m != mark {
			t.Fatalf("%s of %s and %d reads as %s and %d", text, id, mark, got, m)
		}
	})
}

func TestOtherTextsAreNoExecutions(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "x1", "0123456789abcdefgi", "0123456789ABCDEFGH", "0123456789abcdefgh0"} {
		if text, ok := UUID(id, 0); ok {
			t.Errorf("%q became %s", id, text)
		}
	}
	for _, text := range []string{"", "no", "00000000-0000-4000-8000-000000000000", "00000000-0000-8000-0000-000000000000", "zz000000-0000-8000-8000-000000000000"} {
		if id, _, ok := ParseUUID(text); ok {
			t.Errorf("%q reads as %s", text, id)
		}
	}
}

// Stages of one execution have marks of their own. A stage keeps the mark of its name
// wherever no earlier stage has it, so that identifiers stay as they were.
func TestMarksTellStagesApart(t *testing.T) {
	t.Parallel()
	if mark("package-7") != mark("build-458") {
		t.Fatal("the two names have different bits: the test needs others")
	}
	if marks := Marks([]string{"package-7", "build-458", "build"}); marks[0] != mark("package-7") || marks[1] == marks[0] || marks[2] != mark("build") {
		t.Errorf("%v", marks)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 3000).Draw(t, "stages") // some of which have the same bits
		prefix := rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "prefix")
		names := make([]string, n)
		for i := range names {
			names[i] = prefix + strconv.Itoa(i)
		}
		marks := Marks(names)
		by := map[uint32]bool{}
		first := map[uint32]bool{}
		for i, m := range marks {
			if m > 0xffff || by[m] {
				t.Fatalf("%s has the mark %d, which is taken or too large", names[i], m)
			}
			by[m] = true
			if own := mark(names[i]); !first[own] && m != own {
				t.Fatalf("%s has the mark %d, and %d was free", names[i], m, own)
			}
			first[mark(names[i])] = true
		}
	})
}
