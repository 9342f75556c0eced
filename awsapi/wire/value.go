package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Between bytes and Go structs a value is: string, bool, int64, float64, []byte,
// time.Time, []any, or map[string]any by the model's member names.

// text is a scalar of a query, ec2 or rest request.
func (m *Model) text(r *Ref, s string, path string) (any, error) {
	shape := m.of(r)
	switch shape.Type {
	case "string", "character":
		return s, nil
	case "boolean":
		switch strings.ToLower(s) {
		case "true", "1":
			return true, nil
		case "false", "0", "":
			return false, nil
		}
	case "integer", "long":
		if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil && (shape.Type == "long" || n == int64(int32(n))) {
			return n, nil
		}
	case "float", "double":
		if n, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return n, nil
		}
	case "blob":
		if b, err := base64.StdEncoding.DecodeString(s); err == nil {
			return b, nil
		}
	case "timestamp":
		if t, ok := parseTime(s); ok {
			return t, nil
		}
	}
	return nil, malformed("%q is not a valid %s: %s", path, shape.Type, s)
}

// malformed is the error of a request that cannot be read.
func malformed(format string, args ...any) *Error {
	return Errorf("SerializationException", format, args...)
}

// parseTime reads the forms of timestamps that clients send as text.
func parseTime(s string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02", time.RFC1123, time.RFC1123Z} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), true
		}
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return epoch(f)
	}
	return time.Time{}, false
}

// epoch is a timestamp in seconds, to the microsecond.
func epoch(seconds float64) (time.Time, bool) {
	if math.IsNaN(seconds) || math.Abs(seconds) > 1<<40 {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(math.Round(seconds * 1e6))).UTC(), true
}

// number makes an int64 or float64 as the shape says.
func number(shape *Shape, n json.Number) (any, bool) {
	if shape.Type == "integer" || shape.Type == "long" {
		if i, err := n.Int64(); err == nil {
			return i, shape.Type == "long" || i == int64(int32(i))
		}
		f, err := n.Float64() // 5.0, 1e3
		return int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53
	}
	f, err := n.Float64()
	return f, err == nil
}

// formatted is a scalar as text, as XML, URIs and headers have it.
func formatted(shape *Shape, ref *Ref, v any) (string, error) {
	switch x := v.(type) {
	case string:
		return x, nil
	case bool:
		return strconv.FormatBool(x), nil
	case int64:
		return strconv.FormatInt(x, 10), nil
	case float64:
		switch {
		case math.IsInf(x, 1):
			return "Infinity", nil
		case math.IsInf(x, -1):
			return "-Infinity", nil
		}
		if text := strconv.FormatFloat(x, 'f', -1, 64); strings.Contains(text, ".") || math.IsNaN(x) {
			return text, nil
		}
		return strconv.FormatFloat(x, 'f', 1, 64), nil
	case []byte:
		return base64.StdEncoding.EncodeToString(x), nil
	case time.Time:
		return formatTime(x, timeFormat(shape, ref, "iso8601")), nil
	}
	return "", fmt.Errorf("a %T is no %s", v, shape.Type)
}

func timeFormat(shape *Shape, ref *Ref, otherwise string) string {
	if ref != nil && ref.TimestampFormat != "" {
		return ref.TimestampFormat
	}
	if shape.TimestampFormat != "" {
		return shape.TimestampFormat
	}
	return otherwise
}

func formatTime(t time.Time, format string) string {
	t = t.UTC()
	switch format {
	case "unixTimestamp":
		return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64)
	case "rfc822":
		return t.Format("Mon, 02 Jan 2006 15:04:05 GMT")
	}
	return t.Format("2006-01-02T15:04:05.000Z")
}
