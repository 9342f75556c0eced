package wire

import (
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// readCBOR reads the body of an rpc-v2-cbor request as a shape. An empty body is
// an empty structure.
func (m *Model) readCBOR(shape *Shape, body []byte) (map[string]any, error) {
	if len(body) == 0 {
		return map[string]any{}, nil
	}
	mode, err := cbor.DecOptions{
		MaxNestedLevels: deepest, TimeTag: cbor.DecTagOptional, DupMapKey: cbor.DupMapKeyEnforcedAPF,
		DefaultMapType: mapType, IntDec: cbor.IntDecConvertSignedOrFail,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	var raw any
	if err := mode.Unmarshal(body, &raw); err != nil {
		return nil, malformed("the body is not CBOR: %v", err)
	}
	v, err := m.fromCBOR(shape, raw, "")
	if err != nil {
		return nil, err
	}
	out, _ := v.(map[string]any)
	if out == nil {
		return nil, malformed("the body is no CBOR map")
	}
	return out, nil
}

func (m *Model) fromCBOR(shape *Shape, raw any, path string) (any, error) {
	if raw == nil {
		return nil, nil
	}
	switch x := raw.(type) {
	case map[string]any:
		out := map[string]any{}
		switch shape.Type {
		case "structure":
			for name, ref := range shape.Members {
				v, err := m.fromCBOR(m.of(ref), x[name], join(path, name))
				if err != nil {
					return nil, err
				}
				if v != nil {
					out[name] = v
				}
			}
			return out, nil
		case "map":
			for k, e := range x {
				v, err := m.fromCBOR(m.of(shape.Value), e, join(path, k))
				if err != nil {
					return nil, err
				}
				out[k] = v
			}
			return out, nil
		}
	case []any:
		if shape.Type == "list" {
			out := make([]any, 0, len(x))
			for _, e := range x {
				v, err := m.fromCBOR(m.of(shape.Member), e, path+"[]")
				if err != nil {
					return nil, err
				}
				out = append(out, v)
			}
			return out, nil
		}
	default:
		if v := scalarFromCBOR(shape, raw); v != nil {
			return v, nil
		}
	}
	return nil, malformed("%s is not of the type %s", orBody(path), shape.Type)
}

// scalarFromCBOR is nil where the value is not of the shape's type.
func scalarFromCBOR(shape *Shape, raw any) any {
	switch x := raw.(type) {
	case string:
		if shape.Type == "string" || shape.Type == "character" {
			return x
		}
	case bool:
		if shape.Type == "boolean" {
			return x
		}
	case []byte:
		if shape.Type == "blob" {
			return x
		}
	case time.Time:
		if shape.Type == "timestamp" {
			return x.UTC()
		}
	case int64:
		switch shape.Type {
		case "integer", "long":
			if shape.Type == "long" || x == int64(int32(x)) {
				return x
			}
		case "float", "double":
			return float64(x)
		case "timestamp":
			if t, ok := epoch(float64(x)); ok {
				return t
			}
		}
	case float64:
		switch shape.Type {
		case "float", "double":
			return x
		case "integer", "long":
			if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
				return int64(x)
			}
		case "timestamp":
			if t, ok := epoch(x); ok {
				return t
			}
		}
	}
	return nil
}

// writeCBOR is the body of an answer; timestamps are tag 1, in seconds.
func writeCBOR(v any) ([]byte, error) {
	mode, err := cbor.EncOptions{Time: cbor.TimeUnixDynamic, TimeTag: cbor.EncTagRequired, Sort: cbor.SortBytewiseLexical}.EncMode()
	if err != nil {
		return nil, err
	}
	return mode.Marshal(v)
}
