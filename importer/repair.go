package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"showrunner/build/buildspec"
	"showrunner/pipeline"
	"showrunner/problem"
)

// writeValid writes the document as a valid pipeline file. Parts that the original
// allowed and the language refuses are removed one by one, each with a note: the
// smallest part that contains the finding, then the parts that depend on it.
// Errors: invalid for a name that was given, internal.
func writeValid(in *input, doc *pipeline.Document) ([]byte, error) {
	for range 10_000 { // each round takes something out
		body, err := pipeline.Format(doc)
		if err != nil {
			return nil, problem.Wrap(err, problem.Internal, "import", "write the pipeline file")
		}
		_, found := pipeline.Parse("showrunner.yaml", body, buildspec.Check)
		i := slices.IndexFunc(found, func(d pipeline.Diagnostic) bool { return d.Severity == pipeline.SeverityError })
		if i < 0 {
			for _, d := range found {
				if strings.HasPrefix(d.Message, "the buildspec of ") {
					continue // the reason has been noted at its place in the document
				}
				in.note(Warning, in.origin(partAt(body, d.Position)), "the file that was written", "%s", d.Message)
			}
			return body, nil
		}
		part := partAt(body, found[i].Position)
		if part.field == "application" && in.opts.Application != "" {
			return nil, problem.New(problem.Invalid, "import", "--application %s: %s", in.opts.Application, found[i].Message)
		}
		if !in.removePart(doc, part, found[i].Message) {
			return nil, problem.New(problem.Internal, "import", "the file that was written is not valid: %s", found[i].Message)
		}
	}
	return nil, problem.New(problem.Internal, "import", "the file that was written could not be made valid")
}

// part is a part of a pipeline file: a field of the file, of a pipeline, or of
// one of a pipeline's stages, triggers or parameters.
type part struct {
	pipeline string
	list     string // stages, triggers or parameters; "" for a field of the pipeline
	item     string // a name, or a trigger's position
	field    string
}

// partAt finds the part that a position in a pipeline file is in.
func partAt(body []byte, at pipeline.Position) part {
	var doc yaml.Node
	if err := yaml.Load(body, &doc, yaml.WithV4Defaults()); err != nil || len(doc.Content) == 0 {
		return part{}
	}
	reached := func(n *yaml.Node) bool { return n.Line < at.Line || n.Line == at.Line && n.Column <= at.Column }
	var path []string
	for n := doc.Content[0]; n != nil; {
		var next *yaml.Node
		step := ""
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content) && reached(n.Content[i]); i += 2 {
				step, next = n.Content[i].Value, n.Content[i+1]
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				if reached(item) {
					step, next = strconv.Itoa(i), item
				}
			}
		}
		if next != nil {
			path = append(path, step)
		}
		n = next
	}
	path = append(path, "", "", "", "", "")
	switch {
	case path[0] != "pipelines":
		return part{field: path[0]}
	case slices.Contains([]string{"stages", "triggers", "parameters"}, path[2]) && path[3] != "":
		return part{pipeline: path[1], list: path[2], item: path[3], field: path[4]}
	}
	return part{pipeline: path[1], field: path[2]}
}

// origin is the place in the source document that a part was made from, if it is
// known.
func (in *input) origin(p part) string {
	for _, c := range in.carried {
		if c.Pipeline == p.pipeline && p.list != "" && c.To == p.list+"/"+p.item {
			return c.Path
		}
	}
	return ""
}

// removePart removes a part from the document, with a note. It returns false when
// the part cannot be removed.
func (in *input) removePart(doc *pipeline.Document, p part, why string) bool {
	at := in.origin(p)
	if p.pipeline == "" {
		if name := slug(doc.Application, "application", 40); p.field == "application" && name != doc.Application {
			in.note(Error, at, "application "+doc.Application, "%s: it is called %s here", why, name)
			doc.Application = name
			return true
		}
		return false
	}
	i := slices.IndexFunc(doc.Pipelines, func(q pipeline.Pipeline) bool { return q.Name == p.pipeline })
	if i < 0 {
		return false
	}
	q := &doc.Pipelines[i]
	switch p.list {
	case "stages":
		return in.removeStage(q, p, at, why)
	case "triggers":
		n, err := strconv.Atoi(p.item)
		if err != nil || n >= len(q.Triggers) {
			return false
		}
		in.note(Error, at, "a trigger of "+q.Name, "%s: it is left out", why)
		q.Triggers = slices.Delete(q.Triggers, n, n+1)
		in.forget(p, n)
		return true
	case "parameters":
		return in.removeParameter(q, p, at, why)
	}
	if p.field == "description" && q.Description != "" {
		in.note(Error, at, "description of pipeline "+q.Name, "%s: it is left out", why)
		q.Description = ""
		return true
	}
	return in.removeFromPipeline(q, why)
}

