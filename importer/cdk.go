package importer

import (
	"encoding/json"
	"path"
	"sort"
	"strings"

	"showrunner/pipeline"
	"showrunner/problem"
)

// CDK reads a CloudFormation template, JSON or YAML, such as `cdk synth`
// writes. It returns invalid for what is no template, or holds no pipeline.
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
	doc := &pipeline.Document{Application: applicationName(opts.Application, t.stackName(ids[0]))}
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
		p.Triggers = append(p.Triggers, t.rules(id, c)...)
		p.Description = firstLine(scalar(top.get("Description").raw))
		doc.Pipelines = append(doc.Pipelines, p)
	}
	t.readOutputs(top.get("Outputs"))
	describeSites(doc, in.outputs)
	t.report(top)
	return finish(in, doc, "cdk")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
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
		used: map[string]bool{}, sites: map[string]string{}, touched: map[string]bool{}, origins: map[string]string{},
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
				// Stages of the CDK come before the stack: Prod/Stack/Pipeline/Resource.
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

// checkParameters tells of values for parameters that do not exist.
func (t *template) checkParameters() {
	for name := range t.in.opts.Parameters {
		if _, ok := t.parameters.vals[name]; !ok && !strings.HasPrefix(name, "AWS::") && !t.imports(name) {
			t.in.note(Warning, "/Parameters", "--parameter "+name, "the template has no parameter of that name")
		}
	}
}

// imports says whether the name may be meant for a Fn::ImportValue.
func (t *template) imports(name string) bool {
	return strings.Contains(encode(t.resources), "Fn::ImportValue") && name != ""
}

// resource is the place of a resource, marked as used.
func (t *template) resource(id string) cursor {
	t.touched[id] = true
	c := cursor{in: t.in, path: pointer("/Resources", id), raw: t.resources.vals[id]}
	t.in.seen[c.path] = true
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

// named finds the resource of a type that goes by a name.
func (t *template) named(kind, name string) (string, bool) {
	for _, id := range t.ofType(kind) {
		if t.name(id) == name {
			return id, true
		}
	}
	return "", false
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
	t.origins[dist] = "" // while it is worked out: a distribution may stand in front of itself
	site := t.findOrigin(dist)
	t.origins[dist] = site
	return site, site != ""
}

func (t *template) findOrigin(dist string) string {
	r := cursor{in: newInput(t.in.opts), raw: t.resources.vals[dist]}
	r.in.tmpl = t
	for _, o := range r.get("Properties").get("DistributionConfig").get("Origins").items() {
		for _, id := range t.collect(func() { o.get("DomainName").text() }) {
			b, _ := t.resources.vals[id].(*object)
			if b != nil && scalar(b.vals["Type"]) == "AWS::S3::Bucket" {
				return siteName(t.name(id))
			}
		}
	}
	return ""
}

// hooks are the webhooks that aim at a pipeline.
func (t *template) hooks(id string) []hook {
	var out []hook
	for _, w := range t.ofType("AWS::CodePipeline::Webhook") {
		props := cursor{in: t.in, path: pointer("/Resources", w) + "/Properties"}
		if r, ok := t.resources.vals[w].(*object); ok {
			props.raw = r.vals["Properties"]
		}
		if props.get("TargetPipeline").static() == t.name(id) {
			out = append(out, hook{cursor: t.resource(w), action: props.get("TargetAction").static()})
			t.in.seen[props.path] = true
		}
	}
	return out
}

// rules are the triggers that EventBridge rules stand for.
func (t *template) rules(id string, c *conversion) []pipeline.Trigger {
	var out []pipeline.Trigger
	for _, r := range t.ofType("AWS::Events::Rule") {
		p := cursor{in: t.in, path: pointer("/Resources", r) + "/Properties"}
		if o, ok := t.resources.vals[r].(*object); ok {
			p.raw = o.vals["Properties"]
		}
		aims := false
		for _, target := range p.get("Targets").items() {
			arn := ""
			for _, used := range t.collect(func() { arn = target.get("Arn").text() }) {
				aims = aims || used == id
			}
			// An ARN that is written out names its pipeline at the end.
			aims = aims || strings.Contains(arn, ":codepipeline:") && strings.HasSuffix(arn, ":"+t.name(id))
		}
		if !aims {
			continue
		}
		t.resource(r)
		t.in.seen[p.path] = true
		p.get("Targets").ignore()
		if state := p.get("State"); state.static() == "DISABLED" {
			t.in.note(Warning, state.path, "rule "+r, "it is disabled, so it is left out")
			p.ignore()
			continue
		}
		out = append(out, t.rule(p, r, c)...)
	}
	return out
}

func (t *template) rule(p cursor, name string, c *conversion) []pipeline.Trigger {
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
			t.in.note(Error, s.path, "schedule "+text, "cannot be said in five fields: %v", err)
			return nil
		}
		return []pipeline.Trigger{{Schedule: &pipeline.ScheduleTrigger{Cron: cron}}}
	}
	pattern := p.get("EventPattern")
	from := ""
	for _, s := range pattern.get("source").items() {
		from = s.static()
	}
	pattern.ignore()
	if from != "aws.codecommit" { // which the source action's own poll trigger covers
		t.in.note(Warning, pattern.path, "rule "+name+" ("+from+")", "events of AWS start nothing here: call the pipeline's webhook, or run it on a schedule")
	}
	_ = c
	return nil
}

