package codepipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/wire"
	"showrunner/importer"
	"showrunner/pipeline"
	"showrunner/problem"
)

type object = map[string]any

// document is what is kept of one pipeline.
type document struct {
	Name        string    `json:"name"`
	Region      string    `json:"region"`
	Application string    `json:"application"` // of ours
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	Version     int64     `json:"version"`
	Structure   object    `json:"structure"` // without credentials
	// Tokens are the names of the secrets that hold actions' credentials, by action.
	Tokens map[string]string `json:"tokens,omitempty"`
	Tags   []tag             `json:"tags,omitempty"`
	// Disabled are the transitions into stages that are disabled, by stage.
	Disabled map[string]transition `json:"disabled,omitempty"`
	// Applied is the digest of the pipeline file that was applied last; a file that a
	// person has put in its place stays until the pipeline is updated.
	Applied string `json:"applied,omitempty"`
	// Pending is what is not done yet: one of the values below, or "".
	Pending string `json:"pending,omitempty"`
}

// What a document waits for. A restart carries it on.
const (
	pendingCreate = "create" // apply the file, then start the first execution
	pendingUpdate = "update" // apply the file, whatever is there
	pendingDelete = "delete" // delete the application, then the document
)

type transition struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	// Entries are the stages of ours with which the stage begins.
	Entries []string `json:"entries"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (d document) key() string { return d.Region + "/" + d.Name }

// description says on our side what the pipeline is. Executions tell their version by it.
func (d document) description() string {
	return fmt.Sprintf("Version %d of the pipeline %s of CodePipeline in %s", d.Version, d.Name, d.Region)
}

// versionOf is the version in a description; 1 for others.
func versionOf(description string) int64 {
	var n int64
	if _, err := fmt.Sscanf(description, "Version %d of the pipeline ", &n); err != nil || n < 1 {
		return 1
	}
	return n
}

// place is the stage and the action that a stage of ours is. A pipeline file that
// a person wrote has a stage with one action for each of its stages.
func place(st pipeline.Stage) (stageName, action string) {
	if action, stageName, ok := importer.DescribedAction(st.Description); ok {
		return stageName, action
	}
	return st.Name, st.Name
}

// target is a pipeline as it is asked for: of a document, or of an application that
// a person has applied.
type target struct {
	name     string
	app      string
	pipeline string
	doc      *document // nil: of an application
	// definition is the pipeline of ours as it is now.
	definition pipeline.Pipeline
	updated    time.Time
	version    int64
}

func notFound(name string) error {
	return wire.Errorf("PipelineNotFoundException", "Account '000000000000' does not have a pipeline with name '%s'", name)
}

// find is a pipeline by its name. Errors: PipelineNotFoundException.
func (s *Service) find(ctx context.Context, c *wire.Call, name string) (target, error) {
	d, err := s.docs.Get(ctx, c.Region+"/"+name)
	switch {
	case err == nil && d.Pending == pendingDelete:
		return target{}, notFound(name)
	case err == nil:
		t := target{name: name, app: d.Application, doc: &d, updated: d.Updated, version: d.Version}
		app, err := s.Control.Application(ctx, s.Principal, d.Application)
		if problem.CodeOf(err) == problem.NotFound { // deleted on our side, or not applied yet
			t.pipeline = d.Name
			return t, nil
		}
		if err != nil {
			return target{}, err
		}
		t.definition = app.Pipelines[0]
		t.pipeline = t.definition.Name
		return t, nil
	case problem.CodeOf(err) != problem.NotFound:
		return target{}, err
	}
	pipelineName, appName, ok := strings.Cut(name, "@")
	if !ok {
		return target{}, notFound(name)
	}
	app, err := s.Control.Application(ctx, s.Principal, appName)
	if problem.CodeOf(err) == problem.NotFound {
		return target{}, notFound(name)
	}
	if err != nil {
		return target{}, err
	}
	p, err := app.Pipeline(pipelineName)
	if err != nil {
		return target{}, notFound(name)
	}
	return target{name: name, app: app.Name, pipeline: p.Name, definition: p, updated: app.Updated, version: app.Version}, nil
}

// structure is the pipeline as CodePipeline has it.
func (t target) structure() object {
	if t.doc != nil {
		return t.doc.Structure
	}
	return told(t)
}

// stages are the names of the stages in their order.
func (t target) stages() []string {
	var names []string
	for _, st := range delivery.Objects(t.structure()["stages"]) {
		names = append(names, delivery.Text(st["name"]))
	}
	return names
}

// entries are our stages with which a stage begins: none of those that they need is
// of the same stage.
func entries(p pipeline.Pipeline, stageName string) []string {
	of := map[string]string{}
	for _, st := range p.Stages {
		of[st.Name], _ = place(st)
	}
	var list []string
	for _, st := range p.Stages {
		if of[st.Name] == stageName && !slices.ContainsFunc(st.Needs, func(n string) bool { return of[n] == stageName }) {
			list = append(list, st.Name)
		}
	}
	return list
}

// others are the pipelines of applications that no document has made.
func (s *Service) others(ctx context.Context) ([]target, error) {
	apps, err := s.Control.Applications(ctx, s.Principal)
	if err != nil {
		return nil, err
	}
	docs, err := s.docs.List(ctx, "")
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	for _, e := range docs {
		ours[e.Doc.Application] = true
	}
	var list []target
	for _, app := range apps {
		if ours[app.Name] {
			continue
		}
		for _, p := range app.Pipelines {
			list = append(list, target{name: p.Name + "@" + app.Name, app: app.Name, pipeline: p.Name, definition: p, updated: app.Updated, version: app.Version})
		}
	}
	return list, nil
}

// InRegion lists the applications and pipelines that a region's documents have made.
func (s *Service) InRegion(ctx context.Context, region string) ([][2]string, error) {
	docs, err := s.docs.List(ctx, region+"/")
	if err != nil {
		return nil, err
	}
	var list [][2]string
	for _, e := range docs {
		list = append(list, [2]string{e.Doc.Application, ""})
	}
	return list, nil
}
