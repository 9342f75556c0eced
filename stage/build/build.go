package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/build"
	"showrunner/build/buildspec"
	"showrunner/build/report"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// buildKind is the stage kind build.
type buildKind struct{ *Builder }

// Name implements stage.Kind.
func (buildKind) Name() string { return "build" }

// Version implements stage.Kind.
func (buildKind) Version() int { return 1 }

// Tasks implements stage.Kind. The first finds what is wrong before anything
// runs, the second is the build, the third writes down where its artifacts come
// from.
func (k buildKind) Tasks() []stage.Task {
	return []stage.Task{
		{Name: "prepare", Run: k.check, Resume: stage.Repeat},
		{Name: "execute",
			Run: func(ctx context.Context, in *stage.Input) (stage.Result, error) {
				return k.execute(ctx, in, k.work())
			},
			Resume: func(ctx context.Context, in *stage.Input) (stage.Result, error) {
				return k.resume(ctx, in, k.work())
			},
			Cancel: func(ctx context.Context, in *stage.Input) error { return k.cancel(ctx, in, true) }},
		{Name: "collect", Run: k.attest, Resume: stage.Repeat},
	}
}

// work is a build as this kind has it: what counts of it are its artifacts.
func (k buildKind) work() work {
	return work{prepare: k.job, outputs: buildOutputs, repeatable: true}
}

func (k buildKind) check(ctx context.Context, in *stage.Input) (stage.Result, error) {
	if _, _, err := k.job(ctx, in); err != nil {
		return refused(ctx, err)
	}
	return stage.Result{Outcome: stage.Done}, nil
}

// job is the build that the stage describes, and the secrets it needs.
func (k buildKind) job(ctx context.Context, in *stage.Input) (build.Job, map[string]string, error) {
	c, ok := in.Config.(pipeline.Build)
	if !ok {
		return build.Job{}, nil, problem.New(problem.Internal, "build", "the configuration is a %T", in.Config)
	}
	source, ref, err := sourceOf(in, c.Source)
	if err != nil {
		return build.Job{}, nil, err
	}
	name, text, err := k.specText(ctx, c, ref)
	if err != nil {
		return build.Job{}, nil, err
	}
	spec, err := buildspec.Parse(name, []byte(text))
	if err != nil {
		return build.Job{}, nil, err
	}
	var missing []error // all of what is missing is told at once
	env, secrets, err := expandEnv(ctx, in, c.Env)
	missing = append(missing, err)
	for _, r := range build.SecretNames(spec, merge(env, secrets)) {
		if _, named := c.Env[r.Name]; named {
			continue // the stage's own value, which is missing
		}
		secrets[r.Name], err = resolve(ctx, in, r)
		missing = append(missing, err)
	}
	project := cmp.Or(c.Project, in.Application+"-"+in.Key.Stage)
	job := k.newJob(in, project, source)
	job.SpecName, job.Spec, job.Env, job.Source = name, text, env, ref
	job.Image, job.Privileged, job.CPUs = c.Image, c.Privileged, c.CPUs
	if job.Memory, err = bytesOf(c.Memory); err != nil {
		return build.Job{}, nil, err
	}
	if c.Cache == nil || *c.Cache {
		job.Cache = k.Cache
	}
	for _, id := range slices.Sorted(maps.Keys(c.Sources)) {
		from, further, err := sourceOf(in, c.Sources[id])
		if err != nil {
			missing = append(missing, err)
			continue
		}
		if job.Sources == nil {
			job.Sources, job.Origins = map[string]artifact.Ref{}, map[string]build.Origin{}
		}
		job.Sources[id], job.Origins[id] = further, originOf(in, from)
		job.Inputs = append(job.Inputs, id)
	}
	return job, secrets, problem.Together(missing...)
}

// maxSpec is how large a buildspec in a source may be.
const maxSpec = 1 << 20