// readOutputs gives the template's outputs their local meaning.
func (t *template) readOutputs(outputs cursor) {
	names, values := outputs.members()
	for i, name := range names {
		o := values[i]
		if cond := o.get("Condition"); cond.ok() && !t.condition(scalar(cond.raw), cond.path) {
			o.ignore()
			continue
		}
		out := Output{Name: name, Description: scalar(o.get("Description").raw), Path: o.path}
		var value string
		used := t.collect(func() { value = o.get("Value").text() })
		out.Value = unmark(value)
		for _, id := range used {
			r, _ := t.resources.vals[id].(*object)
			if r == nil {
				continue
			}
			switch scalar(r.vals["Type"]) {
			case "AWS::S3::Bucket":
				out.Site = t.sites[id]
			case "AWS::CloudFront::Distribution":
				if site, ok := t.origin(id); ok {
					out.Site = site
				}
			}
		}
		if out.Site != "" && isAddress(out.Value) {
			out.Value = "http://" + siteHost(out.Site) + "/" + pathOf(out.Value)
		}
		o.get("Export").ignore()
		if export := o.get("Export"); export.ok() {
			t.in.note(Info, export.path, "export", "other stacks read it in AWS; here the value is printed")
		}
		t.outputs(out)
	}
}

// describeSites writes the outputs that are a site's address beside the stage
// that deploys it, where the address is shown after a run.
func describeSites(doc *pipeline.Document, outputs []Output) {
	for _, p := range doc.Pipelines {
		for i := range p.Stages {
			var d pipeline.DeploySite
			if p.Stages[i].Kind != d.Kind() || json.Unmarshal(p.Stages[i].With, &d) != nil {
				continue
			}
			var names []string
			for _, o := range outputs {
				if o.Site == d.Site {
					names = append(names, o.Name+" = "+o.Value)
				}
			}
			p.Stages[i].Description = strings.Join(names, ", ")
		}
	}
}

func (t *template) outputs(o Output) { t.in.outputs = append(t.in.outputs, o) }

// isAddress says whether a value is where people find something.
func isAddress(v string) bool {
	return strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://") || strings.Contains(v, ".localhost:")
}

// pathOf is what follows the host of an address, without its leading slash.
func pathOf(v string) string {
	v = strings.TrimPrefix(strings.TrimPrefix(v, "https://"), "http://")
	host, path, _ := strings.Cut(v, "/")
	if strings.HasPrefix(host, "s3.") || strings.HasPrefix(host, "s3-") { // there the first part of the path is the bucket
		_, path, _ = strings.Cut(path, "/")
	}
	return path
}

