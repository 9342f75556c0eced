package execution

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Bounds of what one execution adds to the search index.
const (
	maxSearchWords  = 64
	maxSearchFacets = 64
)

// SearchTerms are what finds an execution whose number is known; stores keep
// them: its words, each found by its beginning, and its facets, which are found
// whole and begin with "_", as no word does.
func SearchTerms(h *Head) []string {
	terms := append(searchWords(h), facet("application", h.Application), facet("pipeline", h.Pipeline))
	if kind, _ := h.Request.Trigger["kind"].(string); kind != "" {
		terms = append(terms, facet("trigger", kind))
	}
	for i, k := range slices.Sorted(maps.Keys(h.Request.Parameters)) {
		if i == maxSearchFacets {
			break
		}
		terms = append(terms, facet("parameter", k+"="+h.Request.Parameters[k]))
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}

// facet is the term for a name and a value of any length. PostgreSQL's
// showrunner_create makes the same of the application and the pipeline.
func facet(name, value string) string {
	sum := sha256.Sum256([]byte(name + "=" + value))
	return "_" + hex.EncodeToString(sum[:8])
}

// Terms are the words and the facets that an execution must have to be
// selected; none when the query needs no search.
func (q *Query) Terms() (words, facets []string) {
	words = Words(q.Text)
	if q.Trigger != "" {
		facets = append(facets, facet("trigger", q.Trigger))
	}
	for _, k := range slices.Sorted(maps.Keys(q.Parameters)) {
		facets = append(facets, facet("parameter", k+"="+q.Parameters[k]))
	}
	// The pipelines of one name are no stretch of a list, unless they are one application's.
	if len(words)+len(facets) == 0 && (q.Pipeline == "" || q.Application != "") {
		return nil, nil
	}
	if q.Application != "" {
		facets = append(facets, facet("application", q.Application))
	}
	if q.Pipeline != "" {
		facets = append(facets, facet("pipeline", q.Pipeline))
	}
	return words, facets
}

// Has tells whether an execution has the query's words and facets, as the
// stores' index would.
func (q *Query) Has(h *Head) bool {
	words, facets := q.Terms()
	if len(words)+len(facets) == 0 {
		return true
	}
	terms := SearchTerms(h)
	for _, w := range words {
		if i, _ := slices.BinarySearch(terms, w); i == len(terms) || !strings.HasPrefix(terms[i], w) {
			return false
		}
	}
	for _, f := range facets {
		if _, found := slices.BinarySearch(terms, f); !found {
			return false
		}
	}
	return true
}

func searchWords(h *Head) []string {
	words := Words(h.ID + " " + h.Request.By)
	if h.Number > 0 {
		words = append(words, strconv.Itoa(h.Number))
	}
	for _, k := range slices.Sorted(maps.Keys(h.Request.Trigger)) {
		switch v := h.Request.Trigger[k].(type) {
		case string:
			words = append(words, Words(v)...)
		case fmt.Stringer:
			words = append(words, Words(v.String())...)
		}
		if len(words) >= maxSearchWords {
			return words[:maxSearchWords]
		}
	}
	return words
}

// Words splits text into the lower-case runs of letters and digits that
// searching works on.
func Words(text string) []string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		if len(w) > 64 {
			words[i] = strings.ToValidUTF8(w[:64], "")
		}
	}
	return words
}
