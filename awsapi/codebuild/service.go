package codebuild

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/stage"
)

// Control is what builds need of the control plane.
type Control interface {
	Start(ctx context.Context, p control.Principal, r execution.StartRequest) (execution.Execution, bool, error)
	Execution(ctx context.Context, p control.Principal, id string) (execution.Execution, error)
	Executions(ctx context.Context, p control.Principal, q execution.Query) (execution.Page, error)
	Cancel(ctx context.Context, p control.Principal, id, reason string) error
	StageLog(ctx context.Context, p control.Principal, r control.LogRequest, w io.Writer) error
}

// Builds knows the builds of the build stages.
type Builds interface {
	// ID is the identifier of the build of a project that an attempt at a stage starts.
	// mark is the stage's, of execid.Marks.
	ID(project string, k stage.Key, mark uint32) string
	// State is how far that build is, as far as this host knows. Errors: not_found.
	State(ctx context.Context, k stage.Key) (State, error)
}

// State is a build that is under way or has ended.
type State struct {
	Status string // IN_PROGRESS, SUCCEEDED, …
	Phases []Phase
}

// Phase is one phase of a build.
type Phase struct {
	Type, Status, Message string
	Started, Ended        time.Time
}

// Pipelines lists the pipelines of ours, as application and name, that a region's
// CodePipeline has.
type Pipelines interface {
	InRegion(ctx context.Context, region string) ([][2]string, error)
}

// Config is what the service needs.
type Config struct {
	Records   state.Records
	Control   Control
	Principal control.Principal
	Builds    Builds
	Renderer  delivery.Renderer // whose Projects is not used
	Pipelines Pipelines
	// Changed is told of a project that was made, changed or deleted.
	Changed func(ctx context.Context, region, name string)
	Logs    Logs   // nil: builds have no log events
	URL     string // of the pages
	Now     func() time.Time
}

// Projects is the build projects of all regions.
type Projects struct{ docs state.Collection[document] }

// NewProjects is the projects that are kept in the records.
func NewProjects(records state.Records) Projects {
	return Projects{state.New[document](records, "aws.codebuild")}
}

// Project implements delivery.Projects.
func (p Projects) Project(ctx context.Context, region, name string) (delivery.Object, error) {
	d, err := p.docs.Get(ctx, region+"/"+nameOf(name))
	if problem.CodeOf(err) == problem.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return members(d.Settings), nil
}

// nameOf is the name of a project that is given by its name or its ARN.
func nameOf(id string) string {
	if _, name, ok := strings.Cut(id, ":project/"); ok && strings.HasPrefix(id, "arn:") {
		return name
	}
	return id
}

// Service is the projects and builds of all regions.
type Service struct {
	Config
	Projects
	started state.Collection[startedBuild]
	copied  state.Collection[copiedLog]
	filling sync.Mutex
}

// New makes the service.
func New(c Config) *Service {
	s := &Service{Config: c, Projects: NewProjects(c.Records), started: state.New[startedBuild](c.Records, "aws.codebuild.build"), copied: state.New[copiedLog](c.Records, "aws.codebuild.log")}
	s.Renderer.Projects = s.Projects
	return s
}

// Service is the operations of codebuild that are served.
func (s *Service) Service() wire.Service {
	return wire.Service{Name: "codebuild", Invalid: "InvalidInputException", Operations: map[string]wire.Handler{
		"CreateProject":          wire.Handle(s.create),
		"UpdateProject":          wire.Handle(s.update),
		"DeleteProject":          wire.Handle(s.delete),
		"BatchGetProjects":       wire.Handle(s.batchGet),
		"ListProjects":           wire.Handle(s.list),
		"InvalidateProjectCache": wire.Handle(s.invalidateCache),
		"StartBuild":             wire.Handle(s.start),
		"RetryBuild":             wire.Handle(s.retry),
		"StopBuild":              wire.Handle(s.stop),
		"BatchGetBuilds":         wire.Handle(s.batchGetBuilds),
		"ListBuilds":             wire.Handle(s.listBuilds),
		"ListBuildsForProject":   wire.Handle(s.listForProject),
		// None of these can be made here.
		"ListSourceCredentials":        wire.Always(wire.Object{"sourceCredentialsInfos": []any{}}),
		"ListReportGroups":             wire.Always(wire.Object{"reportGroups": []any{}}),
		"ListReports":                  wire.Always(wire.Object{"reports": []any{}}),
		"ListSharedProjects":           wire.Always(wire.Object{"projects": []any{}}),
		"ListFleets":                   wire.Always(wire.Object{"fleets": []any{}}),
		"ListBuildBatches":             wire.Always(wire.Object{"ids": []any{}}),
		"ListCuratedEnvironmentImages": wire.Always(curatedImages()),
	}}
}

