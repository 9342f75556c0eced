package execid

import (
	"regexp"
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
