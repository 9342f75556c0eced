package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// answerXML writes the answers of the protocols query and ec2.
type answerXML struct {
	model *Model
	b     bytes.Buffer
	err   error
}

// queryAnswer is the body of an answer, with the request's identifier.
func (m *Model) queryAnswer(o *Operation, v map[string]any, id string) ([]byte, error) {
	w := &answerXML{model: m}
	name := o.Name + "Response"
	w.b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	space := m.Metadata.XMLNamespace
	if m.Metadata.Protocol == "ec2" {
		fmt.Fprintf(&w.b, `<%s xmlns="%s/">`, name, space)
		w.element("requestId", id)
		if o.Output != nil {
			w.members(m.of(o.Output), v)
		} else {
			w.element("return", "true")
		}
		w.close(name)
		return w.b.Bytes(), w.err
	}
	fmt.Fprintf(&w.b, `<%s xmlns="%s">`, name, space)
	if o.Output != nil {
		wrapper := o.Output.ResultWrapper
		if wrapper == "" {
			wrapper = o.Name + "Result"
		}
		w.open(wrapper)
		w.members(m.of(o.Output), v)
		w.close(wrapper)
	}
	w.open("ResponseMetadata")
	w.element("RequestId", id)
	w.close("ResponseMetadata")
	w.close(name)
	return w.b.Bytes(), w.err
}

func (w *answerXML) open(name string)  { w.b.WriteString("<" + name + ">") }
func (w *answerXML) close(name string) { w.b.WriteString("</" + name + ">") }

func (w *answerXML) element(name, text string) {
	w.open(name)
	var escaped bytes.Buffer
	if err := xml.EscapeText(&escaped, []byte(text)); err != nil {
		w.err = err
	}
	_, _ = quotes.WriteString(&w.b, escaped.String()) // a buffer takes everything
	w.close(name)
}

// quotes leaves quotation marks as they are, as AWS does: people read messages raw.
var quotes = strings.NewReplacer("&#39;", "'", "&#34;", `"`)

func (w *answerXML) members(shape *Shape, v map[string]any) {
	for _, name := range shape.order {
		e, ok := v[name]
		if !ok {
			continue
		}
		ref := shape.Members[name]
		if ref.LocationName != "" {
			name = ref.LocationName
		}
		w.value(ref, name, e)
	}
}

func (w *answerXML) value(ref *Ref, name string, v any) {
	shape := w.model.of(ref)
	switch x := v.(type) {
	case map[string]any:
		if shape.Type == "map" {
			w.mapping(shape, ref, name, x)
			return
		}
		w.open(name)
		w.members(shape, x)
		w.close(name)
	case []any:
		item := shape.Member.LocationName
		if shape.Flattened || ref.Flattened {
			if item == "" {
				item = name
			}
			for _, e := range x {
				w.value(shape.Member, item, e)
			}
			return
		}
		if item == "" {
			item = "member"
		}
		w.open(name)
		for _, e := range x {
			w.value(shape.Member, item, e)
		}
		w.close(name)
	default:
		text, err := formatted(shape, ref, v)
		if err != nil {
			w.err = fmt.Errorf("%s: %w", name, err)
			return
		}
		w.element(name, text)
	}
}

func (w *answerXML) mapping(shape *Shape, ref *Ref, name string, v map[string]any) {
	key, value := "key", "value"
	if shape.Key.LocationName != "" {
		key = shape.Key.LocationName
	}
	if shape.Value.LocationName != "" {
		value = shape.Value.LocationName
	}
	flat := shape.Flattened || ref.Flattened
	entry := "entry"
	if flat {
		entry = name
	} else {
		w.open(name)
	}
	for _, k := range slices.Sorted(maps.Keys(v)) {
		w.open(entry)
		w.element(key, k)
		w.value(shape.Value, value, v[k])
		w.close(entry)
	}
	if !flat {
		w.close(name)
	}
}
