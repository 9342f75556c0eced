package pipeline

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// commentsJSON holds the comments of the language's types by "Type" and
// "Type.Field". A test writes it with -update, and fails when it is stale.
//
//go:embed comments.json
var commentsJSON []byte

// comments maps "Type" and "Type.Field" to what the source says about it.
func comments() map[string]string {
	m := map[string]string{}
	if err := json.Unmarshal(commentsJSON, &m); err != nil {
		panic(err) // embedded, and read by every test of the schema
	}
	return m
}

// Schema returns the JSON Schema (2020-12) of a pipeline file, for editors. It
// expresses what a schema can: names, types, formats, exactly one kind. Parse
// knows more.
func Schema() ([]byte, error) {
	b := &schemaBuilder{defs: jsonschema.Definitions{}, comments: comments()}
	root := b.document()
	root.Version = jsonschema.Version
	root.Title = "Showrunner pipeline file"
	root.Definitions = b.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(out, '\n'), nil
}

type schemaBuilder struct {
	defs     jsonschema.Definitions
	comments map[string]string
}

func ptr[T any](v T) *T { return &v }

func object(required ...string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(),
		AdditionalProperties: jsonschema.FalseSchema, Required: required}
}

// named is a mapping of names of a pattern to things.
func named(pattern string, value *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", PropertyNames: &jsonschema.Schema{Pattern: pattern}, AdditionalProperties: value}
}

func ref(name string) *jsonschema.Schema { return &jsonschema.Schema{Ref: "#/$defs/" + name} }

func (b *schemaBuilder) document() *jsonschema.Schema {
	s := object("application", "pipelines")
	s.Description = b.comments["Document"]
	s.PatternProperties = map[string]*jsonschema.Schema{"^x-": {}}
	s.Properties.Set("application", scalar(namePattern))
	chaos := b.value(&field{}, reflect.TypeFor[*Chaos](), false)
	s.Properties.Set("chaos", chaos)
	pipelines := named(namePattern, b.pipeline())
	pipelines.MinProperties = ptr(uint64(1))
	s.Properties.Set("pipelines", pipelines)
	return s
}

func (b *schemaBuilder) pipeline() *jsonschema.Schema {
	s := object("stages")
	for _, f := range shapeOf(reflect.TypeFor[Pipeline]()).fields {
		var v *jsonschema.Schema
		switch f.name {
		case "name":
			continue
		case "parameters":
			v = named(parameterPattern, &jsonschema.Schema{AnyOf: []*jsonschema.Schema{b.object(reflect.TypeFor[Parameter](), false, "name"), scalar("")}})
		case "stages":
			v = named(stagePattern, b.stage())
			v.MinProperties, v.MaxProperties = ptr(uint64(1)), ptr(uint64(MaxStages))
		default:
			v = b.value(&f, f.typ, false)
		}
		v.Description = b.comments["Pipeline."+f.goName]
		s.Properties.Set(f.name, v)
	}
	b.defs["Pipeline"] = s
	s.Description = b.comments["Pipeline"]
	return ref("Pipeline")
}

func (b *schemaBuilder) stage() *jsonschema.Schema {
	s := b.fields(reflect.TypeFor[Stage](), false, "name", "kind", "with")
	s.Required = nil
	for _, k := range kinds {
		v := b.value(&field{}, reflect.TypeOf(k.Config), true)
		if len(requiredFields(reflect.TypeOf(k.Config))) == 0 {
			v = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{v, {Type: "null"}}}
		}
		v.Description = k.Summary
		s.Properties.Set(k.Name, v)
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{k.Name}})
	}
	s.Description = b.comments["Stage"]
	b.defs["Stage"] = s
	return ref("Stage")
}

