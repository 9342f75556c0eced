package importer_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"showrunner/importer"
)

// words are names and values that documents contain, and some that they should
// not contain.
var words = []string{"", "main", "Build", "build", "a b", "9", "über", "x/y", "acme/shop", "-", "${{ secrets.X }}", "${parameters.env == 'x'}", "${bad}", "#{SV.CommitId}", "#{variables.env}",
	"true", "false", "0", "-5", "70000000", "2024-01-01", "[]", "*", "**", "!", "release/.*", "(", "a\nb", "rate(5 minutes)", "cron(0 12 ? * MON-FRI *)", "0 0 3 * * ?", "REPLACE_ME",
	"buildspec.yml", "../x", "/abs", "version: 0.2\nphases: {build: {commands: [make]}}\n", "version: 0.1\nphases: {build: {commands: [make]}}\n", "version: 0.2\nphases: {}\n", "{\"version\":0.2}",
	"https://example.com/x", "http://[", "s3://b/k", "{{resolve:ssm:/a}}", "\u0001x\u0002", "SKIP", "RETRY", "FAIL", "PLAINTEXT", "SECRETS_MANAGER", "succeeded"}

func word(t *rapid.T, what string) string { return rapid.SampledFrom(words).Draw(t, what) }

func maybe(t *rapid.T, o map[string]any, key string, v func() any) {
	if rapid.Bool().Draw(t, "has "+key) {
		o[key] = v()
	}
}

func list(t *rapid.T, what string, least, most int, item func(i int) any) []any {
	out := []any{}
	for i := range rapid.IntRange(least, most).Draw(t, what) {
		out = append(out, item(i))
	}
	return out
}

