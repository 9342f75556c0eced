package control

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

const applications = "applications"

// Application is a pipeline file as it was handed over last.
type Application struct {
	Name      string              `json:"name"`
	Version   int64               `json:"version"` // +1 with every change
	Updated   time.Time           `json:"updated"`
	By        string              `json:"by,omitempty"`
	Source    string              `json:"source,omitempty"` // the file's text; left out of lists
	Base      string              `json:"base,omitempty"`   // folder that relative repository paths of the file are relative to
	Chaos     *pipeline.Chaos     `json:"chaos,omitempty"`
	Pipelines []pipeline.Pipeline `json:"pipelines"`
}

// Pipeline finds a pipeline by its name.
func (a Application) Pipeline(name string) (pipeline.Pipeline, error) {
	var known []string
	for _, p := range a.Pipelines {
		if p.Name == name {
			return p, nil
		}
		known = append(known, p.Name)
	}
	help := "it has: " + join(known)
	if meant := pipeline.Nearest(name, known); meant != "" {
		help = "did you mean " + meant + "? " + help
	}
	return pipeline.Pipeline{}, problem.New(problem.NotFound, "pipeline", "application %s has no pipeline %q", a.Name, name).WithHelp("%s", help)
}

func join(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	var b bytes.Buffer
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(n)
	}
	return b.String()
}

// storedApplication is the record's form.
type storedApplication struct {
	Format int                `json:"format"` // 1
	By     string             `json:"by"`
	Source string             `json:"source"`
	Base   string             `json:"base,omitempty"`
	Doc    *pipeline.Document `json:"document"`
}

// Applied is the answer to Apply.
type Applied struct {
	Application string               `json:"application"`
	Version     int64                `json:"version"`
	Changed     bool                 `json:"changed"` // false: the same file was applied before
	Created     []string             `json:"created,omitempty"`
	Updated     []string             `json:"updated,omitempty"`
	Removed     []string             `json:"removed,omitempty"`
	Moved       []Moved              `json:"moved,omitempty"`       // git sources that are read from elsewhere now
	Replacing   []Replacing          `json:"replacing,omitempty"`   // commits whose file replaces this one with the next run
	Diagnostics pipeline.Diagnostics `json:"diagnostics,omitempty"` // warnings
}

// Refused is an error that carries diagnostics of the file.
type Refused struct {
	Problem     *problem.Error
	Diagnostics pipeline.Diagnostics
}

// Error implements error.
func (r *Refused) Error() string { return r.Problem.Error() }

// Unwrap lets problem.Of find the code.
func (r *Refused) Unwrap() error { return r.Problem }

// File is a pipeline file as it is handed over.
type File struct {
	Name   string // what findings call it
	Source []byte
	// Base is the folder that relative repository paths are relative to; empty refuses them.
	Base string
}

// Check finds every mistake of a pipeline file, also in the accounts and regions
// that it names, and in what it asks of their clouds.
func (s *Service) Check(ctx context.Context, f File) (*pipeline.Document, pipeline.Diagnostics) {
	var regions []RegionStatus
	if s.Accounts != nil {
		// Without an answer the language alone is checked: plans and stages ask again.
		regions, _ = s.regions(ctx)
	}
	around := Surroundings(regions)
	around.Repository = Repository(f.Base)
	return pipeline.ParseFor(around, f.Name, f.Source)
}

// Apply takes a pipeline file in. Handing over the same file again changes
// nothing. version, when not 0, must be the stored one. Errors: invalid
// (a *Refused with all diagnostics), conflict, denied.
func (s *Service) Apply(ctx context.Context, p Principal, f File, version int64) (Applied, error) {
	answer, err := s.apply(ctx, p, f, version)
	if err == nil {
		answer.Replacing = s.replacing(ctx, answer.Application)
	}
	return answer, err
}

// apply is Apply without a look at what will replace the file.
func (s *Service) apply(ctx context.Context, p Principal, f File, version int64) (Applied, error) {
	doc, diags := s.Check(ctx, f)
	if diags.HasErrors() {
		return Applied{}, &Refused{problem.New(problem.Invalid, opApply, "%s has errors", f.Name).WithHelp("showrunner validate %s", f.Name), diags}
	}
	if err := absoluteRepositories(doc, f.Base); err != nil {
		return Applied{}, err
	}
	var answer Applied
	err := s.commit(ctx, p, opApply, applicationSubject(doc.Application), nil, func(done record.Event) (err error) {
		answer, err = s.put(ctx, p, f, doc, version, done)
		return err
	})
	if err != nil {
		return Applied{}, err
	}
	answer.Diagnostics = diags
	return answer, nil
}

func applicationSubject(name string) Subject {
	return Subject{Kind: KindApplication, Name: name, Application: name}
}

