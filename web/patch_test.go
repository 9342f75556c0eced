package web

import (
	"strings"
	"testing"

	"showrunner/control"
)

// What a person approves is what is delivered: nothing in a patch is invisible.
func TestAPatchHidesNothing(t *testing.T) {
	list := patchLines("@@ -1,2 +1,2 @@ func\n a\n-if ok {\n+if \u202eok\u2066 {\u0000\r\n\n\\ No newline at end of file\n")
	var kinds []string
	for _, l := range list {
		kinds = append(kinds, l.Kind)
	}
	if got := strings.Join(kinds, " "); got != "at same remove add same at" {
		t.Fatal(got)
	}
	if text := list[3].Text; text != "if ⟨U+202E⟩ok⟨U+2066⟩ {⟨U+0000⟩" {
		t.Errorf("%q", text)
	}
	for text, want := range map[string]string{"a\tb": "a\tb", "👩‍🚀": "👩‍🚀", "x\u200by": "x⟨U+200B⟩y"} {
		if got := visible(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestTheFilesAreSummedUp(t *testing.T) {
	c := control.CommitsBetween{Files: []control.FileChange{{Added: 3, Removed: 1}, {Binary: true}}}
	if got := filesText(c); got != "2 files change: +3 −1 lines" {
		t.Error(got)
	}
	if c.FilesMore = 7; filesText(c) != "9 files change: +3 −1 lines or more" {
		t.Error(filesText(c))
	}
}

// A page has room for so many files and lines; what it leaves out, it says.
func TestAPageHasRoomForSoManyFiles(t *testing.T) {
	r := control.Review{Commits: []control.ReviewCommits{{}, {}}}
	for i := range r.Commits {
		for range 3 * mostFilesShown {
			r.Commits[i].Files = append(r.Commits[i].Files, control.FileChange{Added: 40, Patch: strings.Repeat("+x\n", 40)})
		}
	}
	left := mostLinesShown
	boundFiles(&r, &left)
	shown := 0
	for _, c := range r.Commits {
		if len(c.Files) != mostFilesShown || c.FilesMore != 2*mostFilesShown {
			t.Errorf("%d files, %d more", len(c.Files), c.FilesMore)
		}
		for _, f := range c.Files {
			if (f.Patch == "") != f.Cut {
				t.Fatalf("%+v", f)
			}
			shown += strings.Count(f.Patch, "\n")
		}
	}
	if shown != mostLinesShown || left != 0 {
		t.Errorf("%d lines, %d left", shown, left)
	}
}