// removeFromPipeline handles a finding about a whole pipeline. It removes the parts
// that start other pipelines or let them start this one first, then the last
// stage.
func (in *input) removeFromPipeline(q *pipeline.Pipeline, why string) bool {
	i := slices.IndexFunc(q.Stages, func(s pipeline.Stage) bool { return s.Kind == "pipeline" })
	t := slices.IndexFunc(q.Triggers, func(t pipeline.Trigger) bool { return t.Pipeline != nil })
	p := part{pipeline: q.Name, list: "stages"}
	switch {
	case i >= 0:
	case t >= 0:
		p.list, p.item = "triggers", strconv.Itoa(t)
		in.note(Error, in.origin(p), "a trigger of "+q.Name, "%s: it is left out", why)
		q.Triggers = slices.Delete(q.Triggers, t, t+1)
		in.forget(p, t)
		return true
	case len(q.Stages) > 0 && q.Stages[0].Name != placeholderStage().Name:
		i = len(q.Stages) - 1
	default:
		return false
	}
	p.item = q.Stages[i].Name
	in.note(Error, in.origin(p), "stage "+p.item, "%s: the stage is left out, and what needed it needs what it needed", why)
	withoutStage(q, i)
	in.forget(p, 0)
	return true
}

// forget drops a part from the list of carried parts, and renumbers triggers.
func (in *input) forget(p part, n int) {
	if at := in.origin(p); at != "" {
		in.leftOutPaths[at] = true // the note covers all of it
	}
	in.carried = slices.DeleteFunc(in.carried, func(c Carried) bool { return c.Pipeline == p.pipeline && c.To == p.list+"/"+p.item })
	for i, c := range in.carried {
		if rest, ok := strings.CutPrefix(c.To, "triggers/"); ok && p.list == "triggers" && c.Pipeline == p.pipeline {
			if m, err := strconv.Atoi(rest); err == nil && m > n {
				in.carried[i].To = fmt.Sprintf("triggers/%d", m-1)
			}
		}
	}
}

func (in *input) removeParameter(q *pipeline.Pipeline, p part, at, why string) bool {
	i := slices.IndexFunc(q.Parameters, func(v pipeline.Parameter) bool { return v.Name == p.item })
	if i < 0 {
		return false
	}
	v := &q.Parameters[i]
	plain := pipeline.Parameter{Name: v.Name, Description: v.Description, Required: true}
	if v.Default != nil || v.Options != nil {
		in.note(Error, at, "parameter "+v.Name, "%s: every start has to give its value, and any is taken", why)
		in.leftOutPaths[at] = true
		*v = plain
		return true
	}
	in.note(Error, at, "parameter "+v.Name, "%s: it is left out", why)
	q.Parameters = slices.Delete(q.Parameters, i, i+1)
	in.forget(p, 0)
	return true
}

// removeStage clears one field of a stage, or removes the whole stage. The
// stages that needed it then need the stages that it needed.
func (in *input) removeStage(q *pipeline.Pipeline, p part, at, why string) bool {
	i := slices.IndexFunc(q.Stages, func(s pipeline.Stage) bool { return s.Name == p.item })
	if i < 0 {
		return false
	}
	s := &q.Stages[i]
	if cleared, ok := withoutField(*s, p.field); ok {
		in.note(Error, at, p.field+" of stage "+s.Name, "%s: it is left out", why)
		*s = cleared
		return true
	}
	in.note(Error, at, "stage "+s.Name, "%s: the stage is left out, and what needed it needs what it needed", why)
	withoutStage(q, i)
	in.forget(p, 0)
	return true
}

// withoutField is the stage without a field, or false where the field belongs to
// what the stage does.
func withoutField(s pipeline.Stage, field string) (pipeline.Stage, bool) {
	switch field {
	case "description":
		s.Description = ""
	case "when":
		// Without its condition, a stage that acts would act where the original
		// does not. A stage that holds the pipeline back only does so more often.
		if !slices.Contains([]string{"approval", "wait", "run"}, s.Kind) {
			return s, false
		}
		s.When = ""
	case "retry":
		s.Retry = nil
	case "timeout":
		s.Timeout = 0
	case "onFailure":
		s.OnFailure = ""
	case "windows":
		s.Windows = nil
	case "approval":
		// The stage still waits for a person when its text cannot be carried over.
		bare := stageOf(s.Name, pipeline.Approval{})
		if string(s.With) == string(bare.With) {
			return s, false
		}
		s.With = bare.With
	default:
		return s, false
	}
	return s, true
}

// withoutStage removes a stage from a pipeline and closes the gap. A pipeline
// without any stage gets one that explains this.
func withoutStage(q *pipeline.Pipeline, i int) {
	gone := q.Stages[i]
	q.Stages = slices.Delete(q.Stages, i, i+1)
	for j := range q.Stages {
		s := &q.Stages[j]
		if k := slices.Index(s.Needs, gone.Name); k >= 0 {
			needs := slices.Delete(slices.Clone(s.Needs), k, k+1)
			for _, n := range gone.Needs {
				if n != s.Name && !slices.Contains(needs, n) {
					needs = append(needs, n)
				}
			}
			slices.SortFunc(needs, cmp.Compare)
			s.Needs = needs
		}
	}
	if len(q.Stages) == 0 {
		q.Stages = []pipeline.Stage{placeholderStage()}
	}
}

// placeholderStage is the only stage of a pipeline of which nothing could be
// carried over, so that the file is valid.
func placeholderStage() pipeline.Stage {
	return stageOf("nothing-carried", pipeline.Approval{Instructions: "Nothing of this pipeline could be carried over."})
}