// put keeps an application's file, unless the same file is there.
func (s *Service) put(ctx context.Context, p Principal, f File, doc *pipeline.Document, version int64, done record.Event) (Applied, error) {
	for {
		old, rec, err := s.application(ctx, doc.Application)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return Applied{}, err
		}
		if version != 0 && rec.Version != version {
			return Applied{}, problem.New(problem.Conflict, opApply, "application %s is at version %d, not %d", doc.Application, rec.Version, version).
				WithHelp("look at what changed, then apply again")
		}
		answer := difference(old.Doc, doc)
		answer.Application, answer.Version = doc.Application, rec.Version
		if rec.Version != 0 && old.Source == string(f.Source) && old.Base == f.Base {
			return answer, nil
		}
		data, err := json.Marshal(storedApplication{Format: 1, By: p.Name, Source: string(f.Source), Base: f.Base, Doc: doc})
		if err != nil {
			return Applied{}, problem.Wrap(err, problem.Internal, opApply, "encoding %s", doc.Application)
		}
		put, err := s.Records.PutRecord(ctx, record.Record{Collection: applications, Key: doc.Application, Version: rec.Version, Data: data},
			withDetails(done, map[string]any{"created": answer.Created, "updated": answer.Updated, "removed": answer.Removed}))
		if problem.CodeOf(err) == problem.Conflict && version == 0 && ctx.Err() == nil {
			continue // somebody applied at the same moment; compare with theirs
		}
		if err != nil {
			return Applied{}, problem.Wrap(err, "", opApply, "keeping application %s", doc.Application)
		}
		answer.Version, answer.Changed = put.Version, true
		return answer, nil
	}
}

// difference names the pipelines that came, changed and went.
func difference(old, doc *pipeline.Document) Applied {
	var a Applied
	before := map[string][]byte{}
	if old != nil {
		for _, p := range old.Pipelines {
			raw, _ := json.Marshal(p) // it came out of the same encoding
			before[p.Name] = raw
		}
	}
	for _, p := range doc.Pipelines {
		raw, _ := json.Marshal(p)
		was, ok := before[p.Name]
		switch {
		case !ok:
			a.Created = append(a.Created, p.Name)
		case !bytes.Equal(was, raw):
			a.Updated = append(a.Updated, p.Name)
			i := slices.IndexFunc(old.Pipelines, func(x pipeline.Pipeline) bool { return x.Name == p.Name })
			a.Moved = append(a.Moved, moved(old.Pipelines[i], p)...)
		}
		delete(before, p.Name)
	}
	for name := range before {
		a.Removed = append(a.Removed, name)
	}
	slices.Sort(a.Removed)
	return a
}

func (s *Service) application(ctx context.Context, name string) (storedApplication, record.Record, error) {
	rec, err := s.Records.GetRecord(ctx, applications, name)
	if problem.CodeOf(err) == problem.NotFound {
		return storedApplication{}, record.Record{}, s.noApplication(ctx, name)
	}
	if err != nil {
		return storedApplication{}, record.Record{}, problem.Wrap(err, "", "application", "reading application %s", name)
	}
	var stored storedApplication
	if err := json.Unmarshal(rec.Data, &stored); err != nil || stored.Doc == nil {
		return storedApplication{}, record.Record{}, problem.Wrap(err, problem.Internal, "application", "the stored form of application %s cannot be read", name).
			WithHelp("apply its file again")
	}
	return stored, rec, nil
}

func view(stored storedApplication, rec record.Record) Application {
	return Application{Name: rec.Key, Version: rec.Version, Updated: rec.Updated, By: stored.By, Source: stored.Source, Base: stored.Base, Chaos: stored.Doc.Chaos, Pipelines: stored.Doc.Pipelines}
}

// Application returns one application. Errors: not_found.
func (s *Service) Application(ctx context.Context, p Principal, name string) (Application, error) {
	if err := s.permit(p, opRead, applicationSubject(name)); err != nil {
		return Application{}, err
	}
	stored, rec, err := s.application(ctx, name)
	if err != nil {
		return Application{}, err
	}
	return view(stored, rec), nil
}

// Applications lists every application by name, without their files' text.
func (s *Service) Applications(ctx context.Context, p Principal) ([]Application, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindApplication}); err != nil {
		return nil, err
	}
	list := []Application{}
	const page = 200
	for after := ""; ; {
		recs, err := s.Records.ListRecords(ctx, applications, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "application.list", "listing applications")
		}
		for _, rec := range recs {
			after = rec.Key
			var stored storedApplication
			if err := json.Unmarshal(rec.Data, &stored); err != nil || stored.Doc == nil {
				s.Log.Error("stored application cannot be read", "application", rec.Key, "error", err)
				continue
			}
			a := view(stored, rec)
			a.Source = ""
			list = append(list, a)
		}
		if len(recs) < page {
			return list, nil
		}
	}
}

// Documents are the applications' pipeline files; triggers look at them.
func (s *Service) Documents(ctx context.Context) ([]pipeline.Document, error) {
	apps, err := s.Applications(ctx, internal)
	if err != nil {
		return nil, err
	}
	docs := make([]pipeline.Document, 0, len(apps))
	for _, a := range apps {
		docs = append(docs, pipeline.Document{Application: a.Name, Chaos: a.Chaos, Pipelines: a.Pipelines})
	}
	return docs, nil
}

// DeleteApplication forgets an application's pipelines. Its executions and what
// they deployed stay. Errors: not_found, conflict, denied.
func (s *Service) DeleteApplication(ctx context.Context, p Principal, name string) error {
	return s.commit(ctx, p, opDelete, applicationSubject(name), nil, func(done record.Event) error {
		_, rec, err := s.application(ctx, name)
		if err != nil {
			return err
		}
		if err := s.Records.DeleteRecord(ctx, applications, name, rec.Version, done); err != nil {
			return problem.Wrap(err, "", opDelete, "deleting application %s", name)
		}
		return nil
	})
}
