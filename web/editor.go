package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"showrunner/api"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
)

// fileName is what findings call the text of the editor.
const fileName = "showrunner.yaml"

// mostText bounds the form of the editor, in bytes; the pipeline language refuses less.
const mostText = 4 << 20

// editorView is a pipeline file as text, with what the server says of it.
type editorView struct {
	Application string // empty: a new one
	Text        string
	Base        string
	Version     int64 // of the applied file that the text was made from; 0: of none
	Notice      string
	Checked     checkedFile
	Repository  *repositoryCompared
}

// checkedFile is what the server says of a text.
type checkedFile struct {
	Findings         pipeline.Diagnostics
	Errors, Warnings int
	Graphs           []pipelineGraph
	Diff             []diffLine // to the applied file
	New              bool       // no file of the application is applied
}

// pipelineGraph is one pipeline of the text as a graph; Many is in place of a graph that
// nobody could look over.
type pipelineGraph struct {
	Name  string
	Graph graph
	Many  int
}

// repositoryCompared is the file in the application's repository beside the text.
type repositoryCompared struct {
	control.RepositoryFile
	Diff    []diffLine // from the repository's file to the text
	Unknown string
}

// diffLine is a line of a difference. Kind is "add", "remove", "same" or "at", which says
// where a part begins.
type diffLine struct{ Kind, Sign, Text string }

// diffLines is how a text became another one, with three lines around each change; empty
// where they are the same.
func diffLines(before, after string) []diffLine {
	unified, err := udiff.ToUnified("a", "b", before, udiff.Lines(before, after), 3)
	if err != nil {
		return []diffLine{{Kind: "at", Text: err.Error()}}
	}
	_, parts, differ := strings.Cut(unified, "\n@@") // the two names stand before
	if !differ {
		return nil
	}
	return patchLines("@@" + parts)
}

// check has the server look at a text.
func (p *Pages) check(r *http.Request, v *editorView, applied *control.Application) {
	doc, found := p.Control.Check(r.Context(), control.File{Name: fileName, Source: []byte(v.Text), Base: v.Base})
	c := checkedFile{Findings: found, Errors: found.Count(pipeline.SeverityError), Warnings: found.Count(pipeline.SeverityWarning), New: applied == nil}
	if doc != nil && c.Errors == 0 && v.Application != "" && doc.Application != v.Application {
		c.Findings = append(c.Findings, pipeline.Diagnostic{Severity: pipeline.SeverityError, Code: pipeline.CodeName, File: fileName, Position: pipeline.Position{Line: 1, Column: 1}, Length: 1,
			Message: fmt.Sprintf("this is the file of %s, and names the application %s", v.Application, doc.Application), Help: "a file for another application is handed over at /apply"})
		c.Errors++
	}
	if doc != nil {
		for _, pl := range doc.Pipelines {
			if n := len(pl.Stages); n > manyStages {
				c.Graphs = append(c.Graphs, pipelineGraph{Name: pl.Name, Many: n})
			} else {
				c.Graphs = append(c.Graphs, pipelineGraph{Name: pl.Name, Graph: previewGraph(pl)})
			}
		}
	}
	if applied != nil {
		c.Diff = diffLines(applied.Source, v.Text)
	}
	v.Checked = c
}

// previewGraph draws a pipeline that does not run: its stages lead nowhere.
func previewGraph(pl pipeline.Pipeline) graph {
	g := graphOf(execution.Execution{Definition: &pl})
	for i := range g.Nodes {
		n := &g.Nodes[i]
		n.Href, n.Title = "", shorten(pl.Stages[i].Name, 20)
		n.Label = n.Title + " " + n.Note
	}
	return g
}

