package pipeline

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// origin remembers where a pipeline and its stages were written, for the checks
// that come after decoding.
type origin struct {
	pipeline Pipeline
	key      *yaml.Node
	node     *yaml.Node
	stages   []*stageOrigin
	triggers []*triggerOrigin
	params   map[string]*yaml.Node
	index    map[string]int // of the parameters
}

type stageOrigin struct {
	stage  *Stage
	config reflect.Value // addressable, of the kind's configuration type; invalid without a kind
	kind   Kind
	key    *yaml.Node
	node   *yaml.Node
	with   *yaml.Node
	exprs  []*expression
	// misspelt: it has a field that was probably meant to be needs.
	misspelt bool
}

type triggerOrigin struct {
	trigger *Trigger
	node    *yaml.Node
	exprs   []*expression
}

func (d *decoder) document(root *yaml.Node) *Document {
	root = d.follow(root)
	if root.Kind != yaml.MappingNode {
		d.reportWith(root, Diagnostic{Code: CodeType, Help: "start with `application: NAME` and `pipelines:`",
			Message: fmt.Sprintf("a pipeline file is a mapping, not %s", describe(root))})
		return nil
	}
	doc := &Document{}
	var origins []*origin
	ms := d.members(root)
	d.where = "the file"
	if d.chaosAlone && d.isBlock(ms) {
		d.chaos(root, doc)
		return doc
	}
	var misspelt []string
	for i, m := range ms {
		switch {
		case m.name == "application":
			d.where, d.path = "", []string{"application"}
			if !isNull(m.value) && d.text(m.value, &field{check: "application", static: true}, reflect.ValueOf(&doc.Application).Elem()) != nil {
				d.path = nil
			}
			d.path = nil
		case m.name == "chaos":
			d.chaos(m.value, doc)
		case m.name == "pipelines":
			origins = d.pipelines(m.value)
		case strings.HasPrefix(m.name, "x-"): // a place for anchors
		default:
			d.where = "the file"
			misspelt = append(misspelt, d.unknownField(ms, i, []string{"application", "chaos", "pipelines"}, ""))
		}
	}
	if d.where, d.path = "the file", nil; !d.chaosAlone {
		d.required(root, shapeOf(reflect.TypeFor[Document]()), ms, misspelt)
	}
	d.check(doc, origins)
	for _, o := range origins {
		doc.Pipelines = append(doc.Pipelines, o.pipeline)
	}
	return doc
}

// named lists the members of a mapping of names to things.
func (d *decoder) named(n *yaml.Node, what string) []member {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		help := ""
		if n.Kind == yaml.SequenceNode {
			help = "begin each with its name and a colon, without a dash"
		}
		d.reportWith(n, Diagnostic{Code: CodeType, Help: help, Message: fmt.Sprintf("%s must be a mapping of names to %s, not %s", d.subject(), what, describe(n))})
		return nil
	}
	return d.members(n)
}

func (d *decoder) pipelines(n *yaml.Node) []*origin {
	d.where, d.path = "", []string{"pipelines"}
	ms := d.named(n, "pipelines")
	d.path = nil
	if len(ms) == 0 && (n.Kind == yaml.MappingNode) {
		d.report(n, CodeRequired, "the file has no pipeline")
	}
	var out []*origin
	for _, m := range ms {
		if d.stopped {
			break
		}
		d.checkName(m.key, "pipeline", namePattern)
		out = append(out, d.pipeline(m))
	}
	return out
}

