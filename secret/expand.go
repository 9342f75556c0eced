package secret

import (
	"context"

	"showrunner/pipeline"
)

// Resolver returns the value of a secret. *Store is one.
type Resolver interface {
	Resolve(ctx context.Context, name string) (string, error)
}

// Expander replaces references to secrets in text that the language has
// resolved, and has every value it hands out masked first. It implements
// stage.Secrets.
type Expander struct {
	Secrets Resolver
	// Mask is told each value before Expand returns it; *Masker's Add fits.
	Mask func(values ...string)
}

// Expand replaces every ${{ secrets.NAME }} in text, in one pass: what looks
// like a reference inside a value, or in what an expression yielded, stays as it
// is. Errors: not_found.
func (e Expander) Expand(ctx context.Context, text string) (string, error) {
	return pipeline.ExpandSecrets(text, func(name string) (string, error) {
		value, err := e.Secrets.Resolve(ctx, name)
		if err == nil && e.Mask != nil {
			e.Mask(value)
		}
		return value, err
	})
}