// applied is the applied file of an application, nil where there is none.
func (p *Pages) applied(r *http.Request, name string) (*control.Application, error) {
	if name == "" {
		return nil, nil
	}
	a, err := p.Control.Application(r.Context(), api.PrincipalOf(r), name)
	if problem.CodeOf(err) == problem.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// newFile is what an editor without an application begins with.
const newFile = `application: my-app
pipelines:
  release:
    stages:
      source:
        git: { url: https://git.example/my-app.git, branch: main }
      check:
        needs: [source]
        run: { commands: ["make test"] }
`

// editor shows an application's file to be changed; with ?compare=repository beside the
// one in its repository.
func (p *Pages) editor(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("app")
	v := editorView{Application: name, Text: newFile}
	var applied *control.Application
	if name != "" {
		a, err := p.Control.Application(r.Context(), api.PrincipalOf(r), name)
		if err != nil {
			return err
		}
		applied, v.Text, v.Base, v.Version = &a, a.Source, a.Base, a.Version
	}
	p.check(r, &v, applied)
	if r.URL.Query().Get("compare") == "repository" {
		v.Repository = p.compareRepository(r, name, v.Text)
	}
	return p.showEditor(w, r, http.StatusOK, v)
}

// compareRepository fetches the repository's file. Why it cannot be had is part of the page.
func (p *Pages) compareRepository(r *http.Request, name, text string) *repositoryCompared {
	f, err := p.Control.RepositoryFile(r.Context(), api.PrincipalOf(r), name)
	if err != nil {
		return &repositoryCompared{Unknown: problem.Text(err)}
	}
	return &repositoryCompared{RepositoryFile: f, Diff: diffLines(f.Text, text)}
}

func (p *Pages) showEditor(w http.ResponseWriter, r *http.Request, status int, v editorView) error {
	title := "A new pipeline file"
	if v.Application != "" {
		title = "The pipeline file of " + v.Application
	}
	return p.showStatus(w, r, status, "editor", view{Title: title, Nav: "applications", Same: "showrunner apply -f " + fileName, Data: v})
}

// edited is the form of the editor.
func (p *Pages) edited(w http.ResponseWriter, r *http.Request) (editorView, *control.Application, error) {
	r.Body = http.MaxBytesReader(w, r.Body, mostText)
	if err := r.ParseForm(); err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return editorView{}, nil, problem.New(problem.Invalid, "page", "the text is larger than %d MiB", mostText>>20)
		}
		return editorView{}, nil, problem.Wrap(err, problem.Invalid, "page", "reading the form")
	}
	version, err := strconv.ParseInt(cmp.Or(r.PostFormValue("version"), "0"), 10, 64)
	if err != nil || version < 0 {
		return editorView{}, nil, problem.New(problem.Invalid, "page", "%q is not a version", r.PostFormValue("version"))
	}
	// A browser sends the lines of a text with carriage returns.
	v := editorView{Application: r.PathValue("app"), Version: version, Text: strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n")}
	applied, err := p.applied(r, v.Application)
	if applied != nil {
		v.Base = applied.Base
	}
	return v, applied, err
}

// checkFile says what the server thinks of a text, and changes nothing.
func (p *Pages) checkFile(w http.ResponseWriter, r *http.Request) error {
	v, applied, err := p.edited(w, r)
	if err != nil {
		return err
	}
	p.check(r, &v, applied)
	return p.showEditor(w, r, http.StatusOK, v)
}

// applyFile hands the text over. What speaks against it is said beside the text, which
// nobody has to type again.
func (p *Pages) applyFile(w http.ResponseWriter, r *http.Request) error {
	v, applied, err := p.edited(w, r)
	if err != nil {
		return err
	}
	p.check(r, &v, applied)
	if v.Checked.Errors > 0 {
		v.Notice = "Nothing was applied: the text has errors."
		return p.showEditor(w, r, http.StatusBadRequest, v)
	}
	if v.Application == "" {
		doc, _ := p.Control.Check(r.Context(), control.File{Name: fileName, Source: []byte(v.Text)})
		if applied, err = p.applied(r, doc.Application); err != nil {
			return err
		}
		if applied != nil && applied.Version != v.Version {
			v.Version, v.Checked.Diff, v.Checked.New = applied.Version, diffLines(applied.Source, v.Text), false
			v.Notice = fmt.Sprintf("Nothing was applied: the application %s is there already. Below is what the text would change; apply it again to replace the file.", applied.Name)
			return p.showEditor(w, r, http.StatusConflict, v)
		}
	}
	done, err := p.Control.Apply(r.Context(), api.PrincipalOf(r), control.File{Name: fileName, Source: []byte(v.Text), Base: v.Base}, v.Version)
	var refused *control.Refused
	switch {
	case errors.As(err, &refused):
		v.Notice = "Nothing was applied: the text has errors."
		return p.showEditor(w, r, http.StatusBadRequest, v)
	case problem.CodeOf(err) == problem.Conflict:
		return p.changedMeanwhile(w, r, v, err)
	case err != nil:
		return err
	}
	return seeOther(w, r, "/applications/"+url.PathEscape(done.Application)+"?applied="+strconv.FormatInt(done.Version, 10))
}

// changedMeanwhile shows the text against what somebody else has applied.
func (p *Pages) changedMeanwhile(w http.ResponseWriter, r *http.Request, v editorView, conflict error) error {
	applied, err := p.applied(r, v.Application)
	if err != nil {
		return err
	}
	if applied == nil {
		return conflict
	}
	p.check(r, &v, applied)
	v.Notice = fmt.Sprintf("Nothing was applied: %s has applied version %d meanwhile. Below is what your text would change of it; apply again to replace it.", cmp.Or(applied.By, "somebody"), applied.Version)
	v.Version = applied.Version
	return p.showEditor(w, r, http.StatusConflict, v)
}
