package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// check makes the checks that need more than one place of the file. Everything
// was decoded as far as it could be; what was refused there is zero here.
func (d *decoder) check(doc *Document, origins []*origin) {
	file := map[string]*origin{}
	for _, o := range origins {
		file[o.pipeline.Name] = o
	}
	c := &checks{decoder: d, doc: doc, file: file, config: newConfig(&budget{})}
	for _, o := range origins {
		c.pipeline(o)
	}
	c.calls(origins)
}

type checks struct {
	*decoder
	doc    *Document
	file   map[string]*origin
	config *exprConfig

	at    *origin // the pipeline being checked
	graph *graph
	whole bool // the graph has no cycle, so that upstream means something
	names []string
}

func (c *checks) pipeline(o *origin) {
	c.at = o
	c.graph = newGraph(o.pipeline.Stages)
	c.names = c.names[:0]
	for _, s := range o.pipeline.Stages {
		c.names = append(c.names, s.Name)
	}
	c.where, c.path = fmt.Sprintf("pipeline %q", o.pipeline.Name), nil
	c.parameterRules(o)
	c.needs(o)
	for i, t := range o.triggers {
		c.where, c.path = fmt.Sprintf("trigger %d of pipeline %q", i+1, o.pipeline.Name), nil
		c.triggerRules(o, t)
		c.expressions(t.exprs, triggerScope{})
	}
	for i, s := range o.stages {
		c.where, c.path = fmt.Sprintf("stage %q", s.stage.Name), nil
		c.stageRules(s)
		if s.config.IsValid() {
			c.path = []string{s.kind.Name}
			c.kindRules(i, s)
		}
		c.expressions(s.exprs, stageScope{c, i})
	}
}

func (c *checks) parameterRules(o *origin) {
	for _, p := range o.pipeline.Parameters {
		n := o.params[p.Name]
		c.where = fmt.Sprintf("parameter %q", p.Name)
		seen := map[string]bool{}
		for i, option := range p.Options {
			if seen[option] {
				c.report(find(n, "options", i), CodeDuplicateKey, "%s has the option %q twice", c.where, option)
			}
			seen[option] = true
		}
		if p.Default != nil && len(p.Options) > 0 && !seen[*p.Default] {
			at := find(n, "default")
			c.reportWith(at, Diagnostic{Code: CodeValue, Suggestion: c.nearest(*p.Default, p.Options),
				Message: fmt.Sprintf("the default %q of %s is none of its options %s", *p.Default, c.where, strings.Join(p.Options, ", "))})
		}
	}
	c.where = fmt.Sprintf("pipeline %q", o.pipeline.Name)
}

// needs checks that what is needed exists and that nothing waits for itself.
func (c *checks) needs(o *origin) {
	for _, s := range o.stages {
		for i, need := range s.stage.Needs {
			if _, ok := c.graph.index[need]; !ok {
				d := Diagnostic{Code: CodeUnknownStage, Message: fmt.Sprintf("stage %q needs %q, which does not exist", s.stage.Name, need)}
				if name, dashed := strings.CutPrefix(need, "-"); dashed {
					d.Help = "a dash that begins an item has a space after it: - " + name
				} else {
					d.Suggestion = c.nearest(need, c.names)
				}
				c.reportWith(find(s.node, "needs", i), d)
			}
		}
	}
	cycles := c.graph.cycles(20)
	c.whole = len(cycles) == 0
	for _, cycle := range cycles {
		first, last := o.stages[cycle[0]], o.stages[cycle[len(cycle)-1]]
		at := first
		next := cycle[0]
		if len(cycle) > 1 {
			next = cycle[1]
		}
		i := slices.Index(at.stage.Needs, o.stages[next].stage.Name)
		c.report(find(at.node, "needs", i), CodeCycle, "%s", c.circle(o, cycle, last))
	}
}

// circle words a cycle: `stage "a" needs "b", which needs "a" (line 30)`.
func (c *checks) circle(o *origin, cycle []int, last *stageOrigin) string {
	var b strings.Builder
	fmt.Fprintf(&b, "stage %q needs ", o.stages[cycle[0]].stage.Name)
	if len(cycle) == 1 {
		return b.String() + "itself"
	}
	for k, i := range cycle[1:] {
		if k > 0 {
			b.WriteString(", which needs ")
		}
		if k == 6 && len(cycle) > 10 {
			fmt.Fprintf(&b, "… (%d more) … which needs %q", len(cycle)-8, last.stage.Name)
			break
		}
		fmt.Fprintf(&b, "%q", o.stages[i].stage.Name)
	}
	fmt.Fprintf(&b, ", which needs %q (line %d)", o.stages[cycle[0]].stage.Name, last.key.Line)
	return b.String()
}

