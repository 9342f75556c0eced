package importer

import (
	"fmt"

	"showrunner/pipeline"
)

// input is a source document during its import: which values were read, what was
// found, and the notes.
type input struct {
	opts         Options
	readPaths    map[string]bool // paths that have been read
	wholePaths   map[string]bool // paths whose whole content was read
	leftOutPaths map[string]bool // paths that were left out with everything below them
	notes        []Note
	invented     map[string]bool // names of values that were made up, with a note each
	noted        map[Note]bool
	secrets      []*Secret
	carried      []Carried
	outputs      []Output
	files        map[string][]byte
	tmpl         *template // nil for documents without intrinsic functions
	// openParameters are template parameters without a value, by name: they become
	// parameters of the pipelines that use them.
	openParameters  map[string]bool
	askedParameters map[string]bool // template parameters that became a pipeline's
	projectsUsed    map[string]bool // CodeBuild projects by name, those that an action uses
	// originalPaths are the original places of values that were rewritten, by
	// their present place.
	originalPaths map[string]string
	// homeRegion is the original's region if the document names it, otherwise "".
	homeRegion string
	// comparing says that values are only compared, and do not reach the file.
	comparing bool
	// overridesUsed are the source overrides that matched a source.
	overridesUsed map[string]bool
}

func newInput(opts Options) *input {
	if opts.File == "" {
		opts.File = "document"
	}
	return &input{
		opts: opts, readPaths: map[string]bool{}, wholePaths: map[string]bool{}, leftOutPaths: map[string]bool{}, noted: map[Note]bool{}, invented: map[string]bool{}, originalPaths: map[string]string{}, projectsUsed: map[string]bool{}, askedParameters: map[string]bool{},
		files: map[string][]byte{}, openParameters: map[string]bool{}, overridesUsed: map[string]bool{},
	}
}

func (in *input) note(severity Severity, path, what, format string, args ...any) {
	n := Note{Path: path, What: what, Why: fmt.Sprintf(format, args...), Severity: severity}
	if !in.noted[n] {
		in.noted[n] = true
		in.notes = append(in.notes, n)
	}
}

// carryStage records where a stage came from.
func (in *input) carryStage(name string, s pipeline.Stage, what, path string) {
	in.carried = append(in.carried, Carried{Pipeline: name, To: "stages/" + s.Name, Stage: s.Name, Kind: s.Kind, What: what, Path: path})
}

// carryTrigger records the origin of the trigger that is added to q next.
func (in *input) carryTrigger(q pipeline.Pipeline, t pipeline.Trigger, what, path string) {
	kind := "push"
	switch {
	case t.Poll != nil:
		kind = "poll"
	case t.Schedule != nil:
		kind = "schedule"
	case t.Pipeline != nil:
		kind = "pipeline"
	case t.Webhook != nil:
		kind = "webhook"
	}
	in.carried = append(in.carried, Carried{Pipeline: q.Name, To: fmt.Sprintf("triggers/%d", len(q.Triggers)), Kind: kind + " trigger", What: what, Path: path})
}

// carryParameter records where a parameter came from.
func (in *input) carryParameter(of, name, what, path string) {
	in.carried = append(in.carried, Carried{Pipeline: of, To: "parameters/" + name, Kind: "parameter", What: what, Path: path})
}

// invent notes a value that the document does not contain, once for each name.
func (in *input) invent(path, name, value, advice string) {
	if !in.invented[name] && !in.comparing {
		in.invented[name] = true
		severity := Warning
		if name == "AWS::Partition" || name == "AWS::URLSuffix" { // at most this many have the same severity
			severity = Info
		}
		in.note(severity, path, name, "taken as %s: %s", value, advice)
	}
}

// note adds a note about an existing value.
func (c cursor) note(severity Severity, what, format string, args ...any) {
	if c.ok() {
		c.in.note(severity, c.path, what, format, args...)
	}
}
