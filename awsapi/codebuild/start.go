package codebuild

import (
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/wire"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// startedBuild is what is kept of a build that was started by itself.
type startedBuild struct {
	Settings      settings `json:"settings"`
	SourceVersion string   `json:"sourceVersion,omitempty"`
	Initiator     string   `json:"initiator,omitempty"`
}

type startInput struct {
	ProjectName, IdempotencyToken                  string
	SourceVersion                                  string
	SourceTypeOverride, SourceLocationOverride     string
	BuildspecOverride, ImageOverride               string
	ComputeTypeOverride, EnvironmentTypeOverride   string
	ServiceRoleOverride, EncryptionKeyOverride     string
	CertificateOverride                            string
	ImagePullCredentialsTypeOverride               string
	EnvironmentVariablesOverride                   []variable
	SecondarySourcesOverride                       []source
	SecondarySourcesVersionOverride                []sourceVersion
	ArtifactsOverride                              *artifacts
	SecondaryArtifactsOverride                     []artifacts
	PrivilegedModeOverride, InsecureSslOverride    *bool
	ReportBuildStatusOverride, DebugSessionEnabled *bool
	TimeoutInMinutesOverride                       *int64
	QueuedTimeoutInMinutesOverride                 *int64
	GitCloneDepthOverride                          *int64
	CacheOverride, LogsConfigOverride              any
	SourceAuthOverride, RegistryCredentialOverride any
	GitSubmodulesConfigOverride, FleetOverride     any
	BuildStatusConfigOverride                      any
}

// override are the settings of a build: its project's, with what the request says otherwise.
func (in *startInput) override(s settings) (settings, error) {
	src, env := *s.Source, *s.Environment
	for _, one := range []struct {
		to   *string
		from string
	}{{&src.Type, in.SourceTypeOverride}, {&src.Location, in.SourceLocationOverride}, {&src.Buildspec, in.BuildspecOverride},
		{&env.Image, in.ImageOverride}, {&env.ComputeType, in.ComputeTypeOverride}, {&env.Type, in.EnvironmentTypeOverride}, {&env.Certificate, in.CertificateOverride},
		{&env.ImagePullCredentialsType, in.ImagePullCredentialsTypeOverride}} {
		if one.from != "" {
			*one.to = one.from
		}
	}
	if in.PrivilegedModeOverride != nil {
		env.PrivilegedMode = *in.PrivilegedModeOverride
	}
	env.RegistryCredential = first(in.RegistryCredentialOverride, env.RegistryCredential)
	env.EnvironmentVariables = overridden(env.EnvironmentVariables, in.EnvironmentVariablesOverride)
	s.Source, s.Environment = &src, &env
	s.merge(settings{Artifacts: in.ArtifactsOverride, SecondaryArtifacts: in.SecondaryArtifactsOverride, SecondarySources: in.SecondarySourcesOverride,
		SecondarySourceVersions: in.SecondarySourcesVersionOverride, TimeoutInMinutes: in.TimeoutInMinutesOverride, QueuedTimeoutInMinutes: in.QueuedTimeoutInMinutesOverride,
		Cache: in.CacheOverride, LogsConfig: in.LogsConfigOverride})
	if in.ServiceRoleOverride != "" {
		s.ServiceRole = &in.ServiceRoleOverride
	}
	if in.EncryptionKeyOverride != "" {
		s.EncryptionKey = &in.EncryptionKeyOverride
	}
	if in.DebugSessionEnabled != nil && *in.DebugSessionEnabled {
		return s, invalid("Debug sessions are not served here: showrunner build DIR runs the same buildspec in your shell")
	}
	if src.Type != "CODEPIPELINE" && s.Artifacts.Type == "CODEPIPELINE" { // the source was overridden
		s.Artifacts = &artifacts{Type: "NO_ARTIFACTS"}
	}
	return s, nil
}

func first(values ...any) any {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}

// overridden are variables with others in the place of those of the same name.
func overridden(list, over []variable) []variable {
	out := []variable{}
	given := map[string]bool{}
	for _, v := range over {
		given[v.Name] = true
	}
	for _, v := range list {
		if !given[v.Name] {
			out = append(out, v)
		}
	}
	return append(out, over...)
}

type buildOutput struct{ Build any }

func (s *Service) start(ctx context.Context, c *wire.Call, in *startInput) (*buildOutput, error) {
	name := nameOf(in.ProjectName)
	d, err := s.docs.Get(ctx, c.Region+"/"+name)
	if problem.CodeOf(err) == problem.NotFound {
		return nil, notFound(c, name)
	}
	if err != nil {
		return nil, err
	}
	b := startedBuild{Initiator: s.Principal.Name, SourceVersion: in.SourceVersion}
	if b.Settings, err = in.override(d.Settings); err != nil {
		return nil, err
	}
	if b.SourceVersion == "" && d.Settings.SourceVersion != nil {
		b.SourceVersion = *d.Settings.SourceVersion
	}
	b.Settings.fill(c)
	if err := b.Settings.check(); err != nil {
		return nil, err
	}
	return s.run(ctx, c, b, in.IdempotencyToken)
}

func isBuild(st pipeline.Stage) bool { return st.Name == buildAction }

// run starts a build. The same token starts one build only.
func (s *Service) run(ctx context.Context, c *wire.Call, b startedBuild, token string) (*buildOutput, error) {
	def, err := s.definition(ctx, c.Region, b)
	if err != nil {
		return nil, err
	}
	request := execution.StartRequest{Application: Application, Pipeline: def.Name, Definition: def, By: s.Principal.Name,
		Trigger: map[string]any{"kind": "manual", "actor": s.Principal.Name, "initiator": s.Principal.Name, "region": c.Region, "caller": c.Caller}}
	if token != "" {
		request.TriggerID, request.EventID = "aws/codebuild/"+c.Region+"/"+b.Settings.Name, token
	}
	e, fresh, err := s.Control.Start(ctx, s.Principal, request)
	if err != nil {
		return nil, err
	}
	id := s.Builds.ID(b.Settings.Name, stage.Key{Execution: e.ID, Stage: buildAction, Attempt: 1}, delivery.Marks(def.Stages)[slices.IndexFunc(def.Stages, isBuild)])
	if fresh {
		// A build without this document is told with the settings of its project.
		if err := s.started.Create(ctx, c.Region+"/"+id, b); err != nil && problem.CodeOf(err) != problem.Conflict {
			return nil, err
		}
	}
	if _, uuid, _ := strings.Cut(id, ":"); fresh && s.Logs != nil { // the stream is there from the start
		if err := s.Logs.Append(ctx, c.Region, logGroups+b.Settings.Name, uuid, nil); err != nil {
			return nil, err
		}
	}
	return s.answer(ctx, c, id)
}

func (s *Service) answer(ctx context.Context, c *wire.Call, id string) (*buildOutput, error) {
	b, err := s.find(ctx, c, id)
	if err != nil {
		return nil, err
	}
	return &buildOutput{s.told(ctx, c, b)}, nil
}

type retryInput struct{ Id, IdempotencyToken string }

// retry starts a build with the settings of another.
func (s *Service) retry(ctx context.Context, c *wire.Call, in *retryInput) (*buildOutput, error) {
	b, err := s.find(ctx, c, in.Id)
	if err != nil {
		return nil, err
	}
	if b.e.Application != Application {
		return nil, invalid("Build %s is of the pipeline %s: retry the stage of the pipeline", b.id, b.e.Pipeline)
	}
	started, err := s.settingsOf(ctx, c, b)
	if err != nil {
		return nil, err
	}
	return s.run(ctx, c, started, in.IdempotencyToken)
}

type idInput struct{ Id string }

// stop ends a build. One in a pipeline ends with its execution.
func (s *Service) stop(ctx context.Context, c *wire.Call, in *idInput) (*buildOutput, error) {
	b, err := s.find(ctx, c, in.Id)
	if err != nil {
		return nil, err
	}
	if !b.over() {
		err := s.Control.Cancel(ctx, s.Principal, b.e.ID, "the build "+b.id+" was stopped")
		if err != nil && problem.CodeOf(err) != problem.Precondition { // it has ended in the meantime
			return nil, err
		}
	}
	return s.answer(ctx, c, b.id)
}
