package importer

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"showrunner/build/buildspec"
	"showrunner/pipeline"
)

// buildspec keeps a path unchanged, and puts a buildspec of the document into the
// stage, since the build's source does not contain it. It returns false when the
// text is not a buildspec that can run here; the reason has been noted.
func (c *conversion) buildspec(a *action, field cursor, b *pipeline.Build) bool {
	text := field.text()
	switch {
	case strings.TrimSpace(text) == "":
		return true // CodeBuild's default is buildspec.yml too
	case strings.HasPrefix(text, "arn:") || strings.HasPrefix(text, "s3://"):
		c.in.note(Error, field.path, "BuildSpec "+text, "a buildspec in S3 is not read: put it into the source as buildspec.yml")
		return true
	case !strings.Contains(text, "\n") && !strings.HasPrefix(strings.TrimSpace(text), "{"):
		b.Spec = path.Clean(c.in.complete(text))
		return true
	}
	text = c.secretsToEnvironment(field, text, b)
	text, runs := c.runnable(a, field, text)
	name := "buildspecs/" + b.Project + ".yml"
	copied := reference.ReplaceAllString(text, "$${$1}")
	for n := 2; ; n++ {
		if old, taken := c.in.files[name]; !taken || string(old) == copied {
			break
		}
		name = fmt.Sprintf("buildspecs/%s-%d.yml", b.Project, n)
	}
	c.in.files[name] = []byte(copied)
	b.Spec, b.Inline = "", c.in.complete(text)
	if runs {
		c.specSecrets(field.path, text)
	}
	return runs
}

// secretsToEnvironment replaces secrets inside a buildspec, which are allowed
// only in `env`.
func (c *conversion) secretsToEnvironment(field cursor, text string, b *pipeline.Build) string {
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
	return text
}

// runnable returns a buildspec that can run here, written as YAML. The older
// version and batches are rewritten with a note. For anything else that builds
// refuse it adds a note and returns false.
func (c *conversion) runnable(a *action, field cursor, text string) (string, bool) {
	masked, unmask := maskReferences(text)
	v, err := parse("buildspec", []byte(masked))
	spec, _ := v.(*object)
	switch {
	case err != nil || spec == nil: // the check below reports what is wrong
	case c.rewritten(a, field, spec):
		if out, err := writeYAML(spec); err == nil {
			masked = out
		}
	default:
		masked = prettySpec(masked)
	}
	runs := true
	for _, d := range buildspec.Check(masked) {
		where := ""
		if d.Line > 0 {
			where = fmt.Sprintf("line %d, column %d: ", d.Line, d.Column)
		}
		severity := Warning
		if d.Severity == pipeline.SeverityError {
			severity, runs = Error, false
		}
		c.in.note(severity, field.path, "buildspec of "+a.name, "%s%s", where, strings.TrimSuffix(unmask(d.Message)+". "+d.Help, ". "))
	}
	return unmask(masked), runs
}

// rewritten changes a buildspec into a form that builds can run, and says whether
// it changed anything.
func (c *conversion) rewritten(a *action, field cursor, spec *object) bool {
	changed := false
	if _, batch := spec.vals["batch"]; batch {
		changed = true
		spec.drop("batch")
		if enabled := a.config.get("BatchEnabled"); enabled.ok() && enabled.boolean() {
			c.in.note(Error, field.path, "batch", "batch builds are not run: the buildspec runs once, without `batch`; give each build of the batch a stage")
		} else {
			c.in.note(Warning, field.path, "batch", "batch builds are not run, and the action does not ask for one: the buildspec runs once, without `batch`")
		}
	}
	if scalar(spec.vals["version"]) == "0.1" {
		changed = true
		spec.set("version", "0.2")
		separateShells(spec)
		c.in.note(Warning, field.path, "version 0.1", "it gives every command a shell of its own: written as version 0.2, with each command in a subshell")
	}
	return changed
}

// separateShells keeps the commands of version 0.1 in separate shells, and moves its
// variables to their newer place.
func separateShells(spec *object) {
	if old, ok := spec.vals["environment_variables"].(*object); ok {
		env, variables := newObject(), newObject()
		for _, group := range old.keys {
			if list, ok := old.vals[group].(*object); ok && group == "plaintext" {
				for _, k := range list.keys {
					variables.set(k, list.vals[k])
				}
			}
		}
		env.set("variables", variables)
		spec.set("env", env)
		spec.drop("environment_variables")
	}
	phases, _ := spec.vals["phases"].(*object)
	if phases == nil {
		return
	}
	for _, name := range phases.keys {
		phase, _ := phases.vals[name].(*object)
		if phase == nil {
			continue
		}
		for _, part := range []string{"commands", "finally"} {
			list, _ := phase.vals[part].([]any)
			for i, command := range list {
				if text, ok := command.(string); ok {
					list[i] = "(\n" + text + "\n)"
				}
			}
		}
	}
}

func (o *object) drop(key string) {
	delete(o.vals, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

// maskReferences replaces each marked reference by a plain word, since YAML
// cannot parse the mark, and returns a function that restores the references.
func maskReferences(text string) (string, func(string) string) {
	var back []string
	masked := reference.ReplaceAllStringFunc(text, func(m string) string {
		word := fmt.Sprintf("SHOWRUNNER-REFERENCE-%d-", len(back)/2)
		back = append(back, word, m)
		return word
	})
	return masked, strings.NewReplacer(back...).Replace
}

// prettySpec writes a buildspec given as JSON as YAML, in its own order; YAML stays as it is.
func prettySpec(text string) string {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return strings.TrimRight(text, "\n") + "\n"
	}
	v, err := parse("buildspec", []byte(text))
	if err != nil {
		return text // the check reports what is wrong with it
	}
	out, err := writeYAML(v)
	if err != nil {
		return text
	}
	return out
}

// specSecrets lists the secrets that the buildspec itself refers to.
func (c *conversion) specSecrets(at, text string) {
	masked, _ := maskReferences(text)
	v, err := parse("buildspec", []byte(masked))
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
