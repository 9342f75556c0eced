package web

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"showrunner/control"
)

// patchLines are the lines of a unified difference from its first "@@" on.
func patchLines(patch string) (list []diffLine) {
	for line := range strings.SplitSeq(strings.TrimSuffix(patch, "\n"), "\n") {
		line = visible(strings.TrimSuffix(line, "\r"))
		switch {
		case line == "":
			list = append(list, diffLine{"same", " ", ""})
		case strings.HasPrefix(line, "@@"):
			list = append(list, diffLine{"at", "", line})
		case line[0] == '+':
			list = append(list, diffLine{"add", "+", line[1:]})
		case line[0] == '-':
			list = append(list, diffLine{"remove", "−", line[1:]})
		case line[0] == '\\':
			list = append(list, diffLine{"at", "", strings.TrimPrefix(line, `\ `)})
		default:
			list = append(list, diffLine{"same", " ", line[1:]})
		}
	}
	return list
}

// visible writes out characters that cannot be seen and change how what stands beside
// them reads, such as those that turn the direction of text: what a person approves has
// to be what is delivered.
func visible(text string) string {
	hidden := func(r rune) bool {
		return r != '\t' && r != '\u200d' && (unicode.Is(unicode.Cf, r) || unicode.IsControl(r))
	}
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// filesText sums up the files that differ.
func filesText(c control.CommitsBetween) string {
	added, removed := c.Lines()
	n := len(c.Files) + c.FilesMore
	text := fmt.Sprintf("%d files change", n)
	if n == 1 {
		text = "1 file changes"
	}
	text += fmt.Sprintf(": +%d −%d lines", added, removed)
	if c.FilesMore > 0 {
		text += " or more"
	}
	return text
}

// Bounds of a page: it shows so many files of a difference, and so many lines of patches
// in all.
const (
	mostFilesShown = 100
	mostLinesShown = 2000
)

// boundFiles leaves out of a review what a page has no room for, and says so of each
// file; left is how many lines the page may still show.
func boundFiles(r *control.Review, left *int) {
	for i := range r.Commits {
		c := &r.Commits[i].CommitsBetween
		files := slices.Clone(c.Files[:min(len(c.Files), mostFilesShown)])
		c.FilesMore += len(c.Files) - len(files)
		for k := range files {
			lines := strings.Count(files[k].Patch, "\n")
			if lines > *left {
				files[k].Patch, files[k].Cut, lines = "", true, 0
			}
			*left -= lines
		}
		c.Files = files
	}
}
