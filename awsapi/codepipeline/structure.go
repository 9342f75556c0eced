package codepipeline

import (
	"fmt"
	"strings"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/wire"
)

// normal adds AWS's defaults to a structure, and takes what it is as JSON.
func normal(given any, version int64) object {
	s := decoded(given)
	s["version"] = version
	for name, value := range map[string]string{"pipelineType": "V1", "executionMode": "SUPERSEDED"} {
		if delivery.Text(s[name]) == "" {
			s[name] = value
		}
	}
	for _, a := range delivery.Actions(s) {
		for name, value := range map[string]any{"runOrder": 1.0, "configuration": object{}, "inputArtifacts": []any{}, "outputArtifacts": []any{}} {
			if a.Object[name] == nil {
				a.Object[name] = value
			}
		}
	}
	return s
}

func invalidStructure(format string, args ...any) error {
	return wire.Errorf("InvalidStructureException", format, args...)
}

// check refuses what CodePipeline itself refuses.
func check(s object) error {
	stages := delivery.Objects(s["stages"])
	if len(stages) < 2 {
		return invalidStructure("Pipeline has to have at least two stages")
	}
	if (s["artifactStore"] == nil) == (s["artifactStores"] == nil) {
		return invalidStructure("Pipeline has to have either an artifactStore or artifactStores, but not both")
	}
	if delivery.Text(s["pipelineType"]) == "V1" {
		for _, name := range []string{"variables", "triggers"} {
			if len(delivery.Objects(s[name])) > 0 {
				return invalidStructure("A pipeline of type V1 cannot have %s; its pipelineType has to be V2", name)
			}
		}
		if mode := delivery.Text(s["executionMode"]); mode != "SUPERSEDED" {
			return invalidStructure("A pipeline of type V1 cannot have the execution mode %s; its pipelineType has to be V2", mode)
		}
	}
	seen, made := map[string]bool{}, map[string]bool{}
	for i, st := range stages {
		name := delivery.Text(st["name"])
		if seen[name] {
			return wire.Errorf("InvalidStageDeclarationException", "Stage name %s is used twice", name)
		}
		seen[name] = true
		if err := checkStage(st, i == 0, made); err != nil {
			return err
		}
	}
	return nil
}

// checkStage refuses a stage; made are the artifacts so far.
func checkStage(st object, first bool, made map[string]bool) error {
	name := delivery.Text(st["name"])
	refuse := func(action, format string, args ...any) error {
		return wire.Errorf("InvalidActionDeclarationException", "Action %s of stage %s: %s", action, name, fmt.Sprintf(format, args...))
	}
	list := delivery.Objects(st["actions"])
	if len(list) == 0 {
		return wire.Errorf("InvalidStageDeclarationException", "Stage %s has no actions", name)
	}
	actions := map[string]bool{}
	for _, a := range list {
		action := delivery.Text(a["name"])
		if actions[action] {
			return refuse(action, "its name is used twice in the stage")
		}
		actions[action] = true
		kind, _ := a["actionTypeId"].(object)
		if source := delivery.Text(kind["category"]) == "Source"; source != first {
			return invalidStructure("Pipeline has to begin with a stage that contains nothing but source actions, and no other stage may contain any: stage %s has the action %s", name, action)
		}
		if delivery.Text(kind["owner"]) == "Custom" {
			return refuse(action, "there is no action type of the owner Custom: custom action types are not served here")
		}
		for _, o := range delivery.Objects(a["outputArtifacts"]) {
			artifact := delivery.Text(o["name"])
			if made[artifact] {
				return refuse(action, "the output artifact %s is that of another action too", artifact)
			}
			made[artifact] = true
		}
	}
	for _, a := range list {
		for _, in := range delivery.Objects(a["inputArtifacts"]) {
			if artifact := delivery.Text(in["name"]); !made[artifact] {
				return refuse(delivery.Text(a["name"]), "no action before it makes the input artifact %s", artifact)
			}
		}
	}
	return nil
}

// stores are the buckets of the artifacts, with what they are of.
func stores(s object) []string {
	var list []string
	add := func(v any) {
		store, _ := v.(object)
		if bucket := delivery.Text(store["location"]); bucket != "" {
			list = append(list, bucket)
		}
	}
	add(s["artifactStore"])
	more, _ := s["artifactStores"].(object)
	for _, v := range more {
		add(v)
	}
	return list
}

// hidden stands for a credential in an answer.
const hidden = "****"

// credentials takes the credentials out of a structure: what is kept is where they
// are kept. Those that another structure's are hidden behind stay.
func credentials(s object, kept map[string]string, name func(action string) string) (values, tokens map[string]string, err error) {
	values, tokens = map[string]string{}, map[string]string{}
	for _, a := range delivery.Actions(s) {
		value := a.Config("OAuthToken")
		configuration, _ := a.Object["configuration"].(object)
		at := a.Stage + "/" + a.Name()
		switch {
		case value == "" || strings.Contains(value, "{{resolve:"): // a reference is no credential
			continue
		case value != hidden:
			tokens[at] = name(at)
			values[tokens[at]] = value
		case kept[at] == "":
			return nil, nil, wire.Errorf("InvalidActionDeclarationException", "Action %s of stage %s: its OAuthToken is hidden, and none is kept: give the token", a.Name(), a.Stage)
		default:
			tokens[at] = kept[at]
		}
		configuration["OAuthToken"] = hidden
	}
	return values, tokens, nil
}

// renderable is a structure whose hidden credentials are references to secrets.
func (d document) renderable() object {
	s := decoded(d.Structure)
	for _, a := range delivery.Actions(s) {
		if secret := d.Tokens[a.Stage+"/"+a.Name()]; secret != "" {
			configuration, _ := a.Object["configuration"].(object)
			configuration["OAuthToken"] = "{{resolve:secretsmanager:" + secret + "}}"
		}
	}
	return s
}
