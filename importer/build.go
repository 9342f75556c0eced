package importer

import (
	"maps"
	"regexp"
	"strings"
	"time"

	"showrunner/pipeline"
)

// inputs sets the artifacts that a build takes its sources from.
func (c *conversion) inputs(a *action, b *pipeline.Build) bool {
	primary := a.config.get("PrimarySource").static()
	if primary == "" && len(a.inputs) > 0 {
		primary = a.inputs[0].get("Name").static()
	}
	for _, i := range a.inputs {
		name := i.get("Name").static()
		ref, made := c.artifacts[name]
		if ref == "" {
			why := "nothing makes it"
			if made {
				why = "the stage that makes it was left out"
			}
			c.in.note(Error, i.path, "input artifact "+name, "%s", why)
			if name == primary {
				return false
			}
			continue
		}
		if name == primary {
			b.Source = ref
			continue
		}
		if b.Sources == nil {
			b.Sources = map[string]string{}
		}
		b.Sources[name] = ref
	}
	return true
}

// recordOutputs records the names of a build's outputs here: a single output is the
// stage's own artifact, several are its secondary artifacts.
func (c *conversion) recordOutputs(a *action) {
	for _, o := range a.outputs {
		name := o.get("Name").static()
		c.artifacts[name] = a.id
		if len(a.outputs) > 1 {
			c.artifacts[name] = a.id + "." + name
		}
	}
}

func (c *conversion) codeBuild(a *action) bool {
	if !c.configured(a, "ProjectName") {
		return false
	}
	b := pipeline.Build{}
	if !c.inputs(a, &b) {
		c.in.note(Error, a.path, a.category+" action "+a.name, "it has no source left; the stage is left out")
		return false
	}
	if f := a.config.get("BatchEnabled"); f.ok() && f.boolean() {
		c.in.note(Error, f.path, "BatchEnabled", "batch builds are not run: the buildspec runs once; give each build of the batch a stage")
	}
	a.config.get("CombineArtifacts").leave(Info, "CombineArtifacts", "there is no batch whose artifacts could be combined")
	projectName := a.config.get("ProjectName").text()
	b.Project = c.in.ownName(cdkHash.ReplaceAllString(projectName, ""), "project", 100)
	if c.in.opts.Here {
		b.Project = projectName
	}
	b.Spec = "buildspec.yml"
	if p, ok := c.projects.find(projectName); ok {
		c.in.projectsUsed[projectName] = true
		if !c.project(a, p, &b) {
			c.in.note(Error, a.path, a.category+" action "+a.name, "its buildspec cannot be run here; the stage is left out")
			return false
		}
	} else {
		projectName = unmark(projectName)
		c.in.note(Warning, a.config.get("ProjectName").path, "project "+projectName, "its settings are not in the document: taken as buildspec.yml in the source, on this machine; give them with --project '%s=FILE' (what `aws codebuild batch-get-projects` prints)", projectName)
	}
	projectEnv := maps.Clone(b.Env)
	for _, v := range jsonList(a.config.get("EnvironmentVariables")) {
		if name := v.get("Name").static(); projectEnv[name] != "" {
			c.in.note(Info, c.projectVariables[name], "variable "+name, "the action gives it another value")
		}
		c.environmentVariable(v, &b.Env, true)
	}
	c.recordOutputs(a)
	c.set(a, b)
	return true
}

// environmentVariable carries one {name, value, type} over. Variables of other
// actions are replaced only in the action's own configuration.
func (c *conversion) environmentVariable(v cursor, env *map[string]string, ownConfiguration bool) {
	name := v.get("Name").static()
	if name == "" {
		return
	}
	if *env == nil {
		*env = map[string]string{}
	}
	value := v.get("Value")
	switch kind := v.get("Type").static(); kind {
	case "PLAINTEXT", "":
		(*env)[name] = c.plainVariable(value, ownConfiguration)
	case "SECRETS_MANAGER":
		(*env)[name] = c.in.complete(c.in.secretsManager(unmark(value.text()), value.path))
	case "PARAMETER_STORE":
		id := unmark(value.text())
		(*env)[name] = c.in.complete(c.in.secret(id, "SSM parameter "+id, value.path))
	default:
		c.in.note(Warning, v.get("Type").path, "type "+kind+" of variable "+name, "there is no such type: its value is taken as it stands")
		(*env)[name] = c.plainVariable(value, ownConfiguration)
	}
}

func (c *conversion) plainVariable(value cursor, ownConfiguration bool) string {
	if ownConfiguration {
		return c.finish(value, true)
	}
	return c.in.complete(value.text())
}