func (c *checks) stageRules(s *stageOrigin) {
	if r := s.stage.Retry; r != nil && r.MaxBackoff > 0 && r.Backoff > r.MaxBackoff {
		c.report(find(s.node, "retry", "backoff"), CodeValue, "retry of %s: backoff %s is longer than maxBackoff %s", c.where, r.Backoff, r.MaxBackoff)
	}
	for i, w := range s.stage.Windows {
		if w.From != "" && w.From == w.To {
			c.report(find(s.node, "windows", i), CodeValue, "windows of %s: from and to are the same, so it never opens", c.where)
		}
	}
}

func (c *checks) triggerRules(o *origin, t *triggerOrigin) {
	given, key := t.trigger.parameters()
	for _, name := range sortedKeys(given) {
		c.given(o, name, given[name], func() *yaml.Node { return find(t.node, key, "parameters", name) })
	}
	for _, p := range o.pipeline.Parameters {
		if _, ok := given[p.Name]; p.Required && !ok && key != "" {
			c.warn(find(t.node, key), CodeRequired, "%s does not give the required parameter %q, so it can start nothing", c.where, p.Name)
		}
	}
	c.globsThatMatchNothing(t, key)
	switch {
	case t.trigger.Pipeline != nil:
		p := t.trigger.Pipeline
		if p.Pipeline != "" && (p.Application == "" || p.Application == c.doc.Application) {
			c.knownPipeline(find(t.node, "pipeline", "pipeline"), p.Pipeline)
		}
	case t.trigger.Webhook != nil:
		for _, other := range o.triggers {
			if other == t {
				break
			}
			if w := other.trigger.Webhook; w != nil && w.Name == t.trigger.Webhook.Name {
				c.report(find(t.node, "webhook", "name"), CodeDuplicateKey, "pipeline %q has two webhooks named %q", o.pipeline.Name, w.Name)
				break
			}
		}
	case t.trigger.Poll != nil:
		c.plainCredentials(t.trigger.Poll.Credentials, t.node, "poll", "credentials")
		c.repositoryRule(find(t.node, "poll", "url"), t.trigger.Poll.URL)
	}
}

// globsThatMatchNothing warns of the ways to write a branch, a tag or a path that
// no branch, tag or path is ever called.
func (c *checks) globsThatMatchNothing(t *triggerOrigin, key string) {
	lists := map[string][]string{}
	switch {
	case t.trigger.Push != nil:
		lists["branches"], lists["tags"], lists["paths"] = t.trigger.Push.Branches, t.trigger.Push.Tags, t.trigger.Push.Paths
	case t.trigger.Poll != nil:
		lists["branches"], lists["tags"], lists["paths"] = t.trigger.Poll.Branches, t.trigger.Poll.Tags, t.trigger.Poll.Paths
	}
	for _, field := range []string{"branches", "tags", "paths"} {
		for i, written := range lists[field] {
			mark, glob := "", written
			if rest, excludes := strings.CutPrefix(written, "!"); excludes {
				mark, glob = "!", rest
			}
			better := glob
			if field == "paths" {
				better = strings.TrimPrefix(strings.TrimPrefix(better, "."), "/")
				if strings.HasPrefix(glob, ".") && !strings.HasPrefix(glob, "./") {
					better = glob // a file whose name begins with a dot
				}
				if strings.HasSuffix(better, "/") {
					better += "**"
				}
			} else {
				better = strings.TrimPrefix(strings.TrimPrefix(better, "refs/heads/"), "refs/tags/")
			}
			if better == glob {
				continue
			}
			at := find(t.node, key, field)
			if n := find(t.node, key, field, i); n != nil {
				at = n // a list of one may be a single value
			}
			c.warn(at, CodeValue, "%q in %s of %s matches nothing: write %q", written, field, c.where, mark+better)
		}
	}
}

