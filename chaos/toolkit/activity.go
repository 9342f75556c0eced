package toolkit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"showrunner/internal/pause"
	"showrunner/secret"
)

// carry runs one activity with its pauses.
func (r *runner) carry(ctx context.Context, a Activity) Result {
	before, wrong := r.lasts(a.Before)
	after, wrongAfter := r.lasts(a.After)
	_ = pause.For(ctx, before) // its end is seen below
	begin := time.Now()
	out := Result{Activity: a.document, Status: succeeded, Start: Time{begin}}
	var err error
	if err = cmp.Or(context.Cause(ctx), wrong, wrongAfter); err == nil {
		out.Output, err = a.Provider.call(ctx, r, nil)
	}
	out.End = Time{time.Now()}
	out.Duration = out.End.Sub(begin).Seconds()
	if err != nil {
		out.Status, out.Exception = failed, []string{err.Error()}
		r.say("%s %s: failed: %v", a.Type, a.Name, err)
	} else {
		r.say("%s %s: %s", a.Type, a.Name, short(out.Output))
	}
	_ = pause.For(ctx, after) // the caller sees its end
	return out
}

// lasts is how long a pause is. Errors: the value is no number of seconds.
func (r *runner) lasts(w wait) (time.Duration, error) {
	if w.text == "" {
		return w.fixed, nil
	}
	value := r.values.substitute(w.text)
	if text, ok := value.(string); ok {
		value = convert("float", text)
	}
	n, ok := number(value)
	if !ok || n < 0 || n > math.MaxInt32 {
		return 0, fmt.Errorf("the pause %s is %v, which is no number of seconds", w.text, value)
	}
	return time.Duration(n * float64(time.Second)), nil
}

func (r *runner) mask(text string) string { return secret.Mask(text, r.hidden...) }

// masked is a result as the journal has it: without the values of secrets.
func (r *runner) masked(x Result) Result {
	x.Output, x.Deviation = r.maskedValue(x.Output), r.mask(x.Deviation)
	for i := range x.Exception {
		x.Exception[i] = r.mask(x.Exception[i])
	}
	return x
}

func (r *runner) maskedValue(x any) any {
	switch t := x.(type) {
	case string:
		return r.mask(t)
	case []any:
		out := make([]any, len(t))
		for i := range t {
			out[i] = r.maskedValue(t[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for k := range t {
			out[k] = r.maskedValue(t[k])
		}
		return out
	}
	return x
}
