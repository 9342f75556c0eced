package chaosmonkey

import (
	"bytes"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"showrunner/chaos/monkey"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Document is one file of Chaos Monkey's settings.
type Document struct {
	Program      *Program // of a chaosmonkey.toml
	Applications []Application
}

// maxSize is how large a document may be, in bytes.
const maxSize = 64 << 20

var tomlLine = regexp.MustCompile(`(?m)^\s*(\[+[A-Za-z0-9_."-]+\]+\s*(#.*)?$|[A-Za-z0-9_."-]+\s*=)`)

// Is tells whether a text is a document of Chaos Monkey: JSON, or TOML. Anything
// else is read as a pipeline file.
func Is(src []byte) bool {
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(src, []byte("\ufeff")))
	if len(trimmed) == 0 {
		return false
	}
	return json.Valid(trimmed) || trimmed[0] == '{' || isTOML(trimmed)
}

func isTOML(trimmed []byte) bool {
	return tomlLine.Match(trimmed) && !regexp.MustCompile(`(?m)^[A-Za-z0-9_-]+:(\s|$)`).Match(trimmed)
}

// Read reads one document. The document is nil when there are errors. An
// application without a name has that of the file. Read never panics.
func Read(name string, src []byte) (*Document, pipeline.Diagnostics) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	r := &reader{name: name, src: string(src)}
	located := func() pipeline.Diagnostics { return pipeline.Located(name, r.src, r.ds) }
	fail := func(d pipeline.Diagnostic, at pipeline.Position) (*Document, pipeline.Diagnostics) {
		d.Severity, d.Position, d.Length = pipeline.SeverityError, at, 1
		r.ds = append(r.ds, d)
		return nil, located()
	}
	if len(src) > maxSize {
		return fail(pipeline.Diagnostic{Code: pipeline.CodeTooLarge, Message: "the file is too large"}, pipeline.Position{Line: 1, Column: 1})
	}
	if !utf8.Valid(src) {
		return fail(pipeline.Diagnostic{Code: pipeline.CodeEncoding, Message: "the file is not UTF-8"}, pipeline.Position{Line: 1, Column: 1})
	}
	doc := &Document{}
	trimmed := bytes.TrimSpace(src)
	if len(trimmed) > 0 && trimmed[0] != '{' && !json.Valid(trimmed) && isTOML(trimmed) {
		root, wrong, at := readTOML(src)
		if wrong != nil {
			return fail(*wrong, at)
		}
		p := r.program(root)
		doc.Program = &p
	} else {
		root, wrong, at := readJSON(src)
		if wrong != nil {
			return fail(*wrong, position(r.src, at))
		}
		if root.kind != object && root.kind != list {
			return fail(pipeline.Diagnostic{Code: pipeline.CodeType, Message: "the settings of an application are an object, not " + root.describe()}, position(r.src, root.at))
		}
		if isProgram(root) {
			p := r.program(without(root, "applications"))
			doc.Program = &p
		}
		if doc.Program == nil || root.get("applications") != nil {
			doc.Applications = r.applications(root, nameOf(name))
		}
	}
	ds := located()
	if ds.HasErrors() {
		return nil, ds
	}
	return doc, ds
}

// isProgram tells whether an object is chaosmonkey.toml in the form of JSON.
func isProgram(root *node) bool {
	c := root.get("chaosmonkey")
	if c == nil || c.kind != object {
		return false
	}
	return slices.ContainsFunc(c.members, func(m member) bool {
		return slices.Contains(sections["chaosmonkey"], m.name) && !slices.Contains(settingNames, m.name)
	})
}

func without(n *node, name string) *node {
	out := *n
	out.members = slices.DeleteFunc(slices.Clone(n.members), func(m member) bool { return m.name == name })
	return &out
}

// nameOf is an application's name from that of its file.
func nameOf(file string) string {
	base := path.Base(strings.ReplaceAll(file, `\`, "/"))
	base, _, _ = strings.Cut(base, ".")
	base = strings.Trim(regexp.MustCompile(`[^A-Za-z0-9_]+`).ReplaceAllString(base, "_"), "_")
	if base == "" {
		return "app"
	}
	return base
}

// Block is the block of the pipeline file that does what Chaos Monkey did, under
// the settings of the program. What cannot be said there is in package importer's
// notes.
func (a Application) Block(p *Program) *pipeline.Chaos {
	c := &pipeline.Chaos{Enabled: a.Enabled && !a.Whitelist, Grouping: a.Grouping, Mean: a.Mean, RegionsAreIndependent: a.RegionsAreIndependent}
	if a.Mean > 0 {
		minimum := a.Min
		c.Min = &minimum
	}
	for _, e := range a.Exceptions {
		if !slices.ContainsFunc([]string{e.Account, e.Region, e.Stack, e.Detail}, func(s string) bool { return s != "*" && strings.ContainsAny(s, "*?") }) {
			c.Exceptions = append(c.Exceptions, pipeline.ChaosException(e))
		}
	}
	if p == nil {
		defaults := DefaultProgram()
		c.Zone = defaults.TimeZone
		return c
	}
	c.Zone, c.DryRun = p.TimeZone, p.Leashed
	if p.StartHour != 9 || p.EndHour != 15 {
		c.Hours = p.Hours()
	}
	if days, ok := p.Weekdays(); ok {
		c.Days = days
	}
	return c
}

// Settings are the block's settings for package monkey. Errors: invalid.
func (a Application) Settings(p *Program) (monkey.Settings, error) {
	s, err := monkey.FromFile(a.Block(p))
	if err != nil {
		return s, problem.Wrap(err, problem.CodeOf(err), "chaos.settings", "application %s", a.Name)
	}
	if p != nil && p.days != nil {
		// The days on which it draws are its cron's; the minimum counts Monday to
		// Friday whatever these are.
		s.Days = monkey.Workdays(nil)
		s.Draws = func(d monkey.Date) bool { return p.Scheduled(d.Year, d.Month, d.Day) }
	}
	return s, nil
}
