package importer

import (
	"path"
	"sort"
	"strings"

	"showrunner/pipeline"
	"showrunner/problem"
)

// CDK reads a CloudFormation template, JSON or YAML, such as `cdk synth` writes.
// It returns invalid for a document that is not a template or holds no pipeline.
func CDK(src []byte, opts Options) (Result, error) {
	in := newInput(opts)
	v, err := parse(in.opts.File, src)
	if err != nil {
		return Result{}, err
	}
	top := in.root(v)
	resources, _ := top.get("Resources").raw.(*object)
	if resources == nil {
		return Result{}, problem.New(problem.Invalid, "import", "%s: no template: it has no \"Resources\"", in.opts.File).
			WithHelp("give a template that `cdk synth` wrote (cdk.out/STACK.template.json); for a single pipeline use `showrunner import codepipeline`")
	}
	t := newTemplate(in, top, resources)
	in.tmpl = t
	ids := t.ofType("AWS::CodePipeline::Pipeline")
	if len(ids) == 0 {
		return Result{}, problem.New(problem.Invalid, "import", "%s: the template holds no AWS::CodePipeline::Pipeline", in.opts.File)
	}
	t.checkParameters()
	doc := &pipeline.Document{Application: applicationName(in, pointer("/Resources", ids[0]), t.stackName(ids[0]))}
	projects := projects{}
	given, err := readProjects(in)
	if err != nil {
		return Result{}, err
	}
	for name, p := range given {
		projects[name] = p
	}
	for _, id := range t.ofType("AWS::CodeBuild::Project") {
		projects[t.name(id)] = t.resource(id).get("Properties")
	}
	taken, siblings := map[string]bool{}, map[string]string{}
	for _, id := range ids {
		siblings[t.name(id)] = unique(taken, slug(cdkHash.ReplaceAllString(t.name(id), ""), "pipeline", 63))
	}
	for _, id := range ids {
		c := &conversion{
			in: in, tmpl: t, def: t.resource(id).get("Properties"), projects: projects,
			name: siblings[t.name(id)], siblings: siblings, hooks: t.hooks(id),
		}
		p := c.convert()
		t.rules(id, &p)
		p.Description = strings.TrimSpace(scalar(top.get("Description").raw))
		doc.Pipelines = append(doc.Pipelines, p)
	}
	t.readOutputs(top.get("Outputs"))
	describeSites(doc, in.outputs)
	t.report(top)
	return finish(in, doc, "cdk")
}

func newTemplate(in *input, top cursor, resources *object) *template {
	section := func(name string) *object {
		if o, ok := top.get(name).raw.(*object); ok {
			return o
		}
		return newObject()
	}
	t := &template{
		in: in, parameters: section("Parameters"), mappings: section("Mappings"), conditions: section("Conditions"),
		resources: resources, decided: map[string]bool{}, deciding: map[string]bool{}, names: map[string]string{},
		used: map[string]bool{}, sites: map[string]string{}, touched: map[string]bool{}, origins: map[string]string{}, parametersUsed: map[string]bool{},
	}
	t.stack = "stack"
	return t
}

