package awstest

import (
	"strconv"
	"strings"
)

// Step is one call of a recorded test, and the name of its answer; an answer without
// a name is not compared. Take is the member that is compared, empty for the whole.
type Step struct {
	Key, Operation string
	In             map[string]any
	Take           string
}

// Steps make the calls one after the other. A text $N in an input stands for the Nth
// value of member that the answers had until then, so that a call can name what an
// earlier one has made.
func (c *Client) Steps(service, member string, steps []Step) func() Answers {
	return func() Answers {
		out := Answers{}
		var made []string
		for _, s := range steps {
			in, _ := filled(s.In, made).(map[string]any)
			answer := c.Inside(service, s.Operation, in)
			if v, ok := answer[member].(string); ok && (len(made) == 0 || made[len(made)-1] != v) {
				known := false
				for _, m := range made {
					known = known || m == v
				}
				if !known {
					made = append(made, v)
				}
			}
			if s.Key == "" {
				continue
			}
			out[s.Key] = answer
			if s.Take != "" && answer["Error"] == nil {
				out[s.Key] = answer[s.Take]
			}
		}
		return out
	}
}

// filled is an input whose references are replaced.
func filled(v any, made []string) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			out[k] = filled(e, made)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range x {
			out = append(out, filled(e, made))
		}
		return out
	case string:
		if text, ok := strings.CutPrefix(x, "$"); ok {
			if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= len(made) {
				return made[n-1]
			}
		}
	case nil:
		return map[string]any{}
	}
	return v
}
