package importer

import (
	"maps"
	"slices"
	"sort"

	"showrunner/pipeline"
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
	// SourceOverrides replace the Git URL of a source, by the action's name, its
	// stage's name or "owner/repo". The source's credentials are dropped.
	SourceOverrides map[string]string
	// Projects are CodeBuild projects in the form that `aws codebuild
	// batch-get-projects` prints, by project name, for documents that do not
	// contain them.
	Projects map[string][]byte
	// Here says that what the document names is of this machine's AWS-compatible
	// endpoint: names stay as they are, buckets are those of the regions, and their
	// settings decide what visitors see. Each stage's description says which action it is.
	Here bool
	// Description is the pipeline's, of a document that has none.
	Description string
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
	// Secrets are the secrets that have to be set before a run.
	Secrets []Secret `json:"secrets"`
	// Carried lists the origin of each stage, trigger and parameter.
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
	// Site is the website whose address is Value; empty when Value is no such
	// address.
	Site string `json:"site,omitempty"`
	Path string `json:"path"`
}

// Secret is a secret value that the source document refers to but does not
// contain.
type Secret struct {
	Name   string   `json:"name"`   // as in ${{ secrets.NAME }}
	Source string   `json:"source"` // its name in the other system
	Paths  []string `json:"paths"`  // where it is used
}

// Carried is one part of the file and its origin.
type Carried struct {
	Pipeline string `json:"pipeline"`
	To       string `json:"to"`              // the part of the pipeline: stages/NAME, parameters/NAME or triggers/N
	Stage    string `json:"stage,omitempty"` // the stage's name, when the part is one
	Kind     string `json:"kind"`            // of the stage or trigger, or "parameter"
	What     string `json:"what"`            // its name in the source document
	Path     string `json:"path"`            // its place in the source document
}

// Severity says how much a note matters.
type Severity string

const (
	// Error: the imported pipeline does less than the original.
	Error Severity = "error"
	// Warning: the imported pipeline may behave differently.
	Warning Severity = "warning"
	// Info: the part has no meaning here, and nothing is lost.
	Info Severity = "info"
)

// Note describes one part that was not carried over unchanged.
type Note struct {
	Path     string   `json:"path"` // JSON pointer in the source document
	What     string   `json:"what"`
	Why      string   `json:"why"`
	Severity Severity `json:"severity"`
	// All says that the note also covers everything below the path.
	All bool `json:"all,omitempty"`
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
		if !in.overridesUsed[name] {
			in.note(Warning, "", "--source-override "+name, "no source has that action, stage or owner/repo")
		}
	}
	body, err := writeValid(in, doc)
	if err != nil {
		return Result{}, err
	}
	r := Result{
		Document: doc, Files: in.files, Outputs: append([]Output{}, in.outputs...), Carried: append([]Carried{}, in.carried...),
		Secrets: []Secret{}, NotCarried: append([]Note{}, in.notes...),
	}
	for _, s := range in.secrets {
		sort.Strings(s.Paths)
		r.Secrets = append(r.Secrets, *s)
	}
	sort.Slice(r.Secrets, func(i, j int) bool { return r.Secrets[i].Name < r.Secrets[j].Name })
	for i, n := range r.NotCarried {
		r.NotCarried[i].All = in.leftOutPaths[n.Path]
		r.NotCarried[i].Path = in.original(n.Path)
	}
	for i := range r.Carried {
		r.Carried[i].Path = in.original(r.Carried[i].Path)
	}
	for i := range r.Secrets {
		for j, path := range r.Secrets[i].Paths {
			r.Secrets[i].Paths[j] = in.original(path)
		}
	}
	rank := map[Severity]int{Error: 0, Warning: 1, Info: 2}
	sort.SliceStable(r.NotCarried, func(i, j int) bool {
		return rank[r.NotCarried[i].Severity] < rank[r.NotCarried[j].Severity]
	})
	r.YAML = append(header(in, r, kind), body...)
	return r, nil
}