func requiredFields(t reflect.Type, except ...string) []string {
	var names []string
	for _, f := range shapeOf(t).fields {
		if f.required && !contains(except, f.name) {
			names = append(names, f.name)
		}
	}
	return names
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// object returns a reference to the definition of a struct.
func (b *schemaBuilder) object(t reflect.Type, expressions bool, except ...string) *jsonschema.Schema {
	name := t.Name()
	if t == reflect.TypeFor[Call]() {
		name = "PipelineCall"
	}
	if _, ok := b.defs[name]; !ok {
		b.defs[name] = nil // a struct of the language never contains itself
		b.defs[name] = b.fields(t, expressions, except...)
	}
	return ref(name)
}

func (b *schemaBuilder) fields(t reflect.Type, expressions bool, except ...string) *jsonschema.Schema {
	s := object(requiredFields(t, except...)...)
	s.Description = b.comments[t.Name()]
	sh := shapeOf(t)
	for i := range sh.fields {
		f := &sh.fields[i]
		if contains(except, f.name) {
			continue
		}
		v := b.value(f, f.typ, expressions && !f.static)
		if d := b.comments[t.Name()+"."+f.goName]; d != "" {
			v.Description = d
		}
		s.Properties.Set(f.name, v)
	}
	for _, g := range fieldGroups(t) {
		s.AllOf = append(s.AllOf, groupSchema(sh, g))
	}
	return s
}

// groupSchema says how many of some fields are set.
func groupSchema(s *shape, g group) *jsonschema.Schema {
	var each []*jsonschema.Schema
	for _, name := range g.fields {
		set := &jsonschema.Schema{Required: []string{name}}
		if s.byName[name].typ.Kind() == reflect.Bool {
			set.Properties = jsonschema.NewProperties()
			set.Properties.Set(name, &jsonschema.Schema{Const: true})
		}
		each = append(each, set)
	}
	switch g.rule {
	case exactlyOne:
		return &jsonschema.Schema{OneOf: each}
	case atLeastOne:
		return &jsonschema.Schema{AnyOf: each}
	}
	return &jsonschema.Schema{Not: &jsonschema.Schema{AllOf: each}}
}

// value is the schema of one field's value of type t.
func (b *schemaBuilder) value(f *field, t reflect.Type, expressions bool) *jsonschema.Schema {
	var s *jsonschema.Schema
	switch {
	case t == durationType:
		s = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: durationPattern}, {Const: 0}}}
	case t == emptyType:
		return &jsonschema.Schema{Extras: map[string]any{"type": []string{"object", "null"}}, MaxProperties: ptr(uint64(0))}
	case t.Kind() == reflect.Pointer:
		return b.value(f, t.Elem(), expressions)
	case t.Kind() == reflect.Struct:
		s = b.object(t, expressions)
		if shapeOf(t).union {
			s = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Enum: anys(shapeOf(t).names())}}}
		}
		if names := requiredFields(t); len(names) == 0 && len(fieldGroups(t)) == 0 {
			s = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "null"}}}
		}
		return s
	case t.Kind() == reflect.Slice:
		item := b.value(f, t.Elem(), expressions)
		s = &jsonschema.Schema{Type: "array", Items: item}
		if f.required {
			s.MinItems = ptr(uint64(1))
		}
		if f.one {
			s = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, item}}
		}
	case t.Kind() == reflect.Map:
		s = &jsonschema.Schema{Type: "object", AdditionalProperties: b.value(f, t.Elem(), expressions || f.trigger)}
		if p, ok := keyPatterns[f.check]; ok {
			s.PropertyNames = &jsonschema.Schema{Pattern: p}
		}
	case t.Kind() == reflect.Bool:
		s = &jsonschema.Schema{Type: "boolean"}
	case t.Kind() == reflect.Int, t.Kind() == reflect.Float64:
		s = numberSchema(f, t)
	default:
		return textSchema(f, expressions || f.trigger)
	}
	if expressions {
		s = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "string", Pattern: wholePattern}}}
	}
	if f.def != "" && t.Kind() != reflect.Slice {
		s.Default = json.RawMessage(f.def)
		if t == durationType {
			s.Default = f.def
		}
	}
	return s
}

const (
	durationPattern = `^\s*0\s*$|^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$`
	wholePattern    = `^\s*\$\{\{[\s\S]*\}\}\s*$`
)

func numberSchema(f *field, t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "number"}
	if t.Kind() == reflect.Int {
		s.Type = "integer"
	}
	if f.min != nil {
		s.Minimum = json.Number(fmt.Sprint(*f.min))
	}
	if f.max != nil {
		s.Maximum = json.Number(fmt.Sprint(*f.max))
	}
	return s
}

func textSchema(f *field, expressions bool) *jsonschema.Schema {
	if len(f.enum) > 0 {
		s := &jsonschema.Schema{Enum: anys(f.enum)}
		if expressions {
			s = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "string", Pattern: `\$\{\{`}}}
		}
		if f.def != "" && !strings.HasPrefix(f.def, "[") {
			s.Default = f.def
		}
		return s
	}
	name := f.check
	if item, ok := itemFormats[name]; ok {
		name = item
	}
	pattern := ""
	if rule, ok := formats[name]; ok && rule.pattern != nil {
		pattern = rule.pattern.String()
		if !f.required {
			pattern = "^$|" + pattern
		}
		if expressions {
			pattern += `|\$\{\{`
		}
	}
	s := scalar(pattern)
	if f.def != "" && f.typ != nil && f.typ.Kind() == reflect.String {
		s.Default = f.def
	}
	return s
}

// scalar is a text; a number or a truth value stands for its own text.
func scalar(pattern string) *jsonschema.Schema {
	return &jsonschema.Schema{Extras: map[string]any{"type": []string{"string", "number", "boolean"}}, Pattern: pattern}
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}
