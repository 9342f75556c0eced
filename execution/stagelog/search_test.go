package stagelog

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSearch(t *testing.T) {
	text := "one\n\x1b[31mError\x1b[0m: two\r\nthree\n\x1b]8;;http://x\x1b\\error\x1b]8;;\x1b\\ four\nfive ERROR"
	s := NewSearch("error", 0, 10)
	fmt.Fprint(s, text)
	s.End()
	want := []Match{{2, 4, "Error: two"}, {4, 31, "error four"}, {5, 64, "five ERROR"}}
	if s.Total != 3 || !reflect.DeepEqual(s.Matches, want) {
		t.Errorf("%d, %+v", s.Total, s.Matches)
	}
	for _, m := range s.Matches {
		if line, _, _ := strings.Cut(text[m.Offset:], "\n"); plain([]byte(line)) != m.Text {
			t.Errorf("at %d stands %q, not %q", m.Offset, line, m.Text)
		}
	}
	s = NewSearch("error", 1, 1)
	fmt.Fprint(s, text)
	s.End()
	if s.Total != 3 || len(s.Matches) != 1 || s.Matches[0].Line != 4 {
		t.Errorf("the second of %d: %+v", s.Total, s.Matches)
	}
}

// A log's parts do not matter, nor does an end of the last line.
func TestSearchIsTheSameHoweverItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`[ab\r]{0,5}`)).Draw(t, "lines")
		whole := strings.Join(lines, "\n")
		want := NewSearch("ab", 0, 100)
		for i, l := range lines {
			if p := plain([]byte(l)); strings.Contains(p, "ab") {
				want.Total++
				want.Matches = append(want.Matches, Match{int64(i + 1), int64(len(strings.Join(lines[:i], "\n"))) + int64(min(i, 1)), p})
			}
		}
		got := NewSearch("ab", 0, 100)
		for rest := whole; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			fmt.Fprint(got, rest[:n])
			rest = rest[n:]
		}
		got.End()
		if got.Total != want.Total || !reflect.DeepEqual(got.Matches, want.Matches) {
			t.Fatalf("%q: %+v, want %+v", whole, got.Matches, want.Matches)
		}
	})
}

func TestSearchKeepsItsMemory(t *testing.T) {
	s := NewSearch("needle", 0, 1)
	for range 1000 {
		fmt.Fprint(s, strings.Repeat("x", 1<<16))
	}
	fmt.Fprint(s, "needle\nneedle\n")
	s.End()
	if cap(s.line) > 4*maxLine || s.Total != 1 || s.Matches[0].Line != 2 {
		t.Errorf("a line of 64 MB: %d bytes kept, %d found", cap(s.line), s.Total)
	}
}