// specText is the buildspec's name and text: the stage's own or the source's.
func (b *Builder) specText(ctx context.Context, c pipeline.Build, ref artifact.Ref) (string, string, error) {
	if c.Inline != "" {
		return "(inline)", c.Inline, nil
	}
	name := cmp.Or(c.Spec, "buildspec.yml")
	if ref == "" {
		return "", "", problem.New(problem.NotFound, "build.spec", "there is no source to read %s from", name).
			WithHelp("Name a stage that makes an artifact in needs, or write the buildspec into the stage as inline.")
	}
	text, err := b.Artifacts.ReadFile(ctx, ref, strings.TrimPrefix(name, "./"), maxSpec)
	if problem.CodeOf(err) == problem.NotFound {
		return "", "", problem.New(problem.NotFound, "build.spec", "the source has no file %s", name).
			WithHelp("Add it, or say where it is with spec, or write it into the stage as inline.")
	}
	return name, string(text), err
}

// newJob fills in what every build gets to know of its execution.
func (b *Builder) newJob(in *stage.Input, project, source string) build.Job {
	job := build.Job{Store: b.Store, Request: build.Request{
		ID: project + ":" + uuid(in.Key, in.Mark, 1), Number: in.Number, Project: project, Initiator: cmp.Or(text(in.Trigger, "initiator"), "codepipeline/"+in.Pipeline),
		Inherit: b.Inherit, Traceparent: in.Traceparent, Origin: originOf(in, source), Webhook: webhook(in),
	}}
	// Where the source does not tell, what started the run does.
	up := in.Upstream[source]
	job.ResolvedVersion = cmp.Or(job.ResolvedVersion, text(in.Trigger, "commit"))
	job.RepositoryURL = build.WithoutCredentials(cmp.Or(job.RepositoryURL, text(in.Trigger, "url"), text(in.Trigger, "repository")))
	job.SourceVersion = cmp.Or(text(up, "branch"), text(up, "tag"), text(in.Trigger, "branch"), text(in.Trigger, "tag"), job.SourceVersion)
	if t := in.Stage.Timeout; t > 0 && !in.StageStarted.IsZero() {
		job.Deadline = in.StageStarted.Add(timeoutOf(t))
		job.Timeout = timeoutOf(t)
	}
	return job
}

