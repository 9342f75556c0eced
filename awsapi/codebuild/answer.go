package codebuild

import (
	"context"
	"net/url"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/execution"
	"showrunner/problem"
)

// settingsOf are the settings that a build was started with; a build in a pipeline,
// and one whose document a crash has prevented, has those of its project.
func (s *Service) settingsOf(ctx context.Context, c *wire.Call, b found) (startedBuild, error) {
	kept, err := s.started.Get(ctx, c.Region+"/"+b.id)
	if err == nil || problem.CodeOf(err) != problem.NotFound {
		return kept, err
	}
	d, err := s.docs.Get(ctx, c.Region+"/"+b.project)
	if problem.CodeOf(err) == problem.NotFound { // the project is gone
		d.Settings = settings{Name: b.project, Source: &source{Type: "CODEPIPELINE"}, Artifacts: &artifacts{Type: "CODEPIPELINE"},
			Environment: &environment{Type: "LINUX_CONTAINER", Image: "unknown", ComputeType: "BUILD_GENERAL1_SMALL"}}
		d.Settings.fill(c)
		err = nil
	}
	initiator := s.Principal.Name
	if !b.alone() {
		initiator = "codepipeline/" + b.e.Pipeline
	}
	return startedBuild{Settings: d.Settings, Initiator: initiator}, err
}

// told is a build as it is answered.
func (s *Service) told(ctx context.Context, c *wire.Call, b found) object {
	kept, err := s.settingsOf(ctx, c, b)
	if err != nil {
		kept.Settings = settings{Name: b.project}
	}
	project, uuid, _ := strings.Cut(b.id, ":")
	status, phases, current, ended := s.progress(ctx, b)
	out := object{
		"id": b.id, "arn": "arn:aws:codebuild:" + c.Region + ":" + c.Account + ":build/" + b.id, "projectName": project, "buildNumber": int64(b.e.Number),
		"buildStatus": status, "buildComplete": status != inProgress, "currentPhase": current, "phases": phases, "startTime": b.began(), "initiator": kept.Initiator,
		"logs": object{"groupName": "/aws/codebuild/" + project, "streamName": uuid, "deepLink": s.URL + "/executions/" + b.e.ID + "/stages/" + url.PathEscape(b.state.Name),
			"cloudWatchLogs":    object{"status": "ENABLED"},
			"cloudWatchLogsArn": "arn:aws:logs:" + c.Region + ":" + c.Account + ":log-group:/aws/codebuild/" + project + ":log-stream:" + uuid},
		"exportedEnvironmentVariables": exported(b),
	}
	if !ended.IsZero() {
		out["endTime"] = ended
	}
	for _, name := range []string{"source", "secondarySources", "secondarySourceVersions", "cache", "environment", "serviceRole", "timeoutInMinutes", "queuedTimeoutInMinutes", "encryptionKey", "vpcConfig"} {
		if v, ok := members(kept.Settings)[name]; ok {
			out[name] = v
		}
	}
	if kept.SourceVersion != "" {
		out["sourceVersion"] = kept.SourceVersion
	}
	if v := resolved(b.e); v != "" {
		out["resolvedSourceVersion"] = v
	}
	out["artifacts"] = object{"location": kept.location(b)}
	return out
}

// resolved is the commit, or the version of the object, that was built.
func resolved(e execution.Execution) string {
	for _, st := range e.Stages {
		for _, name := range map[string][]string{"git": {"commit"}, "object": {"version"}}[st.Kind] {
			if v, _ := st.Outputs[name].(string); v != "" {
				return v
			}
		}
	}
	return ""
}

// location is the ARN of where the artifacts of a build are.
func (k startedBuild) location(b found) string {
	a := k.Settings.Artifacts
	if a == nil || a.Type != "S3" {
		return ""
	}
	_, uuid, _ := strings.Cut(b.id, ":")
	key, _ := a.configuration()["ObjectKey"].(string)
	return "arn:aws:s3:::" + strings.TrimPrefix(a.Location, "arn:aws:s3:::") + "/" + strings.Trim(strings.ReplaceAll(key, buildID, uuid), "/")
}

func exported(b found) []any {
	list := []any{}
	variables, _ := b.state.Outputs["variables"].(object)
	for name, value := range variables {
		list = append(list, object{"name": name, "value": value})
	}
	return list
}

const inProgress = "IN_PROGRESS"