// stackName is the first element of the path that the CDK writes beside a resource.
func (t *template) stackName(id string) string {
	r, _ := t.resources.vals[id].(*object)
	if r != nil {
		if m, ok := r.vals["Metadata"].(*object); ok {
			if parts := strings.Split(scalar(m.vals["aws:cdk:path"]), "/"); len(parts) > 1 {
				// A Stage construct of the CDK precedes the stack:
				// Prod/Stack/Pipeline/Resource.
				t.stack = parts[0]
				return parts[0]
			}
		}
	}
	// `cdk synth` writes STACK.template.json.
	file := path.Base(strings.ReplaceAll(t.in.opts.File, `\`, "/"))
	if stem, _, ok := strings.Cut(file, ".template."); ok && stem != "" {
		return stem
	}
	return cdkHash.ReplaceAllString(t.name(id), "")
}

// checkParameters notes values that were given for parameters that do not exist.
func (t *template) checkParameters() {
	for name := range t.in.opts.Parameters {
		if _, ok := t.parameters.vals[name]; !ok && !strings.HasPrefix(name, "AWS::") && !t.imports(name) {
			t.in.note(Warning, "/Parameters", "--parameter "+name, "the template has no parameter of that name")
		}
	}
}

// imports says whether the name may be that of a Fn::ImportValue.
func (t *template) imports(name string) bool {
	return strings.Contains(encode(t.resources), "Fn::ImportValue") && name != ""
}

// resource is the place of a resource, marked as used.
func (t *template) resource(id string) cursor {
	t.touched[id] = true
	c := cursor{in: t.in, path: pointer("/Resources", id), raw: t.resources.vals[id]}
	t.in.readPaths[c.path] = true
	return c
}

// exists says whether a resource's condition holds.
func (t *template) exists(id string) bool {
	r, ok := t.resources.vals[id].(*object)
	if !ok {
		return false
	}
	name, has := r.vals["Condition"]
	return !has || t.condition(scalar(name), pointer("/Resources", id)+"/Condition")
}

// ofType lists the resources of a type in the template's order.
func (t *template) ofType(kind string) []string {
	var ids []string
	for _, id := range t.resources.keys {
		if r, ok := t.resources.vals[id].(*object); ok && scalar(r.vals["Type"]) == kind && t.exists(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// named finds the resource of a type by its name. References in the name are
// written as expressions.
func (t *template) named(kind, name string) (string, bool) {
	for _, id := range t.ofType(kind) {
		if unmark(t.name(id)) == name {
			return id, true
		}
	}
	return "", false
}

// collectCompared is collect for values that are only compared and do not reach the file.
func (t *template) collectCompared(do func()) []string {
	was := t.in.comparing
	t.in.comparing = true
	defer func() { t.in.comparing = was }()
	return t.collect(do)
}

// collect lists the resources that do refers to, in a stable order.
func (t *template) collect(do func()) []string {
	before := t.used
	t.used = map[string]bool{}
	do()
	var ids []string
	for id := range t.used {
		ids = append(ids, id)
		before[id] = true
	}
	t.used = before
	sort.Strings(ids)
	return ids
}

// origin is the site behind a CloudFront distribution.
func (t *template) origin(dist string) (string, bool) {
	if site, known := t.origins[dist]; known {
		return site, site != ""
	}
	t.origins[dist] = "" // guards against a distribution that refers to itself
	site := t.findOrigin(dist)
	t.origins[dist] = site
	return site, site != ""
}

func (t *template) findOrigin(dist string) string {
	r := cursor{in: newInput(t.in.opts), raw: t.resources.vals[dist]}
	r.in.tmpl = t
	for _, o := range r.get("Properties").get("DistributionConfig").get("Origins").items() {
		for _, id := range t.collectCompared(func() { o.get("DomainName").text() }) {
			b, _ := t.resources.vals[id].(*object)
			if b != nil && scalar(b.vals["Type"]) == "AWS::S3::Bucket" {
				return siteName(t.name(id))
			}
		}
	}
	return ""
}

// hooks are the webhooks that target a pipeline.
func (t *template) hooks(id string) []hook {
	var out []hook
	for _, w := range t.ofType("AWS::CodePipeline::Webhook") {
		props := cursor{in: t.in, path: pointer("/Resources", w) + "/Properties"}
		if r, ok := t.resources.vals[w].(*object); ok {
			props.raw = r.vals["Properties"]
		}
		if props.get("TargetPipeline").text() == t.name(id) {
			out = append(out, hook{cursor: t.resource(w), action: props.get("TargetAction").static()})
			t.in.readPaths[props.path] = true
		}
	}
	return out
}

// rules adds the triggers for the EventBridge rules that target a pipeline.
func (t *template) rules(id string, q *pipeline.Pipeline) {
	for _, r := range t.ofType("AWS::Events::Rule") {
		p := cursor{in: t.in, path: pointer("/Resources", r) + "/Properties"}
		if o, ok := t.resources.vals[r].(*object); ok {
			p.raw = o.vals["Properties"]
		}
		aims := false
		for _, target := range p.get("Targets").items() {
			arn := ""
			for _, used := range t.collectCompared(func() { arn = target.get("Arn").text() }) {
				aims = aims || used == id
			}
			// An ARN that is written out names its pipeline at the end.
			aims = aims || strings.Contains(arn, ":codepipeline:") && strings.HasSuffix(arn, ":"+t.name(id))
		}
		if !aims {
			continue
		}
		t.resource(r)
		t.in.readPaths[p.path] = true
		p.get("Targets").leave(Info, "targets of rule "+r, "the pipeline that the trigger belongs to")
		if state := p.get("State"); state.static() == "DISABLED" {
			p.leave(Warning, "rule "+r, "it is disabled, so it is left out")
			continue
		}
		for _, trigger := range t.rule(p, r) {
			t.in.carryTrigger(*q, trigger, "rule "+r, p.path)
			q.Triggers = append(q.Triggers, trigger)
		}
	}
}

func (t *template) rule(p cursor, name string) []pipeline.Trigger {
	if s := p.get("ScheduleExpression"); s.ok() {
		text := s.static()
		var cron string
		var err error
		if inner, ok := strings.CutPrefix(text, "rate("); ok {
			cron, err = rate(strings.TrimSuffix(inner, ")"))
		} else {
			cron, err = fiveFields(strings.TrimSuffix(strings.TrimPrefix(text, "cron("), ")"), false)
		}
		if err != nil {
			t.in.note(Error, s.path, "schedule "+text, "cannot be expressed in five cron fields: %v", err)
			return nil
		}
		return []pipeline.Trigger{{Schedule: &pipeline.ScheduleTrigger{Cron: cron}}}
	}
	pattern := p.get("EventPattern")
	from := ""
	for _, s := range pattern.get("source").items() {
		from = s.static()
	}
	if from == "aws.codecommit" {
		pattern.leave(Info, "rule "+name+" ("+from+")", "the trigger of the source action watches the repository")
		return nil
	}
	pattern.leave(Warning, "rule "+name+" ("+from+")", "events of AWS start nothing here: call the pipeline's webhook, or run it on a schedule")
	return nil
}