// text is a value of a trigger or of a stage's outputs as text; "" when it is absent.
func text(values map[string]any, key string) string {
	if v, ok := values[key]; ok && v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// originOf says where the artifact of a stage comes from: the stage is a git
// stage, or one whose outputs tell. It is empty for others.
func originOf(in *stage.Input, from string) build.Origin {
	up := in.Upstream[from]
	return build.Origin{
		ResolvedVersion: text(up, "commit"), SourceVersion: cmp.Or(text(up, "branch"), text(up, "tag"), text(up, "commit")), RepositoryURL: text(up, "url"),
	}
}

// webhook are the variables of a build that a push has started.
func webhook(in *stage.Input) map[string]string {
	if text(in.Trigger, "kind") != "push" {
		return nil
	}
	vars := map[string]string{"EVENT": "PUSH", "PREV_COMMIT": text(in.Trigger, "before")}
	switch branch, tag := text(in.Trigger, "branch"), text(in.Trigger, "tag"); {
	case branch != "":
		vars["HEAD_REF"], vars["TRIGGER"] = "refs/heads/"+branch, "branch/"+branch
	case tag != "":
		vars["HEAD_REF"], vars["TRIGGER"] = "refs/tags/"+tag, "tag/"+tag
	}
	vars["ACTOR_ACCOUNT_ID"] = text(in.Trigger, "actor")
	for name, value := range vars {
		if value == "" {
			delete(vars, name)
		}
	}
	return vars
}

// sourceOf finds an artifact by its name in the file; without one, it is what
// the stages that this one needs have made, when that is one thing.
func sourceOf(in *stage.Input, name string) (string, artifact.Ref, error) {
	if name != "" {
		ref, ok := in.Artifacts[name]
		if !ok {
			return "", "", problem.New(problem.NotFound, "build.source", "there is no artifact %s", name)
		}
		from, _, _ := strings.Cut(name, ".")
		return from, ref, nil
	}
	var found []string
	for _, need := range in.Stage.Needs {
		if _, ok := in.Artifacts[need]; ok {
			found = append(found, need)
		}
	}
	switch len(found) {
	case 0:
		return "", "", nil
	case 1:
		return found[0], in.Artifacts[found[0]], nil
	}
	return "", "", problem.New(problem.Invalid, "build.source", "the needed stages make several artifacts (%s)", strings.Join(found, ", ")).
		WithHelp("Say which one with source, and which others with sources.")
}

func findings(err error) (*buildspec.Error, bool) {
	var e *buildspec.Error
	ok := errors.As(err, &e)
	return e, ok
}

// maxFailing is how many failing cases of a report later stages see.
const maxFailing = 50

// buildOutputs is what later stages see of a build.
func buildOutputs(r build.Result) map[string]any {
	out := map[string]any{"buildId": r.ID, "buildNumber": r.Number, "status": string(r.Status)}
	variables := map[string]any{}
	for name, value := range r.ExportedVariables {
		variables[name] = value
	}
	out["variables"] = variables
	reports := []any{}
	totals := map[string]any{}
	sum := map[string]int{"total": 0, "passed": 0, "failed": 0, "skipped": 0, "errors": 0}
	for _, rep := range r.Reports {
		one := map[string]any{"name": rep.Name, "group": rep.Group, "format": rep.Format, "kind": string(rep.Kind), "status": rep.Status, "total": rep.Total}
		sum["total"] += rep.Total
		sum["passed"] += rep.Counts[report.Succeeded]
		sum["failed"] += rep.Counts[report.Failed]
		sum["skipped"] += rep.Counts[report.Skipped]
		sum["errors"] += rep.Counts[report.Errored]
		for status, n := range rep.Counts {
			one[strings.ToLower(string(status))] = n
		}
		if rep.Coverage != nil {
			one["linePercent"], one["branchPercent"] = rep.Coverage.LinePercent, rep.Coverage.BranchPercent
		}
		failing := []any{}
		for _, c := range rep.Failing() {
			if len(failing) == maxFailing {
				break
			}
			failing = append(failing, map[string]any{"suite": c.Suite, "name": c.Name, "status": string(c.Status), "message": c.Message})
		}
		one["failing"] = failing
		reports = append(reports, one)
	}
	for name, n := range sum {
		totals[name] = n
	}
	out["reports"], out["reportGroups"] = totals, reports
	phases := []any{}
	for _, p := range r.Phases {
		phases = append(phases, map[string]any{"name": string(p.Name), "status": string(p.Status), "message": p.Message,
			"started": p.StartedAt.UTC().Format(time.RFC3339Nano), "ended": p.EndedAt.UTC().Format(time.RFC3339Nano)})
	}
	out["phases"] = phases
	return out
}

// ID is the identifier of the build of a project that an attempt at a stage starts. mark
// is the stage's, as in stage.Input.
func ID(project string, k stage.Key, mark uint32) string { return project + ":" + uuid(k, mark, 1) }

// State is how far the build of an attempt is, or how it ended. Errors: not_found
// when none has begun on this host, or its folder is no longer kept.
func (b *Builder) State(ctx context.Context, k stage.Key) (build.Result, error) {
	r, err := b.result(ctx, k)
	if problem.CodeOf(err) != problem.NotFound {
		return r, err
	}
	h, err := build.Attach(b.folder(k, 1))
	if err != nil {
		return build.Result{}, err
	}
	s, err := h.State()
	return s.Result, err
}

// result is the end of a build that is known to have ended.
func (b *Builder) result(ctx context.Context, k stage.Key) (build.Result, error) {
	if b.Fleet != nil {
		c, err := b.Fleet.claim(ctx, k)
		if err != nil {
			return build.Result{}, asUnavailable(err)
		}
		if c.Result != nil {
			return *c.Result, nil
		}
	}
	h, err := build.Attach(b.folder(k, 1))
	if err != nil {
		return build.Result{}, err
	}
	return h.Result()
}
