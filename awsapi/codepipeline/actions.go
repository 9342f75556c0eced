package codepipeline

import (
	"context"
	"net/url"
	"slices"
	"time"

	"showrunner/awsapi/delivery"
	"showrunner/execution"
	"showrunner/internal/execid"
	"showrunner/pipeline"
)

// run is an execution as CodePipeline tells it.
type run struct {
	execution.Execution
	stop *stop // asked for
}

// uuid is the execution's identifier at AWS.
func (r run) uuid() string {
	text, _ := execid.UUID(r.ID, 0)
	return text
}

// action is an attempt at a stage of ours: an execution of an action.
type action struct {
	stage, name string
	def         pipeline.Stage
	mark        uint32 // of its stage, which no other has
	state       execution.StageState
	attempt     int
}

// actions are the actions of an execution in its order, each with its newest attempt.
func (r run) actions() []action {
	if r.Definition == nil {
		return nil
	}
	var list []action
	marks := delivery.Marks(r.Definition.Stages)
	for i, def := range r.Definition.Stages {
		st, ok := r.Stage(def.Name)
		if !ok {
			st = execution.StageState{Name: def.Name, Kind: def.Kind, Status: execution.NotStarted}
		}
		a := action{def: def, mark: marks[i], state: st, attempt: st.Attempt}
		a.stage, a.name = place(def)
		list = append(list, a)
	}
	return list
}

// begun says whether the action has been executed, or is.
func (a action) begun() bool { return a.state.Attempt > 0 && a.state.Phase != execution.PhaseHeld }

// active says whether something of the action is under way.
func (a action) active() bool {
	return a.begun() && !a.state.Status.Complete() && a.state.Phase != execution.PhaseRetry && a.state.Phase != ""
}

// id is the action execution's identifier.
func (a action) id(executionID string) string {
	text, _ := execid.UUID(executionID, a.mark<<16|uint32(a.attempt&0xffff))
	return text
}

// status is the action's: InProgress, Abandoned, Succeeded or Failed; "" before it begins.
func (a action) status() string {
	switch st := a.state; {
	case !a.begun() && !st.Status.Complete():
		return ""
	case !st.Status.Complete():
		return "InProgress"
	case st.Status == execution.Succeeded, st.Status == execution.Skipped, st.Status == execution.FailedContinue:
		return "Succeeded"
	case st.Status == execution.Canceled && st.Attempt == 0:
		return ""
	case st.Status == execution.Canceled:
		return "Abandoned"
	}
	return "Failed"
}

// changed is when the action's state changed last.
func (a action) changed() time.Time {
	switch {
	case a.state.Ended != nil:
		return *a.state.Ended
	case a.state.Started != nil:
		return *a.state.Started
	}
	return time.Time{}
}

type errorDetails struct{ Code, Message string }

// failure is why the action failed.
func (a action) failure() *errorDetails {
	f := a.state.Failure
	if f == nil || a.status() != "Failed" {
		return nil
	}
	code := "JobFailed"
	if f.Code == "SECRET_MISSING" || f.Code == "BUILDSPEC_INVALID" {
		code = "ConfigurationError"
	}
	message := f.Code + ": " + f.Cause
	if f.Help != "" {
		message += ". " + f.Help
	}
	return &errorDetails{code, clipped(message, 5000)}
}

func clipped(s string, most int) string {
	r := []rune(s)
	return string(r[:min(len(r), most)])
}

// output is a value that the action's stage has put out.
func (a action) output(name string) string { return delivery.Text(a.state.Outputs[name]) }

// external is the identifier of what the action made outside: a commit, a build, a deployment.
func (a action) external() string {
	switch a.def.Kind {
	case "git":
		return a.output("commit")
	case "object":
		return a.output("version")
	case "build":
		return a.output("buildId")
	case "deploy-site":
		return a.output("deployment")
	case "pipeline":
		text, _ := execid.UUID(a.output("execution"), 0)
		return text
	}
	return ""
}

// summary is one line about the action.
func (a action) summary() string {
	switch a.def.Kind {
	case "git":
		return clipped(a.output("message"), 2048)
	case "approval":
		return clipped(a.output("comment"), 2048)
	}
	if a.status() == "InProgress" {
		return clipped(a.state.Progress, 2048)
	}
	return ""
}

// revision is what a source action has fetched.
func (a action) revision() string {
	if a.def.Kind == "git" || a.def.Kind == "object" {
		return clipped(a.external(), 1500)
	}
	return ""
}

// variables are the action's output variables, under the names that AWS gives them.
func (a action) variables() map[string]string {
	names := map[string]map[string]string{
		"git":    {"CommitId": "commit", "CommitMessage": "message", "BranchName": "branch", "AuthorDate": "date", "CommitterDate": "date"},
		"object": {"BucketName": "bucket", "ObjectKey": "key", "VersionId": "version"},
	}[a.def.Kind]
	out := map[string]string{}
	for to, from := range names {
		if v := a.output(from); v != "" {
			out[to] = v
		}
	}
	more, _ := a.state.Outputs["variables"].(object)
	for name, value := range more {
		out[name] = delivery.Text(value)
	}
	return out
}

// page is where the action is shown on our side.
func (s *Service) page(executionID string, a action) string {
	if !a.begun() {
		return s.URL + "/executions/" + executionID
	}
	return s.URL + "/executions/" + executionID + "/stages/" + url.PathEscape(a.def.Name)
}

// status is the execution's.
func (r run) status() string {
	switch r.Status {
	case execution.Succeeded, execution.FailedContinue:
		return "Succeeded"
	case execution.Terminal, execution.Stopped:
		return "Failed"
	case execution.Canceled:
		if r.Canceling != nil && r.Canceling.SupersededBy > 0 {
			return "Superseded"
		}
		return "Stopped"
	}
	if r.stop != nil || r.Canceling != nil {
		return "Stopping"
	}
	return "InProgress"
}

// stageStatus is how one stage of the execution stands; "" before it begins.
func (r run) stageStatus(name string) string {
	begun, open, failed, abandoned := false, false, false, false
	for _, a := range r.actions() {
		if a.stage != name {
			continue
		}
		switch a.status() {
		case "":
			open = true
			continue
		case "InProgress":
			open = true
		case "Failed":
			failed = true
		case "Abandoned":
			abandoned = true
		}
		begun = true
	}
	switch {
	case !begun:
		return ""
	case failed:
		return "Failed"
	case open && !r.Status.Complete():
		if s := r.status(); s == "Stopping" {
			return s
		}
		return "InProgress"
	case abandoned || open:
		return "Stopped"
	}
	return "Succeeded"
}

// waitsBefore says whether the execution waits to enter a stage.
func (r run) waitsBefore(name string) bool {
	if r.Status.Complete() || r.stageStatus(name) != "" {
		return false
	}
	return slices.ContainsFunc(r.actions(), func(a action) bool {
		return a.stage == name && a.state.Phase == execution.PhaseHeld
	})
}

// read is an execution whole, with the stop that was asked for.
func (s *Service) read(ctx context.Context, id string) (run, error) {
	e, err := s.Control.Execution(ctx, s.Principal, id)
	if err != nil {
		return run{}, err
	}
	r := run{Execution: e}
	asked, err := s.stops.Get(ctx, id)
	if err == nil {
		r.stop = &asked
	}
	return r, ignoreMissing(err)
}
