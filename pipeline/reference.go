package pipeline

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
)

// Reference returns the reference of the language in Markdown, generated from
// the tables that the parser itself reads.
func Reference() []byte {
	r := &referenceWriter{comments: comments(), done: map[reflect.Type]bool{}}
	r.print(referenceIntro)
	r.typeTable("Pipeline", reflect.TypeFor[Pipeline](), "name")
	r.typeTable("Parameter", reflect.TypeFor[Parameter](), "name")
	r.typeTable("Trigger", reflect.TypeFor[Trigger]())
	r.typeTable("Notification", reflect.TypeFor[Notification]())
	r.typeTable("Stage", reflect.TypeFor[Stage](), "name", "kind", "with")
	r.typeTable("Chaos", reflect.TypeFor[Chaos]())
	r.print("\n## Kinds\n\n| kind | | artifact | default timeout |\n|---|---|---|---|\n")
	for _, k := range kinds {
		artifact := ""
		if k.Artifacts {
			artifact = "`stage`"
		}
		if k.Secondary {
			artifact += ", `stage.id`"
		}
		r.print("| [`%s`](#%s) | %s | %s | %s |\n", k.Name, k.Name, k.Summary, artifact, Duration(k.Timeout))
	}
	for _, k := range kinds {
		r.kind(k)
	}
	r.expressions()
	return r.b.Bytes()
}

const referenceIntro = `# The pipeline file

Generated from the code; ` + "`go test ./pipeline -update`" + ` rewrites it. Editors get the same as a JSON Schema from ` + "`showrunner schema`" + `.

A file names one ` + "`application`" + ` and its ` + "`pipelines`" + `, and may let Chaos Monkey end instances of its services (` + "`chaos`" + `). A pipeline is a graph of ` + "`stages`" + `; a stage has exactly one kind, named by its key. ` + "`showrunner validate`" + ` prints everything that is wrong in one pass. Keys at the top that start with ` + "`x-`" + ` are left alone, as a place for YAML anchors; merge keys (` + "`<<`" + `) work. More in [examples/pipelines](../examples/pipelines).

A duration is a number and a unit: ` + "`500ms`, `30s`, `5m`, `1h30m`, `1d`" + `. A field marked \* is required. Fields marked **one** take a single value for a list of one. Where a text is expected, a number or truth value stands for its own text.
`

type referenceWriter struct {
	b        bytes.Buffer
	comments map[string]string
	done     map[reflect.Type]bool
}

func (r *referenceWriter) print(format string, args ...any) { fmt.Fprintf(&r.b, format, args...) }

// typeTable lists the fields of a struct, then those of the structs in it.
func (r *referenceWriter) typeTable(title string, t reflect.Type, except ...string) {
	if r.done[t] {
		return
	}
	r.done[t] = true
	r.print("\n## %s\n\n%s\n\n", title, r.comments[t.Name()])
	r.fields(t, except...)
	r.nested(t, "##", except...)
}

func (r *referenceWriter) nested(t reflect.Type, level string, except ...string) {
	for _, f := range shapeOf(t).fields {
		inner := elem(f.typ)
		if inner.Kind() != reflect.Struct || inner == emptyType || contains(except, f.name) || r.done[inner] || inner == reflect.TypeFor[Stage]() || inner == reflect.TypeFor[Parameter]() || inner == reflect.TypeFor[Trigger]() || inner == reflect.TypeFor[Notification]() {
			continue
		}
		r.done[inner] = true
		r.print("\n%s# %s\n\n%s\n\n", level, inner.Name(), r.comments[inner.Name()])
		r.fields(inner)
		r.nested(inner, level)
	}
}

func elem(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

func (r *referenceWriter) fields(t reflect.Type, except ...string) {
	r.print("| field | type | default | |\n|---|---|---|---|\n")
	for _, f := range shapeOf(t).fields {
		if contains(except, f.name) {
			continue
		}
		star := ""
		if f.required {
			star = " \\*"
		}
		def := ""
		if f.def != "" {
			def = "`" + strings.ReplaceAll(f.def, `"`, "") + "`"
		}
		r.print("| `%s`%s | %s | %s | %s |\n", f.name, star, fieldType(&f), def, f.notes(r.comments[t.Name()+"."+f.goName]))
	}
	for _, g := range fieldGroups(t) {
		how := map[groupRule]string{atMostOne: "At most one of", exactlyOne: "Exactly one of", atLeastOne: "At least one of"}
		r.print("\n%s `%s`.\n", how[g.rule], strings.Join(g.fields, "`, `"))
	}
}

func (f *field) notes(comment string) string {
	notes := []string{}
	if comment != "" {
		notes = append(notes, strings.ReplaceAll(comment, "|", "\\|"))
	}
	if len(f.enum) > 0 {
		notes = append(notes, "`"+strings.Join(f.enum, "`, `")+"`")
	}
	if f.secret {
		notes = append(notes, "may refer to secrets")
	}
	if f.static {
		notes = append(notes, "no expressions")
	}
	return strings.Join(notes, ". ")
}

func fieldType(f *field) string {
	t, name := f.typ, ""
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durationType:
		name = "duration"
	case t == reflect.TypeFor[[]Stage](), t == reflect.TypeFor[[]Parameter](), t == reflect.TypeFor[[]Pipeline]():
		name = "mapping of names to " + strings.ToLower(t.Elem().Name()) + "s"
	case t.Kind() == reflect.Slice:
		name = "list of " + plural(t.Elem())
	case t.Kind() == reflect.Map:
		name = "mapping of texts"
	default:
		name = singular(t)
	}
	if f.one {
		name += ", **one**"
	}
	return name
}

