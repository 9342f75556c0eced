package pipeline

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"showrunner/problem"
)

// ResolveParameters returns the value of every parameter of a pipeline: what is
// given, else the default, else "". The error (invalid) lists everything that
// is wrong: unknown names, values that are no option, required ones missing.
func ResolveParameters(p Pipeline, given map[string]string) (map[string]string, error) {
	var faults []error
	out := make(map[string]string, len(p.Parameters))
	for _, v := range p.Parameters {
		value, ok := given[v.Name]
		switch {
		case !ok && v.Required:
			faults = append(faults, fmt.Errorf("%q is required", v.Name))
		case !ok && v.Default != nil:
			value = *v.Default
		case ok && len(v.Options) > 0 && !slices.Contains(v.Options, value):
			faults = append(faults, &fault{message: fmt.Sprintf("%q must be one of %s, not %q", v.Name, strings.Join(v.Options, ", "), shorten(value, 60)),
				suggestion: Nearest(value, v.Options)})
		}
		out[v.Name] = value
	}
	names := parameterNames(p)
	for _, name := range sortedKeys(given) {
		if !slices.Contains(names, name) {
			faults = append(faults, &fault{message: fmt.Sprintf("there is no parameter %q", name), suggestion: Nearest(name, names)})
		}
	}
	if len(faults) == 0 {
		return out, nil
	}
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = f.Error()
	}
	err := problem.New(problem.Invalid, "pipeline.parameters", "pipeline %q: %s", p.Name, strings.Join(texts, "; "))
	if len(names) > 0 {
		err = err.WithHelp("parameters: %s", strings.Join(names, ", "))
	}
	return nil, err
}

// ResolveTrigger returns the parameters that a trigger gives, its expressions
// evaluated over what is known of the event. An expression without a value, such
// as a member that the payload does not have, gives nothing: the parameter's
// default counts then, and a required one is missing. Errors: invalid.
func ResolveTrigger(t Trigger, event map[string]any) (map[string]string, error) {
	given, kind := t.parameters()
	r := &resolver{scope: &Scope{Trigger: event}}
	out := make(map[string]string, len(given))
	var faults []error
	for _, name := range sortedKeys(given) {
		if r.givesNothing(given[name]) {
			continue
		}
		v, err := r.value(given[name], &field{}, reflect.TypeFor[string]())
		if err != nil {
			faults = append(faults, fmt.Errorf("parameter %q: %w", name, err))
			continue
		}
		out[name] = v.(string)
	}
	if len(faults) > 0 {
		return nil, problem.Wrap(errors.Join(faults...), problem.Invalid, "pipeline.trigger", "a %s trigger", kind)
	}
	return out, nil
}

// givesNothing tells whether a text is one expression alone whose value is nil.
func (r *resolver) givesNothing(text string) bool {
	segs, _, err := segments(strings.TrimSpace(text))
	if err != nil || len(segs) != 1 || !segs[0].expression {
		return false
	}
	v, err := evaluate(segs[0].text, r.scope)
	return err == nil && v == nil
}

// EvalTriggerWhen answers whether a webhook's condition holds for an event.
// Errors: invalid.
func EvalTriggerWhen(w WebhookTrigger, event map[string]any) (bool, error) {
	ok, err := condition(w.When, &Scope{Trigger: event})
	if err != nil {
		return false, problem.Wrap(err, problem.Invalid, "pipeline.when", "webhook %q: when", w.Name)
	}
	return ok, nil
}

// Parameters are the parameters that the trigger gives, as they are written.
func (t Trigger) Parameters() map[string]string {
	given, _ := t.parameters()
	return given
}

// WithDefaults returns the trigger with its defaults filled in.
func (t Trigger) WithDefaults() Trigger { return withZeroesFilled(t) }

// WithDefaults returns the stage with its defaults filled in: the policy, the
// retries' backoff, the windows' zone and the kind's timeout. With stays as it is.
func (s Stage) WithDefaults() Stage {
	s = withZeroesFilled(s)
	if kind, ok := FindKind(s.Kind); ok && s.Timeout == 0 {
		s.Timeout = Duration(kind.Timeout)
	}
	return s
}

// withZeroesFilled copies v deeply as far as it changes it.
func withZeroesFilled[T any](v T) T {
	fillZeroes(reflect.ValueOf(&v).Elem())
	return v
}

func fillZeroes(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Type().Elem().Kind() == reflect.Struct {
			p := reflect.New(v.Type().Elem())
			p.Elem().Set(v.Elem())
			fillZeroes(p.Elem())
			v.Set(p)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct && v.Len() > 0 {
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(c, v)
			for i := range c.Len() {
				fillZeroes(c.Index(i))
			}
			v.Set(c)
		}
	case reflect.Struct:
		s := shapeOf(v.Type())
		if s == nil {
			return
		}
		for _, f := range s.fields {
			fv := v.Field(f.index)
			if f.def != "" && fv.IsZero() {
				fv.Set(f.defaultOf())
			}
			fillZeroes(fv)
		}
	}
}

// defaultOf is the default as a value of the field's type.
func (f *field) defaultOf() reflect.Value {
	p := reflect.New(f.typ)
	switch {
	case f.typ == durationType:
		d, err := time.ParseDuration(f.def)
		if err != nil {
			panic(err) // a test decodes every default
		}
		p.Elem().SetInt(int64(d))
	case f.typ.Kind() == reflect.String:
		p.Elem().SetString(f.def)
	default:
		decodeDefault(f.def, p.Interface())
	}
	return p.Elem()
}
