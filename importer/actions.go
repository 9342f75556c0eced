package importer

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"showrunner/pipeline"
)

// noEquivalent says why an action was left out. No other stage replaces it: a
// stage that only succeeds would be a lie, and an approval would block every run.
// The following actions keep their order.
func noEquivalent(category, provider string) string {
	const left = "; the stage is left out"
	switch provider {
	case "CloudFormation", "CloudFormationStackSet", "CloudFormationStackInstances":
		return "there is no CloudFormation here: sites and services are declared in the pipeline file itself" + left
	case "ECS", "CodeDeployToECS", "EKS", "AppRunner":
		return "it deploys a container image: give the service a `deploy` stage with an artifact, a command and a health check" + left
	case "CodeDeploy", "ElasticBeanstalk", "EC2":
		return "it deploys to hosts: give the service a `deploy` stage with an artifact, a command and a health check; appspec hooks become its start-up" + left
	case "Lambda":
		return "functions are not invoked here: a `webhook` stage can call its URL, a `run` stage can do its work" + left
	case "StepFunctions":
		return "state machines are not started here: a `webhook` stage can call out and wait for the answer" + left
	case "ServiceCatalog", "AppConfig", "OpsWorks", "AlexaSkillsKit":
		return provider + " has no equivalent" + left
	case "Jenkins", "DeviceFarm", "BlazeMeter", "GhostInspector", "Snyk", "InspectorScan", "ECRBuildAndPublish":
		return provider + " cannot be called from here: a `run` or `build` stage can do its work" + left
	}
	return "action type " + category + "/" + provider + " has no equivalent" + left
}

func (c *conversion) approval(a *action) bool {
	var text []string
	if s := c.finish(a.config.get("CustomData"), false); s != "" {
		text = append(text, s)
	}
	if s := c.finish(a.config.get("ExternalEntityLink"), false); s != "" {
		text = append(text, "Review: "+s)
	}
	a.config.get("NotificationArn").leave(Warning, "NotificationArn", "no message is sent to SNS: the approval shows in the console, the API's event stream and `showrunner approve`")
	expires := 7 * 24 * time.Hour // CodePipeline's default
	if n := a.get("TimeoutInMinutes").count("timeoutInMinutes"); n > 0 {
		expires = time.Duration(n) * time.Minute
	}
	c.set(a, pipeline.Approval{Instructions: strings.Join(text, "\n\n"), Expires: pipeline.Duration(expires)})
	return true
}

func (c *conversion) invokePipeline(a *action) bool {
	name := a.config.get("PipelineName").text()
	here, ok := c.siblings[name]
	if !ok {
		c.in.note(Error, a.path, "Invoke action "+a.name, "pipeline %q is not in this document: import it too, and start it with a `pipeline` stage; the stage is left out", unmark(name))
		return false
	}
	call := pipeline.Call{Pipeline: here}
	for _, v := range jsonList(a.config.get("Variables")) {
		if call.Parameters == nil {
			call.Parameters = map[string]string{}
		}
		call.Parameters[identifier(v.get("Name").static())] = c.finish(v.get("Value"), false)
	}
	c.set(a, call)
	return true
}

// jsonList reads a list that a configuration holds as JSON in a text.
func jsonList(field cursor) []cursor {
	if !field.ok() {
		return nil
	}
	s := field.text()
	v, err := parse("the JSON in "+field.path, []byte(s))
	list, ok := v.([]any)
	if err != nil || !ok {
		if strings.TrimSpace(s) != "" {
			field.in.note(Error, field.path, "JSON list", "cannot be read as a JSON list")
		}
		return nil
	}
	out := make([]cursor, len(list))
	for i := range list {
		out[i] = cursor{in: field.in, path: field.path + "/" + strconv.Itoa(i), raw: list[i]}
	}
	return out
}

func stageOf(name string, config pipeline.Config) pipeline.Stage {
	raw, err := json.Marshal(config)
	if err != nil {
		panic("importer: a stage configuration is always JSON: " + err.Error())
	}
	return pipeline.Stage{Name: name, Kind: config.Kind(), With: raw}
}

// set gives an action's stage its configuration.
func (c *conversion) set(a *action, config pipeline.Config) {
	s := stageOf(a.id, config)
	a.out.Kind, a.out.With = s.Kind, s.With
}
