package importer

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"showrunner/pipeline"
)

// inputs sets where a build takes its sources from.
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

// makes records what a build's outputs are called here: one is the stage's own
// artifact, several are its secondary ones.
func (c *conversion) makes(a *action) {
	for _, o := range a.outputs {
		name := o.get("Name").static()
		c.artifacts[name] = a.id
		if len(a.outputs) > 1 {
			c.artifacts[name] = a.id + "." + name
		}
	}
}

func (c *conversion) codeBuild(a *action) bool {
	b := pipeline.Build{}
	if !c.inputs(a, &b) {
		c.in.note(Error, a.path, a.category+" action "+a.name, "it has no source left; the stage is left out")
		return false
	}
	if f := a.config.get("BatchEnabled"); f.ok() && f.truth() {
		c.in.note(Error, f.path, "BatchEnabled", "batch builds are not run: the buildspec runs once; give each build of the batch a stage")
	}
	a.config.get("CombineArtifacts").ignore()
	projectName := a.config.get("ProjectName").static()
	b.Project = slug(cdkHash.ReplaceAllString(projectName, ""), "project", 100)
	b.Spec = "buildspec.yml"
	if p, ok := c.projects.find(projectName); ok {
		c.project(a, p, &b)
	} else {
		c.in.note(Warning, a.config.get("ProjectName").path, "project "+projectName, "its settings are not in the document: taken as buildspec.yml in the source, on this machine; give them with --project '%s=FILE' (what `aws codebuild batch-get-projects` prints)", projectName)
	}
	for _, v := range jsonList(a.config.get("EnvironmentVariables")) {
		c.environmentVariable(v, &b.Env, true)
	}
	c.makes(a)
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
	case "SECRETS_MANAGER":
		(*env)[name] = c.in.complete(c.in.secretsManager(unmark(value.text()), value.path))
	case "PARAMETER_STORE":
		id := unmark(value.text())
		(*env)[name] = c.in.complete(c.in.secret(id, "SSM parameter "+id, value.path))
	default:
		if ownConfiguration {
			(*env)[name] = c.finish(value, true)
		} else {
			(*env)[name] = c.in.complete(value.text())
		}
	}
}

// project carries a CodeBuild project's settings into a build.
func (c *conversion) project(a *action, p cursor, b *pipeline.Build) {
	source := p.get("Source")
	source.get("Type").ignore()
	c.buildspec(a, source.get("BuildSpec"), b)
	for _, s := range p.get("SecondarySources").items() {
		s.get("Type").ignore()
		s.get("SourceIdentifier").ignore()
	}
	e := p.get("Environment")
	image := c.in.complete(e.get("Image").text())
	switch {
	case image == "":
	case strings.HasPrefix(image, "aws/codebuild/") || strings.HasPrefix(image, "public.ecr.aws/codebuild/"):
		c.in.note(Info, e.get("Image").path, "image "+image, "AWS's own build image: the build runs as a process with the tools of this machine; set `image:` to run it in a container")
	default:
		b.Image = image
		b.Privileged = e.get("PrivilegedMode").truth()
	}
	for _, v := range e.get("EnvironmentVariables").items() {
		c.environmentVariable(v, &b.Env, false)
	}
	if n := p.get("TimeoutInMinutes").number(); n > 0 {
		a.out.Timeout = pipeline.Duration(time.Duration(n) * time.Minute)
	}
	switch kind := p.get("Cache").get("Type").static(); kind {
	case "NO_CACHE", "":
		if p.get("Cache").ok() && p.get("Cache").get("Type").ok() {
			no := false
			b.Cache = &no
		}
	case "S3", "LOCAL":
		p.get("Cache").ignore() // the buildspec's cache is honoured by default
	}
	p.get("Artifacts").get("Type").ignore()
	p.get("Name").ignore()
	if n := p.get("AutoRetryLimit").number(); n > 0 {
		a.out.Retry = &pipeline.Retry{Attempts: n}
	}
}