func (d *decoder) pipeline(m member) *origin {
	o := &origin{key: m.key, node: m.value, params: map[string]*yaml.Node{}, index: map[string]int{}}
	p := &o.pipeline
	p.Name = m.name
	where := fmt.Sprintf("pipeline %q", m.name)
	d.where, d.path = where, nil
	if m.value.Kind != yaml.MappingNode {
		d.report(m.key, CodeType, "%s must be a mapping with stages, not %s", where, describe(m.value))
		return o
	}
	s := shapeOf(reflect.TypeFor[Pipeline]())
	dst := reflect.ValueOf(p).Elem()
	ms := d.members(m.value)
	for i, f := range ms {
		d.where, d.path = where, nil
		switch f.name {
		case "description", "concurrency":
			d.member(f, s.byName[f.name], dst.Field(s.byName[f.name].index))
		case "notify":
			d.notify(f, o)
		case "triggers":
			d.triggers(f.value, o)
		case "parameters":
			d.parameters(f.value, o)
		case "stages":
			d.stages(f.value, o)
		default:
			d.unknownField(ms, i, []string{"description", "triggers", "concurrency", "notify", "parameters", "stages"}, "")
		}
	}
	d.where, d.path = where, nil
	if p.Concurrency == "" {
		p.Concurrency = Queue
	}
	if len(p.Stages) == 0 && !d.refused(m.value, ms, "stages") {
		d.report(m.key, CodeRequired, "%s needs at least one stage in \"stages\"", where)
	}
	return o
}

// refused tells whether a member is there but of a type that was reported.
func (d *decoder) refused(_ *yaml.Node, ms []member, name string) bool {
	return slices.ContainsFunc(ms, func(m member) bool {
		return m.name == name && m.value.Kind != yaml.MappingNode && !isNull(m.value)
	})
}

func (d *decoder) triggers(n *yaml.Node, o *origin) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.reportWith(n, Diagnostic{Code: CodeType, Help: listFor(n, &field{}, reflect.TypeFor[[]Trigger]()), Message: fmt.Sprintf("triggers of %s must be a list, not %s", d.where, describe(n))})
		return
	}
	where := d.where
	if len(n.Content) > maxItems {
		d.report(n, CodeTooMany, "%s has %d triggers; at most %d are allowed", d.where, len(n.Content), maxItems)
		return
	}
	o.pipeline.Triggers = make([]Trigger, len(n.Content))
	for i, item := range n.Content {
		item = d.follow(item)
		d.where, d.path = fmt.Sprintf("trigger %d of %s", i+1, where), nil
		d.exprs = nil
		t := &o.pipeline.Triggers[i]
		if isNull(item) {
			d.report(item, CodeOneOf, "%s must have one of push, poll, schedule, pipeline, webhook", d.where)
			continue
		}
		d.mode = triggerMode
		d.object(item, shapeOf(reflect.TypeFor[Trigger]()), reflect.ValueOf(t).Elem())
		if w := t.Webhook; w != nil && w.When != "" {
			d.condition(find(item, "webhook", "when"))
		}
		d.mode = staticMode
		o.triggers = append(o.triggers, &triggerOrigin{trigger: t, node: item, exprs: d.exprs})
	}
}

func (d *decoder) parameters(n *yaml.Node, o *origin) {
	where := d.where
	d.path = []string{"parameters"}
	ms := d.named(n, "parameters")
	for _, m := range ms {
		d.checkName(m.key, "parameter", parameterPattern)
		p := Parameter{Name: m.name}
		d.where, d.path = fmt.Sprintf("parameter %q of %s", m.name, where), nil
		s := &shape{typ: reflect.TypeFor[Parameter](), byName: map[string]*field{}}
		for _, f := range shapeOf(s.typ).fields {
			if f.name != "name" {
				f.static = true
				s.fields = append(s.fields, f)
			}
		}
		for i := range s.fields {
			s.byName[s.fields[i].name] = &s.fields[i]
		}
		if m.value.Kind == yaml.ScalarNode && !isNull(m.value) { // `version: "1.0"` is a default
			var def string
			if d.text(m.value, &field{static: true}, reflect.ValueOf(&def).Elem()) != nil {
				p.Default = &def
			}
		} else {
			d.object(m.value, s, reflect.ValueOf(&p).Elem())
		}
		o.params[m.name] = m.value
		o.index[m.name] = len(o.pipeline.Parameters)
		o.pipeline.Parameters = append(o.pipeline.Parameters, p)
	}
}

