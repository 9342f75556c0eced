package wire

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// findRoute is the operation of a rest-json request and the values of its path.
func (m *Model) findRoute(r *http.Request) (*Operation, map[string]string) {
	path, query := r.URL.EscapedPath(), r.URL.Query()
	var best *Operation
	var values map[string]string
	for _, o := range m.Operations {
		if o.HTTP.Method != r.Method {
			continue
		}
		found := o.route.FindStringSubmatch(path)
		if found == nil || !has(query, o.query) {
			continue
		}
		if best != nil && (len(best.names) < len(o.names) || len(best.names) == len(o.names) && len(best.query) >= len(o.query)) {
			continue // the one with fewer parameters, or with a query of its own, is the more exact one
		}
		vs := map[string]string{}
		for i, n := range o.names {
			v, err := url.PathUnescape(found[i+1])
			if err != nil {
				v = found[i+1]
			}
			vs[n] = v
		}
		best, values = o, vs
	}
	return best, values
}

// has says whether a query has all values of another.
func has(query, wanted url.Values) bool {
	for name, values := range wanted {
		if !slices.Equal(query[name], values) {
			return false
		}
	}
	return true
}

// restInput is the value of a rest-json operation's input.
func (m *Model) restInput(o *Operation, r *http.Request, body []byte, path map[string]string) (map[string]any, error) {
	out := map[string]any{}
	if o.Input == nil {
		return out, nil
	}
	shape := m.of(o.Input)
	if shape.Payload == "" {
		v, err := m.readJSON(m.bodyOf(shape), body)
		if err != nil {
			return nil, err
		}
		out = v
	} else if ref := shape.Members[shape.Payload]; m.of(ref).Type == "blob" {
		if len(body) > 0 {
			out[shape.Payload] = body
		}
	} else {
		v, err := m.readJSON(m.of(ref), body)
		if err != nil {
			return nil, err
		}
		out[shape.Payload] = v
	}
	query := r.URL.Query()
	for name, ref := range shape.Members {
		var texts []string
		key := ref.LocationName
		if key == "" {
			key = name
		}
		switch ref.Location {
		case "uri":
			texts = []string{path[key]}
		case "querystring":
			texts = query[key]
		case "header":
			texts = r.Header.Values(key)
		}
		if len(texts) == 0 {
			continue
		}
		if s := m.of(ref); s.Type == "list" {
			list := []any{}
			for _, t := range texts {
				v, err := m.text(s.Member, t, key)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			out[name] = list
			continue
		}
		v, err := m.text(ref, texts[0], key)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

// bodyOf is a structure without the members that are elsewhere in the request.
func (m *Model) bodyOf(shape *Shape) *Shape {
	s := *shape
	s.Members = map[string]*Ref{}
	for name, ref := range shape.Members {
		if ref.Location == "" {
			s.Members[name] = ref
		}
	}
	return &s
}

// restAnswer writes the answer of a rest-json operation and returns its body.
func (m *Model) restAnswer(o *Operation, v map[string]any, header http.Header) (status int, body []byte, err error) {
	status = o.HTTP.Status
	if status == 0 {
		status = http.StatusOK
	}
	if o.Output == nil {
		return status, nil, nil
	}
	shape := m.of(o.Output)
	for name, ref := range shape.Members {
		e, ok := v[name]
		if !ok {
			continue
		}
		switch ref.Location {
		case "header":
			text, err := formatted(m.of(ref), &Ref{TimestampFormat: "rfc822"}, e)
			if err != nil {
				return 0, nil, fmt.Errorf("%s: %w", name, err)
			}
			header.Set(ref.LocationName, strings.NewReplacer("\r", " ", "\n", " ").Replace(text))
		case "statusCode":
			if n, ok := e.(int64); ok {
				status = int(n)
			}
		}
	}
	switch {
	case shape.Payload == "":
		body, err = m.writeJSON(shape, v)
	case m.of(shape.Members[shape.Payload]).Type == "blob":
		body, _ = v[shape.Payload].([]byte)
		return status, body, nil
	default:
		payload, _ := v[shape.Payload].(map[string]any)
		body, err = m.writeJSON(m.of(shape.Members[shape.Payload]), payload)
	}
	return status, body, err
}
