package importer

import (
	"strings"
	"time"

	"showrunner/pipeline"
)

func (s *spinnaker) stage(st cursor, name, ref string) (pipeline.Stage, bool) {
	switch kind := st.get("type").static(); kind {
	case "manualJudgment":
		return s.judgment(st, name), true
	case "wait":
		return s.wait(st, name)
	case "pipeline":
		return s.call(st, name)
	case "webhook":
		return s.webhook(st, name), true
	case "checkPreconditions":
		return s.preconditions(st, name, ref)
	default:
		s.in.note(Error, st.path, "stage "+st.get("name").static()+" ("+kind+")", "%s; the stage is left out, and what needed it needs what it needed", spinnakerAdvice(kind))
		return pipeline.Stage{}, false
	}
}

func spinnakerAdvice(kind string) string {
	switch kind {
	case "deploy", "deployManifest", "createServerGroup", "cloneServerGroup":
		return "give the service a `deploy` stage with an artifact, a command, a health check and a strategy"
	case "bake", "bakeManifest":
		return "artifacts are made by a `build` stage, not baked into images"
	case "runJob", "runJobManifest", "jenkins", "travis", "concourse", "wercker", "gitlab-ci", "script", "awsCodeBuild", "googleCloudBuild":
		return "a `build` or `run` stage can do its work"
	case "rollbackCluster", "undoRolloutManifest":
		return "`showrunner rollback CLUSTER` does it, and a `deploy` stage undoes its own failed waves"
	case "kayentaCanary", "canary":
		return "a `deploy` stage with the strategy canary asks a judge at each step"
	case "destroyServerGroup", "disableServerGroup", "enableServerGroup", "resizeServerGroup", "scaleDownCluster", "shrinkCluster", "disableCluster",
		"scaleManifest", "deleteManifest", "patchManifest", "findImage", "findImageFromTags", "findArtifactsFromResource":
		return "the strategies of a `deploy` stage do this by themselves; by hand it is `showrunner resize`, `drain` and `terminate`"
	case "evaluateVariables":
		return "write the expression where it is used"
	}
	return "there is no such stage"
}

func (s *spinnaker) judgment(st cursor, name string) pipeline.Stage {
	a := pipeline.Approval{Instructions: s.text(st.get("instructions"))}
	if n := st.get("stageTimeoutMs").number(); n > 0 {
		a.Expires = pipeline.Duration(time.Duration(n) * time.Millisecond)
	}
	if roles := st.get("selectedStageRoles"); len(roles.items()) > 0 {
		roles.leave(Error, "selectedStageRoles", "who may approve is not carried over: anybody who may approve can")
	}
	if inputs := st.get("judgmentInputs"); len(inputs.items()) > 0 {
		inputs.leave(Warning, "judgmentInputs", "an approval is given or refused, with a comment; there are no choices to take branches on")
	}
	st.get("propagateAuthenticationContext").leave(Info, "propagateAuthenticationContext", "an execution runs with what its stages refer to, whoever approves it")
	return stageOf(name, a)
}

func (s *spinnaker) call(st cursor, name string) (pipeline.Stage, bool) {
	target := st.get("pipeline")
	c := pipeline.Call{Pipeline: s.siblings[target.static()]}
	if c.Pipeline == "" {
		s.in.note(Error, st.path, "stage "+st.get("name").static()+" (pipeline)", "pipeline %s is not in this document (Spinnaker names it by its id): import it in one list with this one, or write a `pipeline` stage with its name; the stage is left out", target.static())
		return pipeline.Stage{}, false
	}
	st.get("application").leave(Info, "application", "the pipeline is in this document")
	keys, values := st.get("pipelineParameters").members()
	for i, k := range keys {
		if !s.takes[c.Pipeline][identifier(k)] {
			values[i].leave(Warning, "pipelineParameters "+k, "pipeline %s has no such parameter", c.Pipeline)
			continue
		}
		if c.Parameters == nil {
			c.Parameters = map[string]string{}
		}
		c.Parameters[identifier(k)] = s.text(values[i])
	}
	if !s.decision(st.get("waitForCompletion"), "waitForCompletion", true) {
		no := false
		c.Wait = &no
	}
	return stageOf(name, c), true
}

func (s *spinnaker) webhook(st cursor, name string) pipeline.Stage {
	w := pipeline.Webhook{URL: s.text(st.get("url")), Method: strings.ToUpper(st.get("method").static())}
	if p := st.get("payload"); p.ok() && w.Method != "GET" && w.Method != "HEAD" {
		w.Body = s.text(p)
	} else {
		p.leave(Warning, "payload", "a %s is sent without a body", w.Method)
	}
	keys, values := st.get("customHeaders").members()
	for i, k := range keys {
		if w.Headers == nil {
			w.Headers = map[string]string{}
		}
		if lower := strings.ToLower(k); lower == "authorization" || looksSecret(lower) {
			w.Headers[k] = unmark(s.in.secret(name+"-"+k, "the value of header "+k+" of stage "+name, values[i].path))
			values[i].leave(Warning, "header "+k, "its value may be a credential, so it is not copied: set it as a secret")
			continue
		}
		w.Headers[k] = s.text(values[i])
	}
	if wait := st.get("waitForCompletion"); s.decision(wait, "waitForCompletion", false) {
		s.in.note(Warning, wait.path, "waitForCompletion", "the stage is not asked again: it waits for a callback to the URL it sends as callbackUrl")
		w.Wait = true
		for _, f := range []string{"statusUrlResolution", "statusUrlJsonPath", "statusJsonPath", "successStatuses", "canceledStatuses", "terminalStatuses", "progressJsonPath"} {
			st.get(f).leave(Warning, f, "the stage is not asked again; the callback reports the result")
		}
	}
	return stageOf(name, w)
}
