package wire

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Go structs stand for structures: a field for each member that the code uses, of
// the member's name with its first letter in upper case, or the name of a tag
// `wire:"name"`. Pointers, slices and maps may be left out; of the rest, an empty
// string and a zero time are left out of an answer, numbers and booleans never. An
// Object stands for any structure, by its members' names, as it is.

var timeType, mapType, objectType = reflect.TypeFor[time.Time](), reflect.TypeFor[map[string]any](), reflect.TypeFor[Object]()

// fieldName is the member that a field stands for.
func fieldName(f reflect.StructField, members map[string]*Ref) (string, bool) {
	if tag := f.Tag.Get("wire"); tag != "" {
		_, ok := members[tag]
		return tag, ok
	}
	if _, ok := members[f.Name]; ok {
		return f.Name, true
	}
	first, size := utf8.DecodeRuneInString(f.Name)
	name := string(unicode.ToLower(first)) + f.Name[size:]
	_, ok := members[name]
	return name, ok
}

// bind fills in a struct from a value of the shape.
func (m *Model) bind(shape *Shape, v any, into reflect.Value) error {
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		return m.bind(shape, v, into.Elem())
	case reflect.Interface:
		into.Set(reflect.ValueOf(v))
		return nil
	case reflect.Struct:
		if into.Type() == timeType {
			into.Set(reflect.ValueOf(v))
			return nil
		}
		values, _ := v.(map[string]any)
		for i := range into.NumField() {
			name, ok := fieldName(into.Type().Field(i), shape.Members)
			if !ok {
				return fmt.Errorf("%s has no member for the field %s", shape.Name, into.Type().Field(i).Name)
			}
			if e, there := values[name]; there {
				if err := m.bind(m.of(shape.Members[name]), e, into.Field(i)); err != nil {
					return err
				}
			}
		}
		return nil
	case reflect.Slice:
		if b, ok := v.([]byte); ok {
			into.SetBytes(b)
			return nil
		}
		list, _ := v.([]any)
		into.Set(reflect.MakeSlice(into.Type(), len(list), len(list)))
		for i, e := range list {
			if e == nil {
				continue
			}
			if err := m.bind(m.of(shape.Member), e, into.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Map:
		values, _ := v.(map[string]any)
		if into.Type() == objectType && shape.Type == "structure" {
			into.Set(reflect.ValueOf(Object(values)))
			return nil
		}
		into.Set(reflect.MakeMapWithSize(into.Type(), len(values)))
		for k, e := range values {
			one := reflect.New(into.Type().Elem()).Elem()
			if e != nil {
				if err := m.bind(m.of(shape.Value), e, one); err != nil {
					return err
				}
			}
			into.SetMapIndex(reflect.ValueOf(k).Convert(into.Type().Key()), one)
		}
		return nil
	}
	value := reflect.ValueOf(v)
	if !value.CanConvert(into.Type()) || value.Kind() == reflect.String != (into.Kind() == reflect.String) {
		return fmt.Errorf("a %s of %s does not fit a %s", shape.Type, shape.Name, into.Type())
	}
	into.Set(value.Convert(into.Type()))
	return nil
}

// unbind makes the value of an output structure.
func (m *Model) unbind(shape *Shape, output any) (map[string]any, error) {
	v := reflect.ValueOf(output)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() == reflect.Pointer {
		return map[string]any{}, nil
	}
	out, err := m.fromGo(shape, v)
	if err != nil {
		return nil, err
	}
	structure, ok := out.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a %s is no structure", v.Type())
	}
	return structure, nil
}

// fromGo is nil for what is left out.
func (m *Model) fromGo(shape *Shape, v reflect.Value) (any, error) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil, nil
		}
		return m.fromGo(shape, v.Elem())
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			if t.IsZero() {
				return nil, nil
			}
			return t, nil
		}
		out := map[string]any{}
		for i := range v.NumField() {
			name, ok := fieldName(v.Type().Field(i), shape.Members)
			if !ok {
				return nil, fmt.Errorf("%s has no member for the field %s", shape.Name, v.Type().Field(i).Name)
			}
			field := v.Field(i)
			if field.Kind() == reflect.String && field.Len() == 0 {
				continue
			}
			e, err := m.fromGo(m.of(shape.Members[name]), field)
			if err != nil {
				return nil, err
			}
			if e != nil {
				out[name] = e
			}
		}
		return out, nil
	case reflect.Slice:
		if v.IsNil() {
			return nil, nil
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Bytes(), nil
		}
		out := make([]any, v.Len())
		for i := range out {
			e, err := m.fromGo(m.of(shape.Member), v.Index(i))
			if err != nil {
				return nil, err
			}
			out[i] = e
		}
		return out, nil
	case reflect.Map:
		if v.IsNil() {
			return nil, nil
		}
		out := make(map[string]any, v.Len())
		for k, e := range v.Seq2() {
			value := shape.Value
			if shape.Type == "structure" {
				if value = shape.Members[k.String()]; value == nil {
					return nil, fmt.Errorf("%s has no member %s", shape.Name, k)
				}
			}
			one, err := m.fromGo(m.of(value), e)
			if err != nil {
				return nil, err
			}
			if one == nil && shape.Type == "structure" {
				continue
			}
			out[k.String()] = one
		}
		return out, nil
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Float32, reflect.Float64:
		if shape.Type == "integer" || shape.Type == "long" { // of a document that was read from JSON
			return int64(v.Float()), nil
		}
		return v.Float(), nil
	}
	if v.CanInt() {
		if strings.HasPrefix(shape.Type, "float") || shape.Type == "double" {
			return float64(v.Int()), nil
		}
		return v.Int(), nil
	}
	return nil, fmt.Errorf("a %s is no %s", v.Type(), shape.Type)
}

// check says whether a struct type fits a shape; it is for tests and for the
// start, so that no request finds it out.
func (m *Model) check(shape *Shape, t reflect.Type, seen map[reflect.Type]bool) error {
	if t == objectType && shape.Type == "structure" {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		inner := shape
		switch {
		case t.Kind() == reflect.Slice && shape.Type == "list":
			inner = m.of(shape.Member)
		case t.Kind() == reflect.Map && shape.Type == "map":
			inner = m.of(shape.Value)
		case t.Kind() == reflect.Slice && shape.Type == "blob":
			return nil
		case t.Kind() != reflect.Pointer:
			return fmt.Errorf("%s is a %s, not a %s", shape.Name, shape.Type, t)
		}
		return m.check(inner, t.Elem(), seen)
	case reflect.Struct:
		if t == timeType {
			return nil
		}
		if seen[t] {
			return nil
		}
		seen[t] = true
		for i := range t.NumField() {
			name, ok := fieldName(t.Field(i), shape.Members)
			if !ok {
				return fmt.Errorf("%s has no member for the field %s", shape.Name, t.Field(i).Name)
			}
			if err := m.check(m.of(shape.Members[name]), t.Field(i).Type, seen); err != nil {
				return fmt.Errorf("%s: %w", t.Field(i).Name, err)
			}
		}
	}
	return nil
}