func (d *decoder) stages(n *yaml.Node, o *origin) {
	where := d.where
	d.path = []string{"stages"}
	ms := d.named(n, "stages")
	d.path = nil
	if len(ms) > MaxStages {
		d.report(n, CodeTooMany, "%s has %d stages; at most %d are allowed", where, len(ms), MaxStages)
		ms = ms[:1]
	}
	o.pipeline.Stages = make([]Stage, len(ms))
	for i, m := range ms {
		if d.stopped {
			return
		}
		d.checkName(m.key, "stage", stagePattern)
		o.stages = append(o.stages, d.stage(m, &o.pipeline.Stages[i]))
	}
}

func (d *decoder) stage(m member, st *Stage) *stageOrigin {
	st.Name = m.name
	o := &stageOrigin{stage: st, key: m.key, node: m.value}
	d.where, d.path, d.exprs = fmt.Sprintf("stage %q", m.name), nil, nil
	if m.value.Kind != yaml.MappingNode {
		d.reportWith(m.key, Diagnostic{Code: CodeNoKind, Help: "one of " + strings.Join(KindNames(), ", "),
			Message: fmt.Sprintf("%s must be a mapping with a kind, not %s", d.where, describe(m.value))})
		return o
	}
	s := shapeOf(reflect.TypeFor[Stage]())
	dst := reflect.ValueOf(st).Elem()
	var kinds []member
	unknown := false
	ms := d.members(m.value)
	for i, f := range ms {
		if kind, ok := FindKind(f.name); ok {
			kinds = append(kinds, f)
			if len(kinds) == 1 {
				o.kind = kind
				d.kind(o, f)
			}
			continue
		}
		common, ok := s.byName[f.name]
		if !ok || slices.Contains([]string{"name", "kind", "with"}, f.name) {
			unknown = true
			o.misspelt = d.unknownField(ms, i, stageFields(), "") == "needs" || o.misspelt
			continue
		}
		d.member(f, common, dst.Field(common.index))
		if f.name == "when" && st.When != "" {
			d.condition(f.value)
		}
	}
	d.countKinds(o, kinds, unknown)
	if st.OnFailure == "" {
		st.OnFailure = Halt
	}
	o.exprs = d.exprs
	return o
}

// kind decodes the configuration of a stage's kind.
func (d *decoder) kind(o *stageOrigin, m member) {
	t := reflect.TypeOf(o.kind.Config)
	o.config = reflect.New(t).Elem()
	o.with = m.value
	o.stage.Kind = o.kind.Name
	d.path = []string{o.kind.Name}
	d.mode = stageMode
	o.stage.With = d.object(m.value, shapeOf(t), o.config)
	d.path = nil
	d.mode = staticMode
	if o.stage.With == nil {
		o.stage.With = json.RawMessage("{}")
		o.config = reflect.Value{} // of a wrong type altogether: nothing more to check
	}
}

func (d *decoder) countKinds(o *stageOrigin, kinds []member, unknown bool) {
	switch {
	case len(kinds) == 0 && !unknown:
		d.reportWith(o.key, Diagnostic{Code: CodeNoKind, Help: "one of " + strings.Join(KindNames(), ", "),
			Message: fmt.Sprintf("%s has no kind", d.where)})
	case len(kinds) > 1:
		names := make([]string, len(kinds))
		for i, k := range kinds {
			names[i] = k.name
		}
		d.report(kinds[1].key, CodeTwoKinds, "%s has %d kinds: %s; a stage has exactly one", d.where, len(kinds), strings.Join(names, ", "))
	}
}

// stageFields lists what may stand in a stage.
func stageFields() []string {
	var names []string
	for _, f := range shapeOf(reflect.TypeFor[Stage]()).fields {
		if f.name != "name" && f.name != "kind" && f.name != "with" {
			names = append(names, f.name)
		}
	}
	return append(names, KindNames()...)
}

// find returns the deepest node on a path of keys (or list positions from 0)
// below n that exists, so that a check can point at what it found wrong.
func find(n *yaml.Node, path ...any) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || len(path) == 0 {
		return n
	}
	switch step := path[0].(type) {
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return find(n.Content[i+1], path[1:]...)
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return find(n.Content[step], path[1:]...)
		}
	}
	return n
}
