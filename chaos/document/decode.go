package document

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"showrunner/pipeline"
)

// Decode fills what to points to, by the json tags of its fields, from the value at a
// place. A field that is not known, and a value of another type, is a problem: nothing is
// left out in silence. A field whose tag is "-" is not read.
func (d *Document) Decode(place string, value, to any) []Problem {
	c := &decoder{doc: d}
	c.into(place, value, reflect.ValueOf(to).Elem())
	return c.problems
}

type decoder struct {
	doc      *Document
	problems []Problem
}

func (c *decoder) wrong(place, help, format string, args ...any) {
	c.problems = append(c.problems, Problem{Line: c.doc.Line(place), Place: place, Message: fmt.Sprintf(format, args...), Help: help})
}

var durationType = reflect.TypeFor[pipeline.Duration]()

// into sets one value.
func (c *decoder) into(place string, value any, to reflect.Value) {
	switch {
	case to.Type() == durationType:
		text, ok := value.(string)
		d, err := pipeline.ParseDuration(text)
		if !ok || err != nil {
			c.wrong(place, "such as 30s, 2m or 500ms", "%v is no duration", value)
			return
		}
		to.Set(reflect.ValueOf(d))
		return
	case to.Kind() == reflect.Pointer:
		if value == nil {
			return
		}
		to.Set(reflect.New(to.Type().Elem()))
		c.into(place, value, to.Elem())
		return
	}
	ok := true
	switch to.Kind() {
	case reflect.Struct:
		c.object(place, value, to)
	case reflect.Slice:
		c.list(place, value, to)
	case reflect.Map:
		c.mapping(place, value, to)
	case reflect.String:
		var text string
		text, ok = value.(string)
		to.SetString(text)
	case reflect.Bool:
		var b bool
		b, ok = value.(bool)
		to.SetBool(b)
	default:
		ok = number(value, to)
	}
	if !ok {
		c.wrong(place, "", "%v is no %s", value, kindName(to.Kind()))
	}
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "text; put it into quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "whole number"
	}
	return "number"
}

// number sets an integer or a float.
func number(value any, to reflect.Value) bool {
	var f float64
	switch n := value.(type) {
	case int:
		f = float64(n)
	case int64:
		f = float64(n)
	case uint64:
		f = float64(n)
	case float64:
		f = n
	default:
		return false
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return false
	}
	if to.Kind() == reflect.Float64 {
		to.SetFloat(f)
		return true
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return false
	}
	to.SetInt(int64(f))
	return true
}

func (c *decoder) object(place string, value any, to reflect.Value) {
	m, ok := value.(map[string]any)
	if !ok {
		c.wrong(place, "", "it must be an object")
		return
	}
	fields := map[string]reflect.Value{}
	collect(to, fields)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		at := Member(place, name)
		field, known := fields[name]
		if !known {
			names := slices.Sorted(maps.Keys(fields))
			help := "one of " + strings.Join(names, ", ")
			if meant := pipeline.Nearest(name, names); meant != "" {
				help = "did you mean " + meant + "?"
			}
			c.wrong(at, help, "%s is not known here", name)
			continue
		}
		c.into(at, m[name], field)
	}
}

// collect names the fields of a struct and of the structs in it.
func collect(of reflect.Value, fields map[string]reflect.Value) {
	for i := range of.NumField() {
		f := of.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			collect(of.Field(i), fields)
		case name != "" && name != "-":
			fields[name] = of.Field(i)
		}
	}
}

func (c *decoder) list(place string, value any, to reflect.Value) {
	list, ok := value.([]any)
	if !ok {
		c.wrong(place, "", "it must be a list")
		return
	}
	out := reflect.MakeSlice(to.Type(), len(list), len(list))
	for i := range list {
		c.into(fmt.Sprintf("%s[%d]", place, i), list[i], out.Index(i))
	}
	to.Set(out)
}

func (c *decoder) mapping(place string, value any, to reflect.Value) {
	m, ok := value.(map[string]any)
	if !ok {
		c.wrong(place, "", "it must be an object")
		return
	}
	out := reflect.MakeMap(to.Type())
	for name, v := range m {
		one := reflect.New(to.Type().Elem()).Elem()
		c.into(Member(place, name), v, one)
		out.SetMapIndex(reflect.ValueOf(name), one)
	}
	to.Set(out)
}
