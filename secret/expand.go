package secret

import (
	"context"

	"showrunner/pipeline"
)

// Resolver returns the value of a secret. *Store is one.
type Resolver interface {
	Resolve(ctx context.Context, name string) (string, error)
}

// Expander replaces references to secrets in text whose expressions have been
// evaluated. Every value is masked before Expand returns it. It implements
// stage.Secrets.
type Expander struct {
	Secrets Resolver
	// Mask is called with each value before Expand returns it; use *Masker's Add.
	Mask func(values ...string)
}

// Expand replaces every ${{ secrets.NAME }} in text, in one pass: text inside a
// value or an expression's result that looks like a reference is left as it is.
// Errors: not_found.
func (e Expander) Expand(ctx context.Context, text string) (string, error) {
	return pipeline.ExpandSecrets(text, func(name string) (string, error) {
		value, err := e.Secrets.Resolve(ctx, name)
		if err == nil && e.Mask != nil {
			e.Mask(value)
		}
		return value, err
	})
}
