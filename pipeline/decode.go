package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
	"go.yaml.in/yaml/v4"
)

// decoder turns nodes into the language's types. It goes on after an error, so
// that one pass finds them all.
type decoder struct {
	src     *source
	diags   Diagnostics
	dropped int
	visits  int                 // nodes followed, aliases counted each time
	stopped bool                // the budget is used up
	guesses int                 // names compared for suggestions
	tagged  map[*yaml.Node]bool // lists and mappings whose tag was refused

	where string   // `stage "build"`, for messages
	path  []string // of field names below where
	exprs []*expression
	mode  mode

	around Surroundings

	chaosAlone bool // ParseChaos
}

// member is one key of a mapping with its value, aliases followed.
type member struct {
	key, value *yaml.Node
	name       string
}

// follow resolves aliases and counts the node against the budget.
func (d *decoder) follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.visits++
	if d.visits > maxNodes && !d.stopped {
		d.stopped = true
		d.report(n, CodeAlias, "the file expands to more than %d nodes through its aliases", maxNodes)
	}
	if plain, ok := collectionTags[n.Kind]; ok && n.Tag != "" && n.Tag != plain && !d.tagged[n] {
		d.tagged[n] = true // an alias may come by again
		d.report(n, CodeType, "%s of type %s has no meaning here; leave the tag out", describe(n), strconv.Quote(n.Tag))
	}
	return n
}

// collectionTags are the tags of lists and mappings; another would be ignored
// by what reads the file and not by who wrote it.
var collectionTags = map[yaml.Kind]string{yaml.MappingNode: "!!map", yaml.SequenceNode: "!!seq"}

// members lists a mapping's keys in file order. Merge keys (<<) are applied:
// the mapping's own keys win over merged ones. Duplicates are reported.
func (d *decoder) members(n *yaml.Node) []member {
	ms := make([]member, 0, len(n.Content)/2)
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content) && !d.stopped; i += 2 {
		key := d.follow(n.Content[i])
		switch {
		case key.Kind != yaml.ScalarNode:
			d.report(key, CodeType, "a key must be a plain name")
			continue
		case key.Tag == "!!merge":
			merges = append(merges, n.Content[i+1])
			continue
		}
		if first, ok := seen[key.Value]; ok {
			d.reportWith(key, Diagnostic{Code: CodeDuplicateKey, Help: "keep one of the two, or give one another name",
				Message: fmt.Sprintf("%q is set twice; the first is on line %d", key.Value, first.Line)})
			continue
		}
		seen[key.Value] = key
		ms = append(ms, member{key: key, value: d.follow(n.Content[i+1]), name: key.Value})
	}
	for _, m := range merges {
		ms = d.merge(ms, seen, m, 0)
	}
	return ms
}

func (d *decoder) merge(ms []member, seen map[string]*yaml.Node, n *yaml.Node, depth int) []member {
	n = d.follow(n)
	if depth > 10 || d.stopped {
		return ms
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			ms = d.merge(ms, seen, item, depth+1)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content) && !d.stopped; i += 2 {
			key := d.follow(n.Content[i])
			if key.Tag == "!!merge" {
				ms = d.merge(ms, seen, n.Content[i+1], depth+1)
			} else if _, ok := seen[key.Value]; !ok && key.Kind == yaml.ScalarNode {
				seen[key.Value] = key
				ms = append(ms, member{key: key, value: d.follow(n.Content[i+1]), name: key.Value})
			}
		}
	default:
		d.report(n, CodeType, "<< merges a mapping or a list of mappings, not %s", describe(n))
	}
	return ms
}

// describe names what a node is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!str":
		v := firstLine(n.Value)
		if r := []rune(v); len(r) > 40 {
			v = string(r[:40]) + "…"
		}
		return fmt.Sprintf("the text %q", v)
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return n.Value
	}
	return "a value of type " + n.Tag
}

// subject names the place being decoded: `deploy.health of stage "web"`.
func (d *decoder) subject() string {
	switch {
	case len(d.path) == 0:
		return d.where
	case d.where == "":
		return strings.Join(d.path, ".")
	}
	return strings.Join(d.path, ".") + " of " + d.where
}

// maxGuesses bounds the comparisons made for suggestions over one file.
const maxGuesses = 100_000