// generatedPipeline is a CodePipeline document of random parts.
func generatedPipeline(t *rapid.T) map[string]any {
	kinds := [][2]string{{"Source", "CodeStarSourceConnection"}, {"Source", "CodeCommit"}, {"Source", "GitHub"}, {"Source", "S3"}, {"Build", "CodeBuild"}, {"Test", "CodeBuild"},
		{"Compute", "Commands"}, {"Deploy", "S3"}, {"Deploy", "ECS"}, {"Approval", "Manual"}, {"Invoke", "CodePipeline"}, {"Invoke", "Lambda"}}
	keys := map[string][]string{"CodeStarSourceConnection": {"FullRepositoryId", "BranchName", "ConnectionArn", "DetectChanges"}, "CodeCommit": {"RepositoryName", "BranchName"},
		"GitHub": {"Owner", "Repo", "Branch", "OAuthToken", "PollForSourceChanges"}, "S3": {"S3Bucket", "S3ObjectKey", "BucketName", "ObjectKey", "Extract", "CacheControl"},
		"CodeBuild": {"ProjectName", "PrimarySource", "BatchEnabled", "EnvironmentVariables"}, "Manual": {"CustomData", "ExternalEntityLink", "NotificationArn"}, "CodePipeline": {"PipelineName", "Variables"}}
	artifacts := []string{"A", "B", "C"}
	names := func(what string) func() any {
		return func() any {
			return list(t, what, 0, 2, func(int) any { return map[string]any{"name": rapid.SampledFrom(artifacts).Draw(t, what)} })
		}
	}
	action := func(int) any {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		config := map[string]any{}
		for _, k := range keys[kind[1]] {
			maybe(t, config, k, func() any { return word(t, k) })
		}
		a := map[string]any{"name": word(t, "action"), "actionTypeId": map[string]any{"category": kind[0], "owner": "AWS", "provider": kind[1], "version": "1"}, "configuration": config}
		maybe(t, a, "inputArtifacts", names("input"))
		maybe(t, a, "outputArtifacts", names("output"))
		maybe(t, a, "runOrder", func() any { return rapid.IntRange(-1, 3).Draw(t, "order") })
		maybe(t, a, "region", func() any { return word(t, "region") })
		maybe(t, a, "namespace", func() any { return "SV" })
		maybe(t, a, "timeoutInMinutes", func() any { return rapid.IntRange(-1, 90000).Draw(t, "timeout") })
		maybe(t, a, "commands", func() any { return list(t, "commands", 0, 2, func(int) any { return word(t, "command") }) })
		maybe(t, a, "outputVariables", func() any { return list(t, "variables", 0, 2, func(int) any { return word(t, "variable") }) })
		return a
	}
	condition := func(int) any {
		return map[string]any{"result": word(t, "result"), "rules": list(t, "rules", 0, 2, func(int) any {
			return map[string]any{"name": word(t, "rule"), "ruleTypeId": map[string]any{"category": "Rule", "owner": "AWS", "provider": "VariableCheck", "version": "1"},
				"configuration": map[string]any{"Variable": word(t, "checked"), "Value": word(t, "value"), "Operator": rapid.SampledFrom([]string{"EQ", "NE", "MATCHES", "CONTAINS", "?"}).Draw(t, "operator")}}
		})}
	}
	stage := func(int) any {
		s := map[string]any{"name": word(t, "stage"), "actions": list(t, "actions", 0, 3, action)}
		maybe(t, s, "onFailure", func() any { return map[string]any{"result": word(t, "failure")} })
		maybe(t, s, "beforeEntry", func() any { return map[string]any{"conditions": list(t, "conditions", 0, 2, condition)} })
		return s
	}
	globs := func() any {
		return map[string]any{"includes": list(t, "includes", 0, 2, func(int) any { return word(t, "glob") }), "excludes": list(t, "excludes", 0, 2, func(int) any { return word(t, "glob") })}
	}
	p := map[string]any{"name": word(t, "pipeline"), "stages": list(t, "stages", 0, 4, stage)}
	maybe(t, p, "executionMode", func() any { return word(t, "mode") })
	maybe(t, p, "variables", func() any {
		return list(t, "variables", 0, 2, func(int) any {
			v := map[string]any{"name": word(t, "variable")}
			maybe(t, v, "defaultValue", func() any { return word(t, "default") })
			return v
		})
	})
	maybe(t, p, "triggers", func() any {
		return list(t, "triggers", 0, 2, func(int) any {
			push := map[string]any{}
			maybe(t, push, "branches", globs)
			maybe(t, push, "tags", globs)
			maybe(t, push, "filePaths", globs)
			return map[string]any{"gitConfiguration": map[string]any{"sourceActionName": word(t, "source"), "push": []any{push}}}
		})
	})
	return p
}

