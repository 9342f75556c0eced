package codebuild

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/wire"
	"showrunner/execution"
	"showrunner/internal/execid"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// found is a build: an attempt at a build stage of an execution.
type found struct {
	e       execution.Execution
	state   execution.StageState // of the stage
	attempt int
	project string
	id      string
}

func (b found) key() stage.Key {
	return stage.Key{Execution: b.e.ID, Stage: b.state.Name, Attempt: b.attempt, Task: "execute"}
}

// alone says whether the execution is this build and nothing else.
func (b found) alone() bool { return b.e.Application == Application }

// over says whether the build has ended.
func (b found) over() bool {
	if b.attempt < b.state.Attempt {
		return true
	}
	if b.alone() {
		return b.e.Status.Complete()
	}
	return b.state.Status.Complete() || b.e.Status.Complete()
}

// builds are the builds of an execution, the newest last.
func (s *Service) builds(e execution.Execution) []found {
	var list []found
	if e.Definition == nil {
		return nil
	}
	marks := delivery.Marks(e.Definition.Stages)
	for i, def := range e.Definition.Stages {
		var with pipeline.Build
		if def.Kind != "build" || json.Unmarshal(def.With, &with) != nil || with.Project == "" {
			continue
		}
		st, ok := e.Stage(def.Name)
		if !ok {
			st = execution.StageState{Name: def.Name, Kind: def.Kind, Status: execution.NotStarted}
		}
		last := st.Attempt
		if e.Application == Application {
			last = max(last, 1) // it counts from its start on
		}
		for attempt := 1; attempt <= last; attempt++ {
			b := found{e: e, state: st, attempt: attempt, project: with.Project}
			b.id = s.Builds.ID(with.Project, b.key(), marks[i])
			list = append(list, b)
		}
	}
	return list
}

func noBuild(id string) error {
	return wire.Errorf("ResourceNotFoundException", "Build does not exist: %s", id)
}

// identifier is a build's identifier, of itself or of its ARN.
func identifier(id string) string {
	if _, rest, ok := strings.Cut(id, ":build/"); ok && strings.HasPrefix(id, "arn:") {
		return rest
	}
	return id
}

// find is the build of an identifier. Its execution can be read from it.
func (s *Service) find(ctx context.Context, c *wire.Call, id string) (found, error) {
	id = identifier(id)
	_, uuid, ok := strings.Cut(id, ":")
	if !ok {
		return found{}, invalid("Invalid build ID: %s", id)
	}
	execID, _, ok := execid.ParseUUID(uuid)
	if !ok {
		return found{}, noBuild(id)
	}
	e, err := s.Control.Execution(ctx, s.Principal, execID)
	if problem.CodeOf(err) == problem.NotFound {
		return found{}, noBuild(id)
	}
	if err != nil {
		return found{}, err
	}
	for _, b := range s.builds(e) {
		if b.id == id && b.in(c.Region) {
			return b, nil
		}
	}
	return found{}, noBuild(id)
}

// in says whether the build may be of a region: one that is alone says which.
func (b found) in(region string) bool { return !b.alone() || b.e.Trigger["region"] == region }

type idsInput struct{ Ids []string }

type buildsOutput struct {
	Builds         []any
	BuildsNotFound []string
}

func (s *Service) batchGetBuilds(ctx context.Context, c *wire.Call, in *idsInput) (*buildsOutput, error) {
	out := &buildsOutput{Builds: []any{}, BuildsNotFound: []string{}}
	for _, id := range in.Ids {
		b, err := s.find(ctx, c, id)
		switch code := wire.CodeOf(err); {
		case code == "ResourceNotFoundException":
			out.BuildsNotFound = append(out.BuildsNotFound, id)
		case err != nil:
			return nil, err
		default:
			out.Builds = append(out.Builds, s.told(ctx, c, b))
		}
	}
	return out, nil
}

type buildListInput struct{ ProjectName, SortOrder, NextToken string }

type allBuildsInput struct{ SortOrder, NextToken string }

type buildListOutput struct {
	Ids       []string
	NextToken string
}

func (s *Service) listBuilds(ctx context.Context, c *wire.Call, in *allBuildsInput) (*buildListOutput, error) {
	return s.listed(ctx, c, "", in.SortOrder, in.NextToken)
}

func (s *Service) listForProject(ctx context.Context, c *wire.Call, in *buildListInput) (*buildListOutput, error) {
	name := nameOf(in.ProjectName)
	if p, err := s.Project(ctx, c.Region, name); err != nil || p == nil {
		if err == nil {
			err = notFound(c, name)
		}
		return nil, err
	}
	return s.listed(ctx, c, name, in.SortOrder, in.NextToken)
}

// mostExecutions is how many executions of a pipeline are looked at for builds.
const mostExecutions = 500

// all are the builds of a project, or of all, the newest first.
func (s *Service) all(ctx context.Context, region, project string) ([]found, error) {
	pipelines := [][2]string{{Application, project}}
	if s.Pipelines != nil {
		more, err := s.Pipelines.InRegion(ctx, region)
		if err != nil {
			return nil, err
		}
		pipelines = append(pipelines, more...)
	}
	var all []found
	for _, p := range pipelines {
		page, err := s.Control.Executions(ctx, s.Principal, execution.Query{Application: p[0], Pipeline: p[1], Limit: mostExecutions})
		if err != nil {
			return nil, err
		}
		for _, one := range page.Executions {
			e, err := s.Control.Execution(ctx, s.Principal, one.ID)
			if problem.CodeOf(err) == problem.NotFound {
				continue // retention has removed it
			}
			if err != nil {
				return nil, err
			}
			for _, b := range s.builds(e) {
				if (project == "" || b.project == project) && b.in(region) {
					all = append(all, b)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return b.began().Compare(a.began()) })
	return all, nil
}

// listed are the identifiers of builds, the newest first unless asked otherwise.
func (s *Service) listed(ctx context.Context, c *wire.Call, project, order, token string) (*buildListOutput, error) {
	all, err := s.all(ctx, c.Region, project)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, b := range all {
		ids = append(ids, b.id)
	}
	if order == "ASCENDING" {
		slices.Reverse(ids)
	}
	page, next, err := page(ids, token)
	return &buildListOutput{page, next}, err
}

// began is when the build began, or its execution while it has not.
func (b found) began() time.Time {
	started := b.state.Started
	for _, h := range b.state.History {
		if h.Attempt == b.attempt {
			started = h.Started
		}
	}
	if started == nil || b.alone() && b.attempt == 1 {
		return b.e.Created
	}
	return *started
}