// nearest is Nearest for as long as the file has not used up its
// comparisons: a suggestion is a kindness, not worth seconds.
func (d *decoder) nearest(name string, candidates []string) string {
	if d.guesses += len(candidates); d.guesses > maxGuesses {
		return ""
	}
	return Nearest(name, candidates)
}

// Nearest returns the candidate that was probably meant, or "".
func Nearest(name string, candidates []string) string {
	best, score := "", 0.0
	if len(name) > 200 {
		return ""
	}
	lower := strings.ToLower(name)
	for _, c := range candidates {
		s := levenshtein.Match(lower, strings.ToLower(c), nil)
		if transposed(lower, strings.ToLower(c)) {
			s = 0.95
		}
		if s > score {
			best, score = c, s
		}
	}
	if score >= 0.6 || len(name) <= 4 && score >= 0.5 {
		return best
	}
	return ""
}

// transposed tells whether a and b differ by one swap of neighbours, the
// commonest slip, which levenshtein counts as two edits.
func transposed(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i+1 < len(a); i++ {
		if a[i] != b[i] {
			return a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		}
	}
	return false
}

// object decodes a mapping into dst, a struct, and returns its canonical JSON.
func (d *decoder) object(n *yaml.Node, s *shape, dst reflect.Value) json.RawMessage {
	switch {
	case n.Kind == yaml.ScalarNode && isNull(n):
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	case s.union && n.Kind == yaml.ScalarNode:
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{n,
			{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}}}
	case n.Kind != yaml.MappingNode:
		d.reportWith(n, Diagnostic{Code: CodeType, Help: mappingFor(n, s.typ), Message: fmt.Sprintf("%s must be a mapping, not %s", d.subject(), describe(n))})
		return nil
	}
	ms := d.members(n)
	parts := make(map[string]json.RawMessage, len(ms))
	var misspelt []string
	for i, m := range ms {
		f, ok := s.byName[m.name]
		if !ok {
			misspelt = append(misspelt, d.unknownField(ms, i, s.names(), s.within(m.name)))
			continue
		}
		if raw := d.member(m, f, dst.Field(f.index)); raw != nil {
			parts[f.name] = raw
		}
	}
	d.required(n, s, ms, misspelt)
	d.groups(n, s, ms)
	return joinObject(s, parts)
}

func (d *decoder) member(m member, f *field, dst reflect.Value) json.RawMessage {
	d.lostToComment(m)
	if isNull(m.value) && !isStructPointer(f.typ) && f.typ.Kind() != reflect.Struct {
		return nil
	}
	d.path = append(d.path, f.name)
	raw := d.value(m.value, f, f.typ, dst)
	d.path = d.path[:len(d.path)-1]
	return raw
}

func isStructPointer(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

// unknownField reports member i of a mapping, which has no field of that name, and
// returns the field that was probably meant, or "". within is the field whose mapping
// has one of that name.
func (d *decoder) unknownField(ms []member, i int, names []string, within string) string {
	key := ms[i].key
	suggestion, help := "", misindented(ms, i)
	if help == "" {
		suggestion, help = d.meant(key.Value, names, within)
	}
	d.reportWith(key, Diagnostic{Code: CodeUnknownField, Suggestion: suggestion, Help: help,
		Message: fmt.Sprintf("%s has no field %q", d.subject(), key.Value)})
	return suggestion
}

// required reports the fields that are missing. One that was misspelt is not: that was
// reported.
func (d *decoder) required(n *yaml.Node, s *shape, ms []member, misspelt []string) {
	for _, f := range s.fields {
		if !f.required || slices.Contains(misspelt, f.name) {
			continue
		}
		i := slices.IndexFunc(ms, func(m member) bool { return m.name == f.name })
		if i < 0 || isNull(ms[i].value) && f.typ.Kind() != reflect.Struct {
			at := n
			if i >= 0 {
				at = ms[i].key
			}
			d.report(at, CodeRequired, "%s needs %q", d.subject(), f.name)
		}
	}
}

// joinObject writes fields in the order of their type, which makes the JSON canonical.
func joinObject(s *shape, parts map[string]json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, f := range s.fields {
		if raw, ok := parts[f.name]; ok {
			if b.Len() > 1 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%q:", f.name)
			b.Write(raw)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}
