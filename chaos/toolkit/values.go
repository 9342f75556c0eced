package toolkit

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"showrunner/problem"
)

// values are the configuration and the secrets of a run.
type values struct {
	configuration map[string]any
	secrets       map[string]map[string]any
}

// lookup finds a variable: configuration goes before secrets.
func (v values) lookup(name string) (any, bool) {
	if x, ok := v.configuration[name]; ok {
		return x, true
	}
	for _, target := range slices.Sorted(maps.Keys(v.secrets)) {
		if x, ok := v.secrets[target][name]; ok {
			return x, true
		}
	}
	return nil, false
}

// variable is what Python's string templates take for one; $$ is a dollar sign.
var variable = regexp.MustCompile(`\$(?:\$|\{([_a-zA-Z][_a-zA-Z0-9]*)\}|([_a-zA-Z][_a-zA-Z0-9]*))`)

// substitute puts values in the place of ${name} and $name, everywhere in x. A text that
// is one variable and nothing else becomes its value, of whatever type. What is not known
// stays as it is written: it may be for a shell.
func (v values) substitute(x any) any {
	switch t := x.(type) {
	case string:
		if m := variable.FindStringSubmatch(t); m != nil && m[0] == t && t != "$$" {
			if found, ok := v.lookup(m[1] + m[2]); ok {
				return found
			}
			return t
		}
		return variable.ReplaceAllStringFunc(t, func(s string) string {
			if s == "$$" {
				return "$"
			}
			m := variable.FindStringSubmatch(s)
			if found, ok := v.lookup(m[1] + m[2]); ok {
				return plain(found)
			}
			return s
		})
	case []any:
		out := make([]any, len(t))
		for i := range t {
			out[i] = v.substitute(t[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for k := range t {
			out[k] = v.substitute(t[k])
		}
		return out
	}
	return x
}

// text is substitute for what has to be a text.
func (v values) text(s string) string { return plain(v.substitute(s)) }

// plain is a value as a text, as an argument or a header has it.
func plain(x any) string {
	switch t := x.(type) {
	case nil:
		return ""
	case string:
		return t
	case bool, int, int64, uint64:
		return fmt.Sprint(t)
	case float64:
		return strconv.FormatFloat(t, 'g', -1, 64)
	}
	text, err := json.Marshal(x)
	if err != nil {
		return fmt.Sprint(x)
	}
	return string(text)
}

// secrets checks the secrets: a group of names for each target.
func (r *reader) secrets(e *Experiment) {
	e.secrets = map[string]map[string]any{}
	for target, v := range r.object(r.doc.Root, "", "secrets") {
		m, ok := v.(map[string]any)
		if !ok {
			r.problem("secrets."+target, "", "secrets are grouped: a target has names with values")
			continue
		}
		e.secrets[target] = m
		for name, v := range m {
			r.sourced(v, "secrets."+target+"."+name)
		}
	}
	for name, v := range e.configuration {
		r.sourced(v, "configuration."+name)
	}
}

// sourced checks a value that comes from elsewhere.
func (r *reader) sourced(v any, place string) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	switch m["type"] {
	case "env":
		r.text(m, place, "key")
	case "vault":
		r.problem(place, `use {"type": "env", "key": "NAME"} and set the variable`, "values from Vault are not read")
	case "probe":
		r.provider(m, place)
	}
}

// resolve takes the values of a run from the environment.
func (e *Experiment) resolve(env func(string) (string, bool), overrides map[string]string) (values, error) {
	out := values{configuration: map[string]any{}, secrets: map[string]map[string]any{}}
	var missing []string
	take := func(x any) any {
		m, ok := x.(map[string]any)
		if !ok || m["type"] != "env" {
			return x
		}
		key, _ := m["key"].(string)
		text, set := env(key)
		if !set {
			if d, given := m["default"]; given && d != nil {
				return convert(m["env_var_type"], d)
			}
			missing = append(missing, key)
			return nil
		}
		return convert(m["env_var_type"], text)
	}
	for name, x := range e.configuration {
		if text, given := overrides[name]; given {
			out.configuration[name] = text
			continue
		}
		out.configuration[name] = take(x)
	}
	for name, text := range overrides {
		out.configuration[name] = text
	}
	for target, names := range e.secrets {
		out.secrets[target] = map[string]any{}
		for name, x := range names {
			out.secrets[target][name] = take(x)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return out, problem.New(problem.Invalid, "chaos.toolkit", "the experiment reads environment variables that are not set: %s", strings.Join(slices.Compact(missing), ", "))
	}
	return out, nil
}

// convert gives a text from the environment the type that the file asks for.
func convert(kind, x any) any {
	text := plain(x)
	switch kind {
	case "int":
		if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
			return n
		}
	case "float":
		if n, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
			return n
		}
	case "bool":
		return slices.Contains([]string{"1", "true", "yes", "y", "on"}, strings.ToLower(strings.TrimSpace(text)))
	case "json":
		var v any
		if json.Unmarshal([]byte(text), &v) == nil {
			return whole(v)
		}
	default:
		return x
	}
	return text
}

// whole turns JSON numbers without a fraction into integers, as Python has them.
func whole(v any) any {
	switch t := v.(type) {
	case float64:
		if t == float64(int64(t)) {
			return int(t)
		}
	case []any:
		for i := range t {
			t[i] = whole(t[i])
		}
	case map[string]any:
		for k := range t {
			t[k] = whole(t[k])
		}
	}
	return v
}