// progress says how far a build is: its status, phases, current phase and end.
func (s *Service) progress(ctx context.Context, b found) (status string, phases []any, current string, ended time.Time) {
	state, err := s.Builds.State(ctx, b.key())
	if err != nil && b.attempt == b.state.Attempt { // its folder is no longer kept, or it has not begun
		state = keptState(b.state)
	}
	if len(state.Phases) == 0 {
		state.Phases = b.before()
	}
	state.Phases = b.around(state.Phases)
	status = b.status(state.Status)
	current = state.Phases[len(state.Phases)-1].Type
	for _, p := range state.Phases {
		one := object{"phaseType": p.Type, "startTime": p.Started, "contexts": []any{}}
		whole := p.Type != "COMPLETED" // which AWS tells neither a status nor an end of
		if whole && p.Status != "" && p.Status != inProgress {
			one["phaseStatus"] = p.Status
		}
		if whole && !p.Ended.IsZero() && p.Status != inProgress {
			one["endTime"], one["durationInSeconds"] = p.Ended, int64(p.Ended.Sub(p.Started)/time.Second)
		}
		if p.Message != "" {
			one["contexts"] = []any{object{"statusCode": contextCode(p.Type), "message": p.Message}}
		}
		phases = append(phases, one)
	}
	if status != inProgress {
		if current = "COMPLETED"; state.Phases[len(state.Phases)-1].Type == current {
			ended = state.Phases[len(state.Phases)-1].Started
		}
		if b.alone() && b.e.Ended != nil {
			ended = *b.e.Ended
		}
	}
	return status, phases, current, ended
}

func contextCode(phase string) string {
	switch phase {
	case "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD":
		return "COMMAND_EXECUTION_ERROR"
	case "UPLOAD_ARTIFACTS":
		return "CLIENT_ERROR"
	}
	return "YAML_FILE_ERROR"
}

// keptState is how a build that is over went, by what its stage has put out.
func keptState(st execution.StageState) State {
	list, _ := st.Outputs["phases"].([]any)
	out := State{}
	out.Status, _ = st.Outputs["status"].(string)
	for _, e := range list {
		one, _ := e.(object)
		p := Phase{}
		p.Type, _ = one["name"].(string)
		p.Status, _ = one["status"].(string)
		p.Message, _ = one["message"].(string)
		for name, to := range map[string]*time.Time{"started": &p.Started, "ended": &p.Ended} {
			text, _ := one[name].(string)
			*to, _ = time.Parse(time.RFC3339Nano, text) // zero: it is not known
		}
		out.Phases = append(out.Phases, p)
	}
	return out
}

// before are the phases of a build that has not begun: its source is fetched, or
// could not be.
func (b found) before() []Phase {
	began := b.began()
	list := []Phase{{Type: "SUBMITTED", Status: "SUCCEEDED", Started: began, Ended: began}}
	source := Phase{Type: "QUEUED", Status: inProgress, Started: began}
	for _, st := range b.e.Stages {
		if st.Kind != "git" && st.Kind != "object" && st.Name != b.state.Name || st.Started == nil {
			continue
		}
		if st.Name != b.state.Name {
			source = Phase{Type: "DOWNLOAD_SOURCE", Status: inProgress, Started: *st.Started}
		}
		if st.Failure != nil && st.Ended != nil {
			source = Phase{Type: "DOWNLOAD_SOURCE", Status: "FAILED", Started: *st.Started, Ended: *st.Ended, Message: st.Failure.Cause}
			break
		}
	}
	return append(list, source)
}

// around adds to the phases of a build that is alone how the upload of its artifacts
// goes, which is a stage of its own here.
func (b found) around(phases []Phase) []Phase {
	if !b.alone() {
		return phases
	}
	for _, st := range b.e.Stages {
		if st.Kind != "deploy-site" || st.Started == nil {
			continue
		}
		upload := Phase{Type: "UPLOAD_ARTIFACTS", Status: inProgress, Started: *st.Started}
		if st.Ended != nil {
			upload.Ended, upload.Status = *st.Ended, "SUCCEEDED"
		}
		if st.Failure != nil {
			upload.Status, upload.Message = "FAILED", st.Failure.Cause
		}
		out := []Phase{}
		for _, p := range phases {
			if p.Type != "UPLOAD_ARTIFACTS" && p.Type != "FINALIZING" && p.Type != "COMPLETED" {
				out = append(out, p)
			}
		}
		if out = append(out, upload); upload.Status != inProgress {
			out = append(out, Phase{Type: "FINALIZING", Status: "SUCCEEDED", Started: upload.Ended, Ended: upload.Ended}, Phase{Type: "COMPLETED", Started: upload.Ended})
		}
		return out
	}
	return phases
}

// status is the build's status: what is known of the build itself, as far as its
// stage and its execution do not say more.
func (b found) status(known string) string {
	if !b.over() {
		return inProgress
	}
	if b.attempt < b.state.Attempt {
		for _, h := range b.state.History {
			if h.Attempt == b.attempt && h.Status == execution.Succeeded {
				return "SUCCEEDED"
			}
		}
		return failedStatus(known)
	}
	status := b.state.Status
	if b.alone() {
		status = b.e.Status
	}
	switch {
	case status == execution.Succeeded:
		return "SUCCEEDED"
	case status == execution.Canceled || b.e.Status == execution.Canceled:
		return "STOPPED"
	case b.state.Failure != nil && (b.state.Failure.Code == "TIMEOUT" || b.state.Failure.Code == "BUILD_TIMED_OUT"):
		return "TIMED_OUT"
	}
	return failedStatus(known)
}

func failedStatus(known string) string {
	switch known {
	case "FAULT", "TIMED_OUT", "STOPPED":
		return known
	}
	return "FAILED"
}
