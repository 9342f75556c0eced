package pipeline

import (
	"cmp"
	"slices"
	"strings"
)

// Located returns findings that another parser made about a text, in the order
// of the text and with its source lines filled in, so that they read the same.
func Located(name, text string, ds Diagnostics) Diagnostics {
	src := newSource(name, text)
	out := slices.Clone(ds)
	for i := range out {
		src.fill(&out[i])
	}
	slices.SortStableFunc(out, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return out
}

// Text is WriteText without the last line, for files that are no pipeline files.
func (ds Diagnostics) Text() string {
	var b strings.Builder
	for _, d := range ds {
		d.text(&b)
	}
	return b.String()
}