// parameters returns the parameters a trigger gives, and the key of its kind.
func (t *Trigger) parameters() (map[string]string, string) {
	switch {
	case t.Push != nil:
		return t.Push.Parameters, "push"
	case t.Poll != nil:
		return t.Poll.Parameters, "poll"
	case t.Schedule != nil:
		return t.Schedule.Parameters, "schedule"
	case t.Pipeline != nil:
		return t.Pipeline.Parameters, "pipeline"
	case t.Webhook != nil:
		return t.Webhook.Parameters, "webhook"
	}
	return nil, ""
}

// given checks a parameter that is given to pipeline o: that there is one, and
// that a written value is one of its options.
func (c *checks) given(o *origin, name, value string, at func() *yaml.Node) {
	i, ok := o.index[name]
	if !ok {
		c.reportWith(at(), Diagnostic{Code: CodeUnknownParameter, Suggestion: c.nearest(name, parameterNames(o.pipeline)),
			Message: fmt.Sprintf("%s gives the parameter %q, which pipeline %q does not have", c.where, name, o.pipeline.Name)})
		return
	}
	p := o.pipeline.Parameters[i]
	if len(p.Options) > 0 && !hasExpression(value) && !slices.Contains(p.Options, value) {
		c.reportWith(at(), Diagnostic{Code: CodeValue, Suggestion: c.nearest(value, p.Options),
			Message: fmt.Sprintf("%q is none of the options of parameter %q: %s", value, p.Name, strings.Join(p.Options, ", "))})
	}
}

func (c *checks) knownPipeline(at *yaml.Node, name string) *origin {
	if o, ok := c.file[name]; ok || hasExpression(name) {
		return o
	}
	c.reportWith(at, Diagnostic{Code: CodeUnknownPipeline, Suggestion: c.nearest(name, sortedKeys(c.file)),
		Message: fmt.Sprintf("%s names the pipeline %q, which this file does not have", c.where, name)})
	return nil
}

// calls refuses pipelines that start each other without end, and warns where a
// condition may end it.
func (c *checks) calls(origins []*origin) {
	sure, maybe := make([]Stage, len(origins)), make([]Stage, len(origins))
	for i, o := range origins {
		sure[i].Name, maybe[i].Name = o.pipeline.Name, o.pipeline.Name
	}
	index := newGraph(sure).index
	for i, o := range origins {
		for _, st := range o.stages {
			call, ok := configOf[Call](st)
			if !ok || call.Application != "" && call.Application != c.doc.Application {
				continue
			}
			maybe[i].Needs = append(maybe[i].Needs, call.Pipeline)
			if st.stage.When == "" {
				sure[i].Needs = append(sure[i].Needs, call.Pipeline)
			}
		}
		for _, t := range o.triggers {
			p := t.trigger.Pipeline
			if p == nil || p.Application != "" && p.Application != c.doc.Application {
				continue
			}
			if j, ok := index[p.Pipeline]; ok { // the end of that pipeline starts this pipeline
				maybe[j].Needs = append(maybe[j].Needs, o.pipeline.Name)
			}
		}
	}
	refused := map[string]bool{}
	round := func(g *graph, cycle []int) string {
		return fmt.Sprintf("pipeline %q starts itself: %s", g.stages[cycle[0]].Name, strings.Join(append(g.names(cycle), g.stages[cycle[0]].Name), " → "))
	}
	g := newGraph(sure)
	for _, cycle := range g.cycles(20) {
		refused[round(g, cycle)] = true
		c.reportWith(origins[cycle[0]].key, Diagnostic{Code: CodeCycle, Message: round(g, cycle), Help: "every run would start another without end; give one of the stages a `when`, or leave it out"})
	}
	g = newGraph(maybe)
	for _, cycle := range g.cycles(20) {
		if text := round(g, cycle); !refused[text] {
			c.warn(origins[cycle[0]].key, CodeCycle, "%s", text)
		}
	}
}

// configOf returns a stage's configuration when it is of type T.
func configOf[T Config](s *stageOrigin) (T, bool) {
	var zero T
	if !s.config.IsValid() || s.config.Type() != reflect.TypeFor[T]() {
		return zero, false
	}
	return s.config.Interface().(T), true
}

func parameterNames(p Pipeline) []string {
	names := make([]string, len(p.Parameters))
	for i, v := range p.Parameters {
		names[i] = v.Name
	}
	return names
}
