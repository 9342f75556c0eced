package chaosmonkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"showrunner/pipeline"
)

// kind is what a value of a document is.
type kind int

const (
	null kind = iota
	object
	list
	text
	number
	boolean
)

// node is one value of a JSON or TOML document and its place.
type node struct {
	kind    kind
	at      int // byte offset
	length  int // bytes
	text    string
	members []member
	items   []*node
}

type member struct {
	name  string
	at    int
	value *node
}

// get returns a member of an object; of two with one name the last, as both
// formats' readers do.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].name == name {
			return n.members[i].value
		}
	}
	return nil
}

// describe names the value for messages.
func (n *node) describe() string {
	switch n.kind {
	case object:
		return "an object"
	case list:
		return "a list"
	case text:
		return "the text " + quoted(n.text)
	case number:
		return "the number " + n.text
	case boolean:
		return n.text
	}
	return "null"
}

func quoted(s string) string {
	raw, err := json.Marshal(s)
	if err != nil || len(raw) > 60 {
		return `"` + strings.ToValidUTF8(s[:min(len(s), 40)], "") + `…"`
	}
	return string(raw)
}

// maxDepth bounds the nesting of a document.
const maxDepth = 100

// readJSON reads a whole JSON text.
func readJSON(src []byte) (*node, *pipeline.Diagnostic, int) {
	r := &jsonReader{src: src, dec: json.NewDecoder(bytes.NewReader(src))}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err == nil {
		if _, more := r.dec.Token(); more == nil || !errors.Is(more, io.EOF) {
			err = errors.New("something stands behind the end of the document")
		}
	}
	if err == nil {
		return n, nil, 0
	}
	at := int(r.dec.InputOffset())
	var syntax *json.SyntaxError
	var whole any
	// The offsets of a decoder's errors are not those of the text.
	if exact := json.Unmarshal(src, &whole); errors.As(exact, &syntax) {
		err, at = exact, max(0, int(syntax.Offset)-1)
	}
	message := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || message == "unexpected end of JSON input" {
		at, message = len(src), "the document ends too early"
	}
	return nil, &pipeline.Diagnostic{Code: pipeline.CodeSyntax, Message: "not readable as JSON: " + message}, at
}

type jsonReader struct {
	src []byte
	dec *json.Decoder
}

// next is the offset at which the next token begins.
func (r *jsonReader) next() int {
	at := int(r.dec.InputOffset())
	for at < len(r.src) && bytes.IndexByte([]byte(" \t\r\n,:"), r.src[at]) >= 0 {
		at++
	}
	return at
}

func (r *jsonReader) value(depth int) (*node, error) {
	n := &node{at: r.next()}
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	switch v := token.(type) {
	case json.Delim:
		n.kind, n.length = list, 1
		if v == '{' {
			n.kind = object
		}
		for r.dec.More() {
			m := member{at: r.next()}
			if n.kind == object {
				key, err := r.dec.Token()
				if err != nil {
					return nil, err
				}
				m.name, _ = key.(string) // the decoder has checked it
			}
			if m.value, err = r.value(depth + 1); err != nil {
				return nil, err
			}
			if n.kind == object {
				n.members = append(n.members, m)
			} else {
				n.items = append(n.items, m.value)
			}
		}
		_, err = r.dec.Token()
		return n, err
	case string:
		n.kind, n.text = text, v
	case json.Number:
		n.kind, n.text = number, v.String()
	case bool:
		n.kind, n.text = boolean, "false"
		if v {
			n.text = "true"
		}
	}
	n.length = int(r.dec.InputOffset()) - n.at
	return n, nil
}

// readTOML reads a whole TOML text.
func readTOML(src []byte) (*node, *pipeline.Diagnostic, pipeline.Position) {
	var checked map[string]any
	if err := toml.Unmarshal(src, &checked); err != nil {
		d := &pipeline.Diagnostic{Code: pipeline.CodeSyntax, Message: "not readable as TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
		var where *toml.DecodeError
		if errors.As(err, &where) {
			line, column := where.Position()
			return nil, d, pipeline.Position{Line: line, Column: column}
		}
		return nil, d, pipeline.Position{Line: 1, Column: 1}
	}
	root := &node{kind: object}
	p := &unstable.Parser{}
	p.Reset(src)
	at := root
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table:
			at = descend(root, e.Key(), false)
		case unstable.ArrayTable:
			at = descend(root, e.Key(), true)
		case unstable.KeyValue:
			put(at, e)
		}
	}
	return root, nil, pipeline.Position{}
}

// descend finds or makes the object under a dotted key.
func descend(n *node, keys unstable.Iterator, array bool) *node {
	for keys.Next() {
		k := keys.Node()
		next := n.get(string(k.Data))
		if next == nil {
			next = &node{kind: object, at: int(k.Raw.Offset), length: int(k.Raw.Length)}
			if array && keys.IsLast() {
				next.kind = list
			}
			n.members = append(n.members, member{string(k.Data), int(k.Raw.Offset), next})
		}
		if next.kind == list {
			if array && keys.IsLast() || len(next.items) == 0 {
				next.items = append(next.items, &node{kind: object, at: int(k.Raw.Offset), length: int(k.Raw.Length)})
			}
			next = next.items[len(next.items)-1]
		}
		n = next
	}
	return n
}

// put sets a key of an object to its value.
func put(n *node, e *unstable.Node) {
	keys := e.Key()
	for keys.Next() {
		k := keys.Node()
		if keys.IsLast() {
			n.members = append(n.members, member{string(k.Data), int(k.Raw.Offset), tomlValue(e.Value(), int(k.Raw.Offset))})
			return
		}
		next := n.get(string(k.Data))
		if next == nil {
			next = &node{kind: object, at: int(k.Raw.Offset), length: int(k.Raw.Length)}
			n.members = append(n.members, member{string(k.Data), int(k.Raw.Offset), next})
		}
		n = next
	}
}

// tomlValue converts a value; one without a place of its own has its key's.
func tomlValue(v *unstable.Node, keyAt int) *node {
	n := &node{at: int(v.Raw.Offset), length: int(v.Raw.Length), text: string(v.Data)}
	if v.Raw.Length == 0 {
		n.at, n.length = keyAt, 1
	}
	switch v.Kind {
	case unstable.Array:
		n.kind, n.text = list, ""
		for children := v.Children(); children.Next(); {
			n.items = append(n.items, tomlValue(children.Node(), n.at))
		}
	case unstable.InlineTable:
		n.kind, n.text = object, ""
		for children := v.Children(); children.Next(); {
			put(n, children.Node())
		}
	case unstable.Bool:
		n.kind = boolean
	case unstable.Integer, unstable.Float:
		n.kind, n.text = number, strings.ReplaceAll(n.text, "_", "")
	default:
		n.kind = text
	}
	return n
}
