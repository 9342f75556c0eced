package control

import (
	"context"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

const freezes = "freezes"

// Freeze holds deployments back. A stage that runs when a freeze begins ends;
// the next stage that changes a cloud waits until the freeze is over.
type Freeze struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	// Applications are globs of application names; empty is every one.
	Applications []string `json:"applications,omitempty"`
	// From and To bound it; a zero From is now, a zero To is until it is deleted.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Rollbacks says that rollbacks and repairs are held back too; otherwise they go on.
	Rollbacks bool `json:"rollbacks,omitempty"`
	// Exempt are pipelines ("application/pipeline", globs) that go on, for the reason given.
	Exempt       []string `json:"exempt,omitempty"`
	ExemptReason string   `json:"exemptReason,omitempty"`
	By           string   `json:"by,omitempty"`
}

var freezeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// until says when the freeze ends, where that is known.
func (f Freeze) until() string {
	if f.To.IsZero() {
		return ""
	}
	return " until " + f.To.UTC().Format(time.RFC3339)
}

// held says whether the freeze holds a pipeline back at a time.
func (f Freeze) held(application, pipelineName string, now time.Time) bool {
	if now.Before(f.From) || !f.To.IsZero() && !now.Before(f.To) {
		return false
	}
	for _, e := range f.Exempt {
		if ok, _ := path.Match(e, application+"/"+pipelineName); ok {
			return false
		}
	}
	return f.Concerns(application)
}

// Concerns says whether the freeze is about an application, at whatever time.
func (f Freeze) Concerns(application string) bool {
	if len(f.Applications) == 0 {
		return true
	}
	for _, a := range f.Applications {
		if ok, _ := path.Match(a, application); ok {
			return true
		}
	}
	return false
}

// plainName says that a glob has no wildcard: it is one application's name.
func plainName(glob string) bool { return !strings.ContainsAny(glob, `*?[\\`) }

// applicationsKnown refuses names, in applications and exempt, of applications that
// are not there: a misspelled freeze would hold nothing back.
func (s *Service) applicationsKnown(ctx context.Context, f Freeze) error {
	names, err := s.applicationNames(ctx)
	if err != nil {
		return err
	}
	asked := slices.Clone(f.Applications)
	for _, e := range f.Exempt {
		application, _, _ := strings.Cut(e, "/")
		asked = append(asked, application)
	}
	for _, name := range asked {
		if !plainName(name) || slices.Contains(names, name) {
			continue
		}
		help := "showrunner applications lists them; --force sets the freeze for an application that comes later"
		if meant := nearestApplication(name, names); meant != "" {
			help = "did you mean " + meant + "? " + help
		}
		return problem.New(problem.NotFound, opFreeze, "freeze %s names the application %q, which is not there", f.Name, name).WithHelp("%s", help)
	}
	return nil
}

func (f Freeze) check() error {
	switch {
	case !freezeName.MatchString(f.Name):
		return problem.New(problem.Invalid, opFreeze, "%q is no name for a freeze", f.Name).WithHelp("letters, digits, dots, hyphens and underscores, at most 63")
	case f.Reason == "":
		return problem.New(problem.Invalid, opFreeze, "freeze %s gives no reason", f.Name).WithHelp("say why: everybody who waits will read it")
	case len(f.Exempt) > 0 && f.ExemptReason == "":
		return problem.New(problem.Invalid, opFreeze, "freeze %s exempts pipelines without a reason", f.Name).WithHelp("give exemptReason")
	case !f.To.IsZero() && !f.To.After(f.From):
		return problem.New(problem.Invalid, opFreeze, "freeze %s ends at %s, before it begins at %s", f.Name, f.To.UTC().Format(time.RFC3339), f.From.UTC().Format(time.RFC3339)).
			WithHelp("both times count from now, such as --from 2h --to 3h")
	}
	for _, g := range append(append([]string{}, f.Applications...), f.Exempt...) {
		if _, err := path.Match(g, ""); err != nil {
			return problem.New(problem.Invalid, opFreeze, "%q is no glob", g)
		}
	}
	return nil
}

// PutFreeze creates or replaces a freeze. Unless it is forced, the applications that
// it names have to be there. Errors: invalid, not_found, denied.
func (s *Service) PutFreeze(ctx context.Context, p Principal, f Freeze, force bool) (Freeze, error) {
	f.By = p.Name
	err := s.commit(ctx, p, opFreeze, Subject{Kind: KindFreeze, Name: f.Name}, map[string]any{"reason": f.Reason}, func(done record.Event) error {
		if err := f.check(); err != nil {
			return err
		}
		if !force {
			if err := s.applicationsKnown(ctx, f); err != nil {
				return err
			}
		}
		return s.putFreeze(ctx, f, done)
	})
	return f, err
}

func (s *Service) putFreeze(ctx context.Context, f Freeze, done record.Event) error {
	data, err := json.Marshal(f)
	if err != nil {
		return problem.Wrap(err, problem.Internal, opFreeze, "encoding freeze %s", f.Name)
	}
	for {
		old, err := s.Records.GetRecord(ctx, freezes, f.Name)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
		_, err = s.Records.PutRecord(ctx, record.Record{Collection: freezes, Key: f.Name, Version: old.Version, Data: data}, done)
		if problem.CodeOf(err) == problem.Conflict && ctx.Err() == nil {
			continue
		}
		return err
	}
}

// Freezes lists every freeze by name.
func (s *Service) Freezes(ctx context.Context, p Principal) ([]Freeze, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindFreeze}); err != nil {
		return nil, err
	}
	return listFreezes(ctx, s.Records)
}

func listFreezes(ctx context.Context, records Records) ([]Freeze, error) {
	recs, err := records.ListRecords(ctx, freezes, "", "", 500)
	if err != nil {
		return nil, problem.Wrap(err, "", "freeze.list", "listing freezes")
	}
	list := []Freeze{}
	for _, r := range recs {
		var f Freeze
		if err := json.Unmarshal(r.Data, &f); err != nil {
			return nil, problem.Wrap(err, problem.Internal, "freeze.list", "the stored form of freeze %s cannot be read", r.Key)
		}
		list = append(list, f)
	}
	return list, nil
}

// DeleteFreeze ends a freeze. Errors: not_found, denied.
func (s *Service) DeleteFreeze(ctx context.Context, p Principal, name string) error {
	return s.commit(ctx, p, opThaw, Subject{Kind: KindFreeze, Name: name}, nil, func(done record.Event) error {
		old, err := s.Records.GetRecord(ctx, freezes, name)
		if err != nil {
			return problem.Wrap(err, "", opThaw, "freeze %s", name)
		}
		return s.Records.DeleteRecord(ctx, freezes, name, old.Version, done)
	})
}
