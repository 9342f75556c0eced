package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// field is what the struct tags of the language's types say about one field.
// The decoder, the resolver, the schema and the reference all read it, so that
// a rule is written once:
//
//	json     the name; without omitempty the field is required
//	lang     secret  secret references are allowed
//	         static  expressions are not
//	         trigger the scope of its expressions is the trigger alone
//	         one     a single value stands for a list of one
//	enum     the values allowed, separated by |
//	check    the format (see formats)
//	default  what Resolve fills in when the field is absent, as JSON or plain text
//	min, max bounds; of a duration in nanoseconds
type field struct {
	name     string
	goName   string
	index    int
	typ      reflect.Type
	required bool
	secret   bool
	static   bool
	trigger  bool
	one      bool
	cond     bool // an expression as a whole, with or without ${{ }}
	enum     []string
	check    string
	def      string
	min, max *float64
}

// shape is a struct of the language.
type shape struct {
	typ    reflect.Type
	fields []field
	byName map[string]*field
	// union: every field is a pointer to a struct and exactly one is set; the
	// bare name of a field stands for that field with nothing in it.
	union bool
}

func (s *shape) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

// within is the one field whose mapping has a field of that name; "" where there is none,
// or where there are several.
func (s *shape) within(name string) string {
	found := ""
	for _, f := range s.fields {
		inner := shapeOf(f.typ)
		if inner == nil || inner.byName[name] == nil {
			continue
		}
		if found != "" {
			return ""
		}
		found = f.name
	}
	return found
}

var (
	durationType = reflect.TypeFor[Duration]()
	emptyType    = reflect.TypeFor[struct{}]()
	unionTypes   = []reflect.Type{reflect.TypeFor[Trigger](), reflect.TypeFor[Strategy]()}
)

// shapes holds every struct that can be reached from a document or a kind.
var shapes = sync.OnceValue(func() map[reflect.Type]*shape {
	all := map[reflect.Type]*shape{}
	addShape(all, reflect.TypeFor[Document]())
	for _, k := range Kinds() {
		addShape(all, reflect.TypeOf(k.Config))
	}
	return all
})

func addShape(all map[reflect.Type]*shape, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		addShape(all, t.Elem())
		return
	case reflect.Struct:
	default:
		return
	}
	if _, ok := all[t]; ok {
		return
	}
	s := &shape{typ: t, byName: map[string]*field{}, union: slices.Contains(unionTypes, t)}
	all[t] = s
	for i := range t.NumField() {
		s.fields = append(s.fields, newField(t.Field(i), i))
	}
	for i := range s.fields {
		s.byName[s.fields[i].name] = &s.fields[i]
		addShape(all, s.fields[i].typ)
	}
}

func newField(sf reflect.StructField, index int) field {
	name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
	lang := strings.Split(sf.Tag.Get("lang"), ",")
	f := field{
		name: name, goName: sf.Name, index: index, typ: sf.Type,
		required: !strings.Contains(options, "omitempty"),
		secret:   slices.Contains(lang, "secret"),
		static:   slices.Contains(lang, "static"),
		trigger:  slices.Contains(lang, "trigger"),
		one:      slices.Contains(lang, "one"),
		cond:     slices.Contains(lang, "condition"),
		check:    sf.Tag.Get("check"),
		def:      sf.Tag.Get("default"),
		min:      bound(sf.Tag.Get("min")),
		max:      bound(sf.Tag.Get("max")),
	}
	if e := sf.Tag.Get("enum"); e != "" {
		f.enum = strings.Split(e, "|")
	}
	return f
}

func bound(s string) *float64 {
	if s == "" {
		return nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("pipeline: bound %q in a struct tag", s))
	}
	return &v
}

// shapeOf returns the shape of a struct type of the language.
func shapeOf(t reflect.Type) *shape {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return shapes()[t]
}
