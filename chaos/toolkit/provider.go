package toolkit

import (
	"context"
	"time"

	"showrunner/chaos/document"
)

// provider carries out an activity. An error says that it could not be made; a status
// that nobody likes is an output, not an error.
type provider interface {
	// call carries it out. extra are arguments beside those of the file.
	call(ctx context.Context, run *runner, extra map[string]any) (any, error)
	// configured is what a value of the configuration becomes, which is given as a probe.
	configured(output any) any
}

// provider reads the provider of an activity.
func (r *reader) provider(activity map[string]any, place string) provider {
	place, m := document.Member(place, "provider"), r.object(activity, place, "provider")
	if m == nil {
		r.problem(place, "", "provider is missing")
		return nil
	}
	switch kind := m["type"]; kind {
	case "http":
		return r.httpProvider(m, place)
	case "process":
		return r.processProvider(m, place)
	case "python":
		return r.pythonProvider(m, place)
	case nil:
		r.problem(place, "http, process or python", "type is missing")
	default:
		r.problem(document.Member(place, "type"), "http, process or python", "there is no provider %v", kind)
	}
	return nil
}

// within bounds a call by a number of seconds, which may be a text when it is configured.
// Without one a call has as long as the run.
func within(ctx context.Context, limit any) (context.Context, context.CancelFunc) {
	seconds, ok := number(limit)
	if text, is := limit.(string); is {
		seconds, ok = number(convert("float", text))
	}
	if !ok || seconds <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
}

// merged are arguments with others beside them.
func merged(arguments any, extra map[string]any) any {
	if len(extra) == 0 {
		return arguments
	}
	out := map[string]any{}
	if m, ok := arguments.(map[string]any); ok {
		for k, v := range m {
			out[k] = v
		}
	}
	for k, v := range extra {
		out[k] = v
	}
	return out
}
