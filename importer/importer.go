package importer

import (
	"maps"
	"slices"
	"sort"

	"showrunner/build/buildspec"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Options refine an import. The zero value is usable.
type Options struct {
	// File is the source document's name, for messages and the header.
	File string
	// Application names the application; default: from the stack or the pipeline.
	Application string
	// Parameters are values for the template's parameters, by name. A pseudo
	// parameter ("AWS::Region") may be given too.
	Parameters map[string]string
	// SourceOverrides put another Git URL in the place of a source, by the
	// action's name, its stage's name or "owner/repo". Its credentials go.
	SourceOverrides map[string]string
	// Projects are CodeBuild projects as `aws codebuild batch-get-projects`
	// prints them, by project name, for documents that do not hold them.
	Projects map[string][]byte
}

// Result is an imported document.
type Result struct {
	Document *pipeline.Document `json:"document"`
	// YAML is the pipeline file, with a header that says what was not carried over.
	YAML []byte `json:"-"`
	// Files are further files by slash-separated path: copies of the inline buildspecs.
	Files map[string][]byte `json:"-"`
	// Outputs are the template's outputs with their local meaning.
	Outputs []Output `json:"outputs"`
	// Secrets are what has to be set before a run.
	Secrets []Secret `json:"secrets"`
	// Carried says which stage came from where.
	Carried []Carried `json:"carried"`
	// NotCarried lists everything that has no equivalent, by path.
	NotCarried []Note `json:"notCarried"`
}

// Output is one output of a template.
type Output struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Value is what the output means here; empty when it means nothing.
	Value string `json:"value,omitempty"`
	// Site is the website that Value is the address of.
	Site string `json:"site,omitempty"`
	Path string `json:"path"`
}

// Secret is a value that the source document refers to without holding it.
type Secret struct {
	Name   string   `json:"name"`   // as in ${{ secrets.NAME }}
	Source string   `json:"source"` // what it is in the other system
	Paths  []string `json:"paths"`  // where it is used
}

// Carried is one stage and its origin.
type Carried struct {
	Pipeline string `json:"pipeline"`
	Stage    string `json:"stage"`
	Kind     string `json:"kind"`
	What     string `json:"what"`
	Path     string `json:"path"`
}

// Severity says how much a note matters.
type Severity string

const (
	// Error: the imported pipeline does less than the original did.
	Error Severity = "error"
	// Warning: it may behave differently.
	Warning Severity = "warning"
	// Info: it has no meaning here, and nothing is lost.
	Info Severity = "info"
)

// Note is one thing that was not carried over as it was.
type Note struct {
	Path     string   `json:"path"` // JSON pointer in the source document
	What     string   `json:"what"`
	Why      string   `json:"why"`
	Severity Severity `json:"severity"`
}

// Errors counts the notes of severity Error.
func (r Result) Errors() int {
	n := 0
	for _, note := range r.NotCarried {
		if note.Severity == Error {
			n++
		}
	}
	return n
}

// finish writes the YAML and puts everything into a stable order.
func finish(in *input, doc *pipeline.Document, kind string) (Result, error) {
	for _, name := range slices.Sorted(maps.Keys(in.opts.SourceOverrides)) {
		if !in.overrode[name] {
			in.note(Warning, "", "--source-override "+name, "no source has that action, stage or owner/repo")
		}
	}
	r := Result{Document: doc, Files: in.files, Outputs: in.outputs, Carried: in.carried}
	for _, s := range in.secrets {
		sort.Strings(s.Paths)
		r.Secrets = append(r.Secrets, *s)
	}
	sort.Slice(r.Secrets, func(i, j int) bool { return r.Secrets[i].Name < r.Secrets[j].Name })
	body, err := pipeline.Format(doc)
	if err != nil {
		return Result{}, problem.Wrap(err, problem.Internal, "import", "write the pipeline file")
	}
	// The file is checked as everybody's is: what the original allowed and the
	// language refuses (a name, an address) has to be mended by hand.
	_, found := pipeline.Parse("showrunner.yaml", body, buildspec.Check)
	for _, d := range found {
		severity := Warning
		if d.Severity == pipeline.SeverityError {
			severity = Error
		}
		in.note(severity, "", "the file that was written", "%s", d.Message)
	}
	r.NotCarried = in.notes
	rank := map[Severity]int{Error: 0, Warning: 1, Info: 2}
	sort.SliceStable(r.NotCarried, func(i, j int) bool {
		return rank[r.NotCarried[i].Severity] < rank[r.NotCarried[j].Severity]
	})
	r.YAML = append(header(in, r, kind), body...)
	return r, nil
}
