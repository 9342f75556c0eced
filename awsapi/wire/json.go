package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// readJSON reads a JSON body as a shape. An empty body is an empty structure.
func (m *Model) readJSON(shape *Shape, body []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return map[string]any{}, nil
	}
	if !utf8.Valid(body) {
		return nil, malformed("the body is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var raw any
	if err := d.Decode(&raw); err != nil {
		return nil, malformed("the body is not JSON: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed("the body is more than one JSON value")
	}
	v, err := m.fromJSON(shape, raw, "", 0)
	if err != nil {
		return nil, err
	}
	out, _ := v.(map[string]any)
	if out == nil {
		return nil, malformed("the body is no JSON object")
	}
	return out, nil
}

// fromJSON takes what the shape knows of a decoded value; what it does not know
// is ignored, as AWS does.
func (m *Model) fromJSON(shape *Shape, raw any, path string, depth int) (any, error) {
	if raw == nil {
		return nil, nil
	}
	if depth > deepest {
		return nil, malformed("the request is nested too deeply")
	}
	wrong := func() error { return malformed("%s is not of the type %s", orBody(path), shape.Type) }
	switch shape.Type {
	case "structure":
		o, ok := raw.(map[string]any)
		if !ok {
			return nil, wrong()
		}
		out := map[string]any{}
		for name, ref := range shape.Members {
			key := name
			if ref.LocationName != "" {
				key = ref.LocationName
			}
			v, err := m.fromJSON(m.of(ref), o[key], join(path, name), depth+1)
			if err != nil {
				return nil, err
			}
			if v != nil {
				out[name] = v
			}
		}
		return out, nil
	case "list":
		list, ok := raw.([]any)
		if !ok {
			return nil, wrong()
		}
		out := make([]any, 0, len(list))
		for i, e := range list {
			v, err := m.fromJSON(m.of(shape.Member), e, path+"["+strconv.Itoa(i)+"]", depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case "map":
		o, ok := raw.(map[string]any)
		if !ok {
			return nil, wrong()
		}
		out := map[string]any{}
		for k, e := range o {
			v, err := m.fromJSON(m.of(shape.Value), e, join(path, k), depth+1)
			if err != nil {
				return nil, err
			}
			out[k] = v
		}
		return out, nil
	}
	return scalarFromJSON(shape, raw, wrong)
}

func scalarFromJSON(shape *Shape, raw any, wrong func() error) (any, error) {
	switch x := raw.(type) {
	case string:
		switch shape.Type {
		case "string", "character":
			return x, nil
		case "blob":
			if b, err := base64.StdEncoding.DecodeString(x); err == nil {
				return b, nil
			}
		case "timestamp":
			if t, ok := parseTime(x); ok {
				return t, nil
			}
		case "float", "double":
			switch x {
			case "NaN":
				return math.NaN(), nil
			case "Infinity":
				return math.Inf(1), nil
			case "-Infinity":
				return math.Inf(-1), nil
			}
		}
	case bool:
		if shape.Type == "boolean" {
			return x, nil
		}
	case json.Number:
		switch shape.Type {
		case "integer", "long", "float", "double":
			if n, ok := number(shape, x); ok {
				return n, nil
			}
		case "timestamp":
			if f, err := x.Float64(); err == nil {
				if t, ok := epoch(f); ok {
					return t, nil
				}
			}
		case "string": // Java's reader takes numbers for strings
			return x.String(), nil
		}
	}
	return nil, wrong()
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orBody(path string) string {
	if path == "" {
		return "the body"
	}
	return path
}

// toJSON makes what encoding/json writes of a value. Members with a location
// outside the body are left out.
func (m *Model) toJSON(shape *Shape, ref *Ref, v any) (any, error) {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for name, e := range x {
			member := shape.Value
			key := name
			if shape.Type == "structure" {
				if member = shape.Members[name]; member.Location != "" {
					continue
				}
				if member.LocationName != "" {
					key = member.LocationName
				}
			}
			j, err := m.toJSON(m.of(member), member, e)
			if err != nil {
				return nil, err
			}
			out[key] = j
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			j, err := m.toJSON(m.of(shape.Member), shape.Member, e)
			if err != nil {
				return nil, err
			}
			out[i] = j
		}
		return out, nil
	case time.Time:
		if format := timeFormat(shape, ref, "unixTimestamp"); format != "unixTimestamp" {
			return formatTime(x, format), nil
		}
		return json.Number(formatTime(x, "unixTimestamp")), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return formatted(shape, ref, x)
		}
		// 50.0 stays a float for clients that tell the two apart.
		text := strconv.FormatFloat(x, 'g', -1, 64)
		if !bytes.ContainsAny([]byte(text), ".e") {
			text += ".0"
		}
		return json.Number(text), nil
	}
	return v, nil // strings, booleans, whole numbers; encoding/json writes []byte as base64
}

// writeJSON is the body of an answer.
func (m *Model) writeJSON(shape *Shape, v map[string]any) ([]byte, error) {
	j, err := m.toJSON(shape, nil, v)
	if err != nil {
		return nil, err
	}
	return compactJSON(j)
}

// compactJSON writes a value without escaping what HTML would need.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