// project converts a CodeBuild project's settings for a build. It returns false
// when the build cannot run here; the reason has been noted.
func (c *conversion) project(a *action, p cursor, b *pipeline.Build) bool {
	source := p.get("Source")
	if kind := source.get("Type"); kind.ok() && kind.static() != "CODEPIPELINE" {
		kind.note(Info, "source "+kind.static(), "in a pipeline a build gets the artifacts of its action")
	}
	if !c.buildspec(a, source.get("BuildSpec"), b) {
		return false
	}
	for _, s := range p.get("SecondarySources").items() {
		s.leave(Info, "secondary source", "in a pipeline a build gets the artifacts of its action")
	}
	p.get("Name").markRead() // the action named it
	e := p.get("Environment")
	image := c.in.complete(e.get("Image").text())
	switch {
	case image == "":
	case strings.HasPrefix(image, "aws/codebuild/") || strings.HasPrefix(image, "public.ecr.aws/codebuild/"):
		c.in.note(Info, e.get("Image").path, "image "+image, "AWS's own build image: the build runs as a process with the tools of this machine; set `image:` to run it in a container")
	default:
		b.Image = image
		b.Privileged = e.get("PrivilegedMode").boolean()
	}
	for _, v := range e.get("EnvironmentVariables").items() {
		c.projectVariables[v.get("Name").static()] = v.get("Value").path
		c.environmentVariable(v, &b.Env, false)
	}
	if n := p.get("TimeoutInMinutes").count("timeoutInMinutes"); n > 0 {
		a.out.Timeout = pipeline.Duration(time.Duration(n) * time.Minute)
	}
	switch kind := p.get("Cache").get("Type").static(); kind {
	case "NO_CACHE", "":
		if p.get("Cache").ok() && p.get("Cache").get("Type").ok() {
			no := false
			b.Cache = &no
		}
	case "S3", "LOCAL":
		p.get("Cache").leave(Info, "cache "+kind, "what the buildspec caches is kept in the data folder")
	default:
		p.get("Cache").leave(Warning, "cache "+kind, "there is no such cache: what the buildspec caches is kept in the data folder")
	}
	if kind := p.get("Artifacts").get("Type"); kind.ok() && kind.static() != "CODEPIPELINE" {
		kind.note(Info, "artifacts "+kind.static(), "in a pipeline a build gives its artifacts to its action")
	}
	if n := p.get("AutoRetryLimit"); n.ok() && n.static() != "0" && n.count("autoRetryLimit") > 0 {
		n := n.number()
		a.out.Retry = &pipeline.Retry{Attempts: n}
	}
	return true
}

// commands converts the Commands action: to a `run` stage, or to a build when the
// action makes artifacts or takes several.
func (c *conversion) commands(a *action) bool {
	var lines []string
	for _, l := range a.get("Commands").items() {
		lines = append(lines, c.finish(l, false))
	}
	for _, l := range a.config.get("Commands").items() {
		lines = append(lines, c.finish(l, false))
	}
	var env map[string]string
	for _, v := range a.get("EnvironmentVariables").items() {
		c.environmentVariable(v, &env, true)
	}
	outputs := a.get("OutputVariables").texts()
	if len(a.outputs) == 0 && len(a.inputs) <= 1 {
		r := pipeline.Run{Commands: lines, Env: env}
		for _, o := range outputs {
			if identifier(o) == o {
				r.Outputs = append(r.Outputs, o)
			} else { // AWS's own variables, such as CODEBUILD_BUILD_ID, have valid names; others with that prefix do not exist
				c.in.note(Warning, a.path, "output variable "+unmark(o), "not a name that a shell can set")
			}
		}
		if len(a.inputs) == 1 {
			r.Artifact = c.artifacts[a.inputs[0].get("Name").static()]
			if r.Artifact == "" {
				c.in.note(Error, a.path, "Commands action "+a.name, "the stage that makes its input was left out, so it is too")
				return false
			}
		}
		c.set(a, r)
		return true
	}
	b := pipeline.Build{Env: env}
	if !c.inputs(a, &b) {
		return false
	}
	spec := newObject()
	spec.set("version", "0.2")
	if len(outputs) > 0 {
		e := newObject()
		e.set("exported-variables", anys(outputs))
		spec.set("env", e)
	}
	phase, phases := newObject(), newObject()
	phase.set("commands", anys(lines))
	phases.set("build", phase)
	spec.set("phases", phases)
	c.commandArtifacts(a, spec)
	text, err := writeYAML(spec)
	if err != nil {
		c.in.note(Error, a.path, "Commands action "+a.name, "its commands cannot be written as a buildspec: %v", err)
		return false
	}
	b.Inline = text
	c.recordOutputs(a)
	c.set(a, b)
	return true
}

func (c *conversion) commandArtifacts(a *action, spec *object) {
	if len(a.outputs) == 0 {
		return
	}
	artifacts, secondary := newObject(), newObject()
	for _, o := range a.outputs {
		files := o.get("Files").texts()
		if len(files) == 0 {
			files = []string{"**/*"}
		}
		if len(a.outputs) == 1 {
			artifacts.set("files", anys(files))
			break
		}
		one := newObject()
		one.set("files", anys(files))
		secondary.set(o.get("Name").static(), one)
	}
	if len(a.outputs) > 1 {
		artifacts.set("files", anys([]string{"**/*"}))
		artifacts.set("secondary-artifacts", secondary)
	}
	spec.set("artifacts", artifacts)
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// variable is CodePipeline's #{namespace.key}.
var variable = regexp.MustCompile(`#\{([A-Za-z0-9_@-]+)\.([A-Za-z0-9_@.-]+)\}`)

// finish reads a field of an action's configuration as text of the pipeline file:
// variables and references become expressions. References to secrets are refused
// where the language does not allow them.
func (c *conversion) finish(field cursor, secrets bool) string {
	if !field.ok() {
		field.markRead()
		return ""
	}
	s := variable.ReplaceAllStringFunc(field.text(), func(m string) string {
		parts := variable.FindStringSubmatch(m)
		value, ok := c.variable(parts[1], parts[2], field.path)
		if !ok {
			c.in.note(Error, field.path, m, "nothing that was carried over sets this variable; the text stays as it is")
			return m
		}
		return value
	})
	if !secrets {
		for _, m := range reference.FindAllStringSubmatch(s, -1) {
			if name, ok := secretIn(m[1]); ok {
				c.in.note(Error, field.path, m[1], "a secret cannot stand here: write the value into the file")
				s = strings.ReplaceAll(s, m[0], name)
			}
		}
	}
	return c.in.complete(s)
}

// complete is the text as it is written in the pipeline file.
func (in *input) complete(s string) string { return unmark(s) }