func singular(t reflect.Type) string {
	switch {
	case t == emptyType:
		return "`{}`"
	case t.Kind() == reflect.Struct:
		return t.Name()
	}
	return strings.TrimPrefix(strings.TrimPrefix(typeName(t), "a "), "an ")
}

func plural(t reflect.Type) string {
	if t.Kind() == reflect.Struct {
		return t.Name()
	}
	return singular(t) + "s"
}

func (r *referenceWriter) kind(k Kind) {
	r.print("\n### %s\n\n%s %s\n\n```yaml\n%s\n```\n\n", k.Name, k.Summary, k.Doc, k.Example)
	t := reflect.TypeOf(k.Config)
	r.fields(t)
	if len(k.Outputs) > 0 {
		r.print("\nOutputs:\n\n| output | type | |\n|---|---|---|\n")
		r.outputs(k.Outputs)
	}
	if k.Declares {
		r.print("\nMore outputs are those that its `outputs` declares.\n")
	}
	if k.Name == "deploy" {
		r.instance()
	}
	r.nested(t, "###")
}

// instance says what a service finds in its environment.
func (r *referenceWriter) instance() {
	r.print("\n#### What an instance gets\n\nIts environment holds these variables, then those of `env`, and of the region's own `PATH`, `LANG`, `LC_ALL` and `TZ` alone; " +
		"`HOME` and `TMPDIR` are folders of its own. [docs/service.md](service.md) says what a service has to do.\n\n| variable | type | |\n|---|---|---|\n")
	r.outputs(InstanceVariables())
}

func (r *referenceWriter) outputs(list []Output) {
	for _, o := range list {
		r.print("| `%s` | %s | %s |\n", o.Name, o.Type, o.Doc)
	}
}

func (r *referenceWriter) expressions() {
	r.print("%s", referenceExpressions)
	r.print("\n### trigger\n\n| field | type | |\n|---|---|---|\n")
	r.outputs(TriggerFields())
	r.print("\n### execution\n\n| field | type | |\n|---|---|---|\n")
	r.outputs(ExecutionFields())
	r.print("\n### Functions and operators\n\nFunctions: `%s`.\n\n", strings.Join(functionNames(), "`, `"))
	r.print("%s", referenceOperators)
	r.print("\n### Secrets\n\nAllowed in `%s`, and in the credentials of a poll trigger.\n", strings.Join(secretPlaces(), "`, `"))
}

const statusList = "`Succeeded`, `FailedContinue` (it failed and `onFailure: continue` let the execution go on), `Skipped`, `Stopped`, `Terminal`, `Canceled`"

const referenceExpressions = `
## Expressions

` + "`${{ … }}`" + ` may stand in every field of a kind that is not marked otherwise. It is checked when the file is read: names, outputs, types, and that a stage referred to is upstream. A text that is one expression alone gives a number, a truth value or a list where the field takes one: ` + "`desired: ${{ int(parameters.count) }}`" + `. ` + "`when`" + ` is an expression as a whole; the braces may be left out.

| name | |
|---|---|
| ` + "`parameters.NAME`" + ` | a parameter, always a text |
| ` + "`trigger.FIELD`" + ` | what started the execution, see below |
| ` + "`execution.FIELD`" + ` | this execution, see below |
| ` + "`stages.NAME.status`" + `, ` + "`stages.NAME.outputs.OUTPUT`" + ` | a stage upstream; the outputs of each kind are listed with it. Status is one of ` + statusList + ` |
| ` + "`artifacts.NAME`" + `, ` + "`artifacts.NAME.ID`" + ` | the digest of an artifact |
| ` + "`secrets.NAME`" + ` | a secret, alone in its braces and only where a credential makes sense |

Names with hyphens are written as they are: ` + "`stages.deploy-site.outputs.url`" + `. ` + "`parameters.count-1`" + ` is the parameter of that name if there is one, else ` + "`count`" + ` less 1; put spaces around a minus. ` + "`stages[\"deploy-site\"]`" + ` works too. An output of a stage that was skipped reads as empty. To write ` + "`${{`" + ` itself: ` + "`${{ \"${{\" }}`" + `. The expressions of a trigger see ` + "`trigger`" + ` alone.
`

const referenceOperators = "Operators: `+ - * / % **`, `== != < > <= >=`, `and or not` (`&& || !`), `in`, `contains`, `startsWith`, `endsWith`, `matches` (a regular expression), `?:`, `??`, `?.`, `|`.\n\n" +
	"There is no clock, no chance and no access to anything else. `all`, `any`, `none`, `one`, `filter`, `map`, `find` and `count` cannot stand inside each other; time and memory are bounded.\n"
