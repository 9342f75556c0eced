package build

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"showrunner/artifact"
	"showrunner/build"
	"showrunner/problem"
	"showrunner/stage"
)

// conclude turns a build's result into the stage's.
func (b *Builder) conclude(r build.Result, outputs func(build.Result) map[string]any) stage.Result {
	res := stage.Result{Outcome: stage.Done, Outputs: outputs(r), Artifacts: map[string]artifact.Ref{}}
	for _, a := range r.Artifacts {
		if a.Ref != "" {
			res.Artifacts[a.ID] = a.Ref
		}
	}
	if r.Status != build.Succeeded {
		res.Outcome, res.Failure = stage.Failed, failure(r)
	}
	return res
}

// failure says what a person needs to know of a build that did not succeed.
func failure(r build.Result) *stage.Failure {
	code := map[build.Status]string{build.Failed: "BUILD_FAILED", build.Fault: "BUILD_FAULT", build.TimedOut: "BUILD_TIMED_OUT", build.Stopped: "BUILD_STOPPED"}[r.Status]
	f := &stage.Failure{Code: code, Cause: fmt.Sprintf("the build ended as %s", r.Status), Retryable: r.Status == build.Fault,
		Help: "Read the stage's log; `showrunner build DIR` runs the same buildspec on a copy of the source here."}
	if w := r.Failure; w != nil {
		f.Cause = fmt.Sprintf("%s: %s", w.Phase, w.Message)
		if w.Help != "" {
			f.Help = w.Help
		}
		if w.Command != "" {
			f.Evidence = append(f.Evidence, "command: "+w.Command, "exit code: "+strconv.Itoa(w.ExitCode))
			if w.Phase != build.UploadArtifacts {
				f.Code = "COMMAND_FAILED"
			}
		}
		f.Evidence = append(f.Evidence, w.LastLines...)
	}
	for _, rep := range r.Reports {
		for _, c := range rep.Failing() {
			if len(f.Evidence) < 40 {
				f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s / %s", rep.Group, c.Suite, c.Name))
			}
		}
	}
	return f
}

// refused is a build that cannot begin.
func refused(ctx context.Context, err error) (stage.Result, error) {
	if ctx.Err() != nil {
		return stage.Result{}, context.Cause(ctx)
	}
	switch problem.CodeOf(err) {
	case problem.Unavailable, problem.Internal:
		return stage.Result{}, err
	}
	f := stage.Failure{Code: "BUILDSPEC_INVALID", Cause: err.Error(), Help: problem.HelpOf(err)}
	if e, ok := findings(err); ok {
		f.Evidence = strings.Split(strings.TrimRight(e.Findings.Text(), "\n"), "\n")
	} else if p, ok := problem.Of(err); ok && p.Code == problem.NotFound {
		f.Code = "BUILD_INPUT_MISSING"
		if strings.HasPrefix(p.Op, "secret") {
			f.Code = "SECRET_MISSING"
		}
	}
	return stage.Fail(f), nil
}
