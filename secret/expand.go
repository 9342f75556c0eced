package secret

import (
	"context"
	"regexp"
	"strings"
)

// reference matches ${{ secrets.NAME }} and, for names that are no identifiers,
// ${{ secrets["some/name"] }}.
var reference = regexp.MustCompile(`\$\{\{\s*secrets(?:\.([A-Za-z0-9_][A-Za-z0-9_.-]*)|\[\s*(?:"([^"\]]*)"|'([^'\]]*)')\s*\])\s*\}\}`)

// References lists the names of the secrets that text refers to, in order,
// each once.
func References(text string) []string {
	var names []string
	seen := map[string]bool{}
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		if name := m[1] + m[2] + m[3]; !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// Resolver returns the value of a secret. *Store is one.
type Resolver interface {
	Resolve(ctx context.Context, name string) (string, error)
}

// Expander replaces references and has every value it hands out masked first.
type Expander struct {
	Secrets Resolver
	// Mask is told each value before Expand returns it; *Masker's Add fits.
	Mask func(values ...string)
}

// Expand replaces every reference in text, in one pass: what looks like a
// reference inside a value stays as it is. Errors: not_found.
func (e Expander) Expand(ctx context.Context, text string) (string, error) {
	matches := reference.FindAllStringSubmatchIndex(text, -1)
	if matches == nil {
		return text, nil
	}
	var out strings.Builder
	last := 0
	for _, m := range matches {
		name := ""
		for group := 1; group <= 3; group++ {
			if from := m[2*group]; from >= 0 {
				name = text[from:m[2*group+1]]
			}
		}
		value, err := e.Secrets.Resolve(ctx, name)
		if err != nil {
			return "", err
		}
		if e.Mask != nil {
			e.Mask(value)
		}
		out.WriteString(text[last:m[0]])
		out.WriteString(value)
		last = m[1]
	}
	out.WriteString(text[last:])
	return out.String(), nil
}