// buildspec takes a path as it is, and a buildspec in the document into the
// stage, since the source that the build gets does not hold it.
func (c *conversion) buildspec(a *action, field cursor, b *pipeline.Build) {
	text := field.text()
	switch {
	case strings.TrimSpace(text) == "":
		return // CodeBuild's default is buildspec.yml too
	case strings.HasPrefix(text, "arn:") || strings.HasPrefix(text, "s3://"):
		c.in.note(Error, field.path, "BuildSpec "+text, "a buildspec in S3 is not read: put it into the source as buildspec.yml")
		return
	case !strings.Contains(text, "\n") && !strings.HasPrefix(strings.TrimSpace(text), "{"):
		b.Spec = path.Clean(c.in.complete(text))
		return
	}
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		if name, ok := secretIn(m[1]); ok {
			name = strings.ToUpper(identifier(name))
			c.in.note(Warning, field.path, "a secret inside the buildspec", "secrets stand only in `env`: it became the environment variable %s", name)
			if b.Env == nil {
				b.Env = map[string]string{}
			}
			b.Env[name] = "${{ " + m[1] + " }}"
			text = strings.ReplaceAll(text, m[0], "${"+name+"}")
		}
	}
	pretty := prettySpec(text)
	name := "buildspecs/" + b.Project + ".yml"
	for n := 2; ; n++ {
		if old, taken := c.in.files[name]; !taken || string(old) == unmark(pretty) {
			break
		}
		name = fmt.Sprintf("buildspecs/%s-%d.yml", b.Project, n)
	}
	c.in.files[name] = []byte(reference.ReplaceAllString(pretty, "$${$1}"))
	b.Spec, b.Inline = "", c.in.complete(pretty)
	c.specSecrets(field.path, text)
}

// prettySpec writes a buildspec given as JSON as YAML, in its own order; YAML stays as it is.
func prettySpec(text string) string {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return strings.TrimRight(text, "\n") + "\n"
	}
	v, err := parse("buildspec", []byte(text))
	if err != nil {
		return text // the build says what is wrong with it
	}
	out, err := writeYAML(v)
	if err != nil {
		return text
	}
	return out
}

// specSecrets lists the secrets that the buildspec itself refers to.
func (c *conversion) specSecrets(at, text string) {
	v, err := parse("buildspec", []byte(text))
	if err != nil {
		return
	}
	env := (cursor{in: newInput(Options{}), raw: v}).get("env")
	for _, section := range []string{"secrets-manager", "parameter-store"} {
		keys, values := env.get(section).members()
		for i, k := range keys {
			what := "what the buildspec's env." + section + " calls " + values[i].text()
			c.in.note(Warning, at, "env."+section+" "+k, "the build looks it up as Showrunner does (`showrunner build --help`): %s", what)
		}
	}
}

// commands carries the Commands action over: to a `run` stage, or to a build
// when it makes artifacts or takes several.
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
			} else { // AWS's own, such as CODEBUILD_BUILD_ID, fit; others do not exist
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
	c.makes(a)
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

// finish reads a field of an action's configuration as text of the pipeline
// file: variables and references become expressions. Secrets are refused
// unless the place takes them.
func (c *conversion) finish(field cursor, secrets bool) string {
	if !field.ok() {
		field.ignore()
		return ""
	}
	s := variable.ReplaceAllStringFunc(field.text(), func(m string) string {
		parts := variable.FindStringSubmatch(m)
		expression, ok := c.variable(parts[1], parts[2])
		if !ok {
			c.in.note(Error, field.path, m, "no stage that was carried over sets this variable; the text stays as it is")
			return m
		}
		return markReference(expression)
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

// complete is the text as it stands in the pipeline file.
func (in *input) complete(s string) string { return unmark(s) }

// gitOutputs are a source action's variables under our names.
var gitOutputs = map[string]string{
	"CommitId": "commit", "CommitMessage": "message", "BranchName": "branch", "AuthorDate": "date",
	"CommitterDate": "date", "CommitUrl": "url", "FullRepositoryName": "url", "RepositoryName": "url", "AuthorEmail": "authorEmail",
	"AuthorDisplayName": "author", "AuthorId": "author",
}

// variable is the expression for a variable of CodePipeline.
func (c *conversion) variable(ns, key string) (string, bool) {
	switch ns {
	case "variables":
		return "parameters." + identifier(key), true
	case "codepipeline":
		return "execution.id", key == "PipelineExecutionId"
	}
	from, ok := c.namespaces[ns]
	if !ok {
		return "", false
	}
	i := -1
	for n, s := range c.out.Stages {
		if s.Name == from.stage {
			i = n
		}
	}
	if i < 0 {
		return "", false
	}
	outputs := fmt.Sprintf("stages[%q].outputs", from.stage)
	if identifier(from.stage) == from.stage {
		outputs = "stages." + from.stage + ".outputs"
	}
	switch c.out.Stages[i].Kind {
	case "git":
		name, ok := gitOutputs[key]
		return outputs + "." + name, ok
	case "build":
		return fmt.Sprintf("%s.variables[%q]", outputs, key), true
	case "run":
		return outputs + "." + identifier(key), true
	case "approval":
		if key == "ApprovalSummary" {
			return outputs + ".comment", true
		}
	}
	return "", false
}