// generatedSpinnaker is a Spinnaker document of random parts.
func generatedSpinnaker(t *rapid.T) []any {
	stage := func(i int) any {
		s := map[string]any{"type": rapid.SampledFrom([]string{"wait", "manualJudgment", "webhook", "pipeline", "checkPreconditions", "deploy", ""}).Draw(t, "type"), "refId": fmt.Sprint(i)}
		s["requisiteStageRefIds"] = list(t, "needs", 0, 2, func(int) any { return fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "need")) })
		for _, k := range []string{"name", "waitTime", "comments", "instructions", "url", "method", "payload", "pipeline", "failPipeline", "continuePipeline", "completeOtherBranchesThenFail", "stageTimeoutMs", "waitForCompletion"} {
			maybe(t, s, k, func() any { return word(t, k) })
		}
		maybe(t, s, "pipelineParameters", func() any { return map[string]any{word(t, "parameter"): word(t, "value")} })
		maybe(t, s, "customHeaders", func() any { return map[string]any{word(t, "header"): word(t, "value")} })
		maybe(t, s, "stageEnabled", func() any { return map[string]any{"type": "expression", "expression": word(t, "enabled")} })
		maybe(t, s, "restrictedExecutionWindow", func() any {
			s["restrictExecutionDuringTimeWindow"] = true
			return map[string]any{"days": []any{rapid.IntRange(-1, 9).Draw(t, "day")}, "whitelist": []any{map[string]any{"startHour": rapid.IntRange(-1, 30).Draw(t, "hour"), "startMin": word(t, "minute")}}}
		})
		maybe(t, s, "preconditions", func() any {
			return list(t, "preconditions", 0, 2, func(int) any {
				return map[string]any{"type": rapid.SampledFrom([]string{"expression", "stageStatus"}).Draw(t, "kind"), "failPipeline": rapid.Bool().Draw(t, "fail"),
					"context": map[string]any{"expression": word(t, "expression"), "stageName": word(t, "asked"), "stageStatus": rapid.SampledFrom([]string{"SUCCEEDED", "x"}).Draw(t, "status"), "failureMessage": word(t, "message")}}
			})
		})
		return s
	}
	trigger := func(int) any {
		s := map[string]any{"type": rapid.SampledFrom([]string{"git", "cron", "webhook", "pipeline", "docker"}).Draw(t, "trigger"), "enabled": true}
		for _, k := range []string{"cronExpression", "project", "slug", "branch", "source", "pipeline", "secret"} {
			maybe(t, s, k, func() any { return word(t, k) })
		}
		maybe(t, s, "payloadConstraints", func() any { return map[string]any{word(t, "key"): word(t, "value")} })
		maybe(t, s, "parameters", func() any { return map[string]any{word(t, "parameter"): word(t, "value")} })
		maybe(t, s, "status", func() any { return []any{word(t, "status"), "successful"} })
		return s
	}
	return list(t, "pipelines", 1, 2, func(int) any {
		p := map[string]any{"name": word(t, "name"), "application": word(t, "application"), "stages": list(t, "stages", 0, 4, stage), "triggers": list(t, "triggers", 0, 3, trigger)}
		maybe(t, p, "id", func() any { return word(t, "id") })
		maybe(t, p, "description", func() any { return word(t, "description") })
		maybe(t, p, "parameterConfig", func() any {
			return list(t, "parameters", 0, 3, func(int) any {
				q := map[string]any{"name": rapid.SampledFrom([]string{"env", "a-b", "", "Env"}).Draw(t, "parameter"), "required": rapid.Bool().Draw(t, "required")}
				maybe(t, q, "default", func() any { return word(t, "default") })
				maybe(t, q, "options", func() any { q["hasOptions"] = true; return []any{map[string]any{"value": word(t, "option")}} })
				return q
			})
		})
		return p
	})
}

// TestGeneratedDocuments imports documents of random parts: the written file is
// always valid.
func TestGeneratedDocuments(t *testing.T) {
	t.Parallel()
	for kind, generate := range map[string]func(*rapid.T) any{
		"codepipeline": func(t *rapid.T) any { return generatedPipeline(t) },
		"spinnaker":    func(t *rapid.T) any { return generatedSpinnaker(t) },
		"cdk": func(t *rapid.T) any {
			return map[string]any{"Resources": map[string]any{"P": map[string]any{"Type": "AWS::CodePipeline::Pipeline", "Properties": generatedPipeline(t)},
				"Project": map[string]any{"Type": "AWS::CodeBuild::Project", "Properties": map[string]any{"Name": word(t, "project"), "Source": map[string]any{"BuildSpec": word(t, "spec")},
					"Environment": map[string]any{"Image": word(t, "image"), "EnvironmentVariables": []any{map[string]any{"Name": word(t, "variable"), "Value": word(t, "value"), "Type": word(t, "type")}}}}}}}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				raw, err := json.Marshal(generate(rt))
				if err != nil {
					rt.Fatal(err)
				}
				r, err := run(kind, raw, importer.Options{})
				if err != nil {
					rt.Fatalf("%v\n%s", err, raw)
				}
				if fault := problemOf(r); fault != "" {
					rt.Fatalf("%s\n%s", fault, raw)
				}
			})
		})
	}
}