func (s *Service) changed(ctx context.Context, c *wire.Call, name string) {
	if s.Changed != nil {
		s.Changed(ctx, c.Region, name)
	}
}

func notFound(c *wire.Call, name string) error {
	return wire.Errorf("ResourceNotFoundException", "Project cannot be found: %s", projectARN(c.Region, c.Account, name))
}

type projectOutput struct{ Project any }

func (s *Service) create(ctx context.Context, c *wire.Call, in *settings) (*projectOutput, error) {
	in.fill(c)
	if err := in.check(); err != nil {
		return nil, err
	}
	now := s.Now().UTC()
	d := document{Settings: *in, Created: now, Modified: now}
	err := s.docs.Create(ctx, c.Region+"/"+in.Name, d)
	if problem.CodeOf(err) == problem.Conflict {
		return nil, wire.Errorf("ResourceAlreadyExistsException", "Project already exists: %s", projectARN(c.Region, c.Account, in.Name))
	}
	if err != nil {
		return nil, err
	}
	s.changed(ctx, c, in.Name)
	return &projectOutput{d.told(c)}, nil
}

func (s *Service) update(ctx context.Context, c *wire.Call, in *settings) (*projectOutput, error) {
	name := nameOf(in.Name)
	d, err := s.docs.Update(ctx, c.Region+"/"+name, func(d *document) error {
		d.Settings.merge(*in)
		d.Settings.fill(c)
		d.Modified = s.Now().UTC()
		return d.Settings.check()
	})
	if problem.CodeOf(err) == problem.NotFound {
		return nil, notFound(c, name)
	}
	if err != nil {
		return nil, err
	}
	s.changed(ctx, c, name)
	return &projectOutput{d.told(c)}, nil
}

type nameInput struct{ Name string }

func (s *Service) delete(ctx context.Context, c *wire.Call, in *nameInput) (*struct{}, error) {
	name := nameOf(in.Name)
	err := s.docs.Delete(ctx, c.Region+"/"+name, nil)
	if err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	s.changed(ctx, c, name)
	return &struct{}{}, nil
}

type projectNameInput struct{ ProjectName string }

// invalidateCache refuses: the next build's cache is what its key says.
func (s *Service) invalidateCache(_ context.Context, _ *wire.Call, _ *projectNameInput) (*struct{}, error) {
	return nil, invalid("InvalidateProjectCache is not served here: change the key of the buildspec's cache, or set the project's cache to NO_CACHE")
}

type namesInput struct{ Names []string }

type projectsOutput struct {
	Projects         []any
	ProjectsNotFound []string
}

func (s *Service) batchGet(ctx context.Context, c *wire.Call, in *namesInput) (*projectsOutput, error) {
	out := &projectsOutput{Projects: []any{}, ProjectsNotFound: []string{}}
	for _, id := range in.Names {
		d, err := s.docs.Get(ctx, c.Region+"/"+nameOf(id))
		switch {
		case problem.CodeOf(err) == problem.NotFound:
			out.ProjectsNotFound = append(out.ProjectsNotFound, id)
		case err != nil:
			return nil, err
		default:
			out.Projects = append(out.Projects, d.told(c))
		}
	}
	return out, nil
}

type listInput struct{ NextToken, SortBy, SortOrder string }

type listOutput struct {
	NextToken string
	Projects  []string
}

// pageSize is how many names or identifiers AWS lists at once.
const pageSize = 100

func (s *Service) list(ctx context.Context, c *wire.Call, in *listInput) (*listOutput, error) {
	all, err := s.docs.List(ctx, c.Region+"/")
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b state.Entry[document]) int {
		switch in.SortBy {
		case "CREATED_TIME":
			return a.Doc.Created.Compare(b.Doc.Created)
		case "LAST_MODIFIED_TIME":
			return a.Doc.Modified.Compare(b.Doc.Modified)
		}
		return strings.Compare(a.Doc.Settings.Name, b.Doc.Settings.Name)
	})
	names := []string{}
	for _, e := range all {
		names = append(names, e.Doc.Settings.Name)
	}
	if in.SortOrder == "DESCENDING" {
		slices.Reverse(names)
	}
	page, next, err := page(names, in.NextToken)
	return &listOutput{next, page}, err
}

// page is the part of a list that follows a token, and the token of the next part.
func page(list []string, token string) (part []string, next string, err error) {
	after, ok := wire.OpenToken(token)
	if !ok {
		return nil, "", invalid("Invalid next token")
	}
	if after != "" {
		i := slices.Index(list, after)
		if i < 0 { // it is gone, or the token is of another list
			return nil, "", invalid("Invalid next token")
		}
		list = list[i+1:]
	}
	if len(list) > pageSize {
		return list[:pageSize], wire.Token(list[pageSize-1]), nil
	}
	return list, "", nil
}