// report lists what nothing used.
func (t *template) report(top cursor) {
	for _, id := range t.resources.keys {
		r := cursor{in: t.in, path: pointer("/Resources", id), raw: t.resources.vals[id]}
		kind := scalar(r.get("Type").raw)
		if kind == "" {
			t.in.note(Error, r.path, "resource "+id, "it has no Type")
			continue
		}
		if !t.exists(id) {
			t.in.note(Info, r.path, kind, "its condition does not hold, so the stack does not have it")
			continue
		}
		if !t.touched[id] {
			why, severity := unreadResource(kind)
			t.in.note(severity, r.path, kind, "%s", why)
			continue
		}
		for _, key := range []string{"Metadata", "DependsOn", "Condition"} {
			r.get(key).ignore() // they say where a resource comes from and in which order it is made
		}
		if p := r.get("DeletionPolicy"); p.ok() && scalar(p.raw) == "Retain" {
			t.in.note(Info, p.path, "DeletionPolicy Retain", "sites and their deployments stay until they are deleted by name")
		}
		r.get("UpdateReplacePolicy").ignore()
		r.unread(func(path, key string) (string, Severity) {
			switch kind {
			case "AWS::S3::Bucket":
				return unreadBucket(key)
			case "AWS::CloudFront::Distribution":
				return "the edge serves the site; this setting of the distribution has no equivalent", Warning
			case "AWS::CodeStarConnections::Connection", "AWS::CodeConnections::Connection":
				return "a connection is a login of AWS: the git stage uses a token instead", Info
			}
			return unreadPipeline(path, key)
		})
	}
	t.reportSections(top)
}

func unreadBucket(key string) (string, Severity) {
	switch key {
	case "RoutingRules", "RedirectAllRequestsTo":
		return "a site redirects nothing: put the redirect into the page, or into what stands before the edge", Error
	case "PublicAccessBlockConfiguration", "OwnershipControls", "AccessControl":
		return "a site is read through the edge, which asks for no access list", Info
	case "VersioningConfiguration", "LifecycleConfiguration":
		return "earlier deployments are kept by `keep:`, and `showrunner rollback` returns to them", Info
	case "BucketEncryption":
		return "objects are not encrypted: encrypt the disk of the data folder", Info
	case "CorsConfiguration", "NotificationConfiguration", "ReplicationConfiguration", "LoggingConfiguration":
		return "a site has no such setting", Warning
	case "Tags":
		return "sites have no tags", Info
	}
	return "a site has no such setting", Warning
}

func (t *template) reportSections(top cursor) {
	for _, name := range t.parameters.keys {
		if name == "BootstrapVersion" {
			t.in.note(Info, pointer("/Parameters", name), "parameter "+name, "it names the version of the CDK's bootstrap stack, which is not needed here")
		}
	}
	top.get("AWSTemplateFormatVersion").ignore()
	for _, key := range []string{"Resources", "Parameters", "Mappings", "Conditions", "Outputs", "Description"} {
		top.get(key).ignore()
	}
	if m := top.get("Metadata"); m.ok() {
		m.ignore()
		t.in.note(Info, m.path, "Metadata", "it is for the tools that show the template")
	}
	if r := top.get("Rules"); r.ok() {
		keys, values := r.members()
		for i, k := range keys {
			values[i].ignore()
			t.in.note(Info, values[i].path, "rule "+k, "it checks the parameters of a deployment to AWS")
		}
	}
	if x := top.get("Transform"); x.ok() {
		x.ignore()
		t.in.note(Error, x.path, "Transform "+scalar(x.raw), "macros run in AWS: give the template as AWS has processed it (`aws cloudformation get-template --template-stage Processed`)")
	}
	top.unread(unreadPipeline)
}
