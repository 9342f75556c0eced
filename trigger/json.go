package trigger

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"unicode/utf8"

	"showrunner/problem"
)

// maxDepth bounds the nesting of a payload. It is well above the depth that any
// sender uses.
const maxDepth = 64

// decodeJSON reads one JSON value from outside into v. Errors: invalid.
func decodeJSON(body []byte, v any) error {
	const op = "trigger.payload"
	if !utf8.Valid(body) {
		return problem.New(problem.Invalid, op, "the payload is not UTF-8")
	}
	if err := checkDepth(body); err != nil {
		return problem.Wrap(err, problem.Invalid, op, "the payload")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(v); err != nil {
		return problem.Wrap(err, problem.Invalid, op, "the payload is not the JSON that was expected")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return problem.New(problem.Invalid, op, "something follows the payload's JSON value")
	}
	return nil
}

// checkDepth counts brackets before the JSON is decoded.
func checkDepth(body []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return errors.New("it is nested too deep")
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// decodeValue decodes a payload for use in expressions. Whole numbers stay
// integers as far as they are exact, all others become floats. Errors: invalid.
func decodeValue(body []byte) (any, error) {
	var raw json.RawMessage
	if err := decodeJSON(body, &raw); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "trigger.payload", "the payload")
	}
	return plain(v)
}

func plain(v any) (any, error) {
	var err error
	switch x := v.(type) {
	case map[string]any:
		for k := range x {
			if x[k], err = plain(x[k]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range x {
			if x[i], err = plain(x[i]); err != nil {
				return nil, err
			}
		}
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return int(n), nil
		}
		f, err := x.Float64()
		if err != nil || math.IsInf(f, 0) {
			return nil, problem.New(problem.Invalid, "trigger.payload", "the payload holds a number out of range")
		}
		return f, nil
	}
	return v, nil
}
