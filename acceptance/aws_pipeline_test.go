package acceptance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"showrunner/control"
	"showrunner/execution"
)

// deliveryFiles are a repository that needs no network: an npm project, as the article has it.
var deliveryFiles = map[string]string{
	"package.json": `{"name":"site","version":"1.0.0","private":true,"scripts":{"build":"node build.js"}}`,
	"build.js":     "const fs=require('fs');fs.mkdirSync('dist/js',{recursive:true});fs.writeFileSync('dist/index.html','<p>version '+fs.readFileSync('version','utf8')+'</p>');fs.writeFileSync('dist/js/app.js','1')",
	"version":      "one",
}

// awsDelivery is a world with the article's repository, buckets and build project.
type awsDelivery struct {
	*world
	repo *repo
}

func newAWSDelivery(t *testing.T) *awsDelivery {
	t.Helper()
	for _, tool := range []string{"npm", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	d := &awsDelivery{newAWSWorld(t, "us-east-1", "us-west-2"), newRepo(t, deliveryFiles)}
	d.must("aws", "repository", "owner/repo="+d.repo.dir)
	d.aws("s3", "mb", "s3://artifacts")
	d.aws("s3", "mb", "s3://netflix-demo", "--region", "us-west-2")
	d.aws("s3", "website", "s3://netflix-demo", "--index-document", "index.html")
	d.aws("s3api", "put-bucket-policy", "--bucket", "netflix-demo", "--policy",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::netflix-demo/*"}]}`)
	return d
}

// template is the article's pipeline and build project, out of its CDK template,
// with references to other resources replaced.
func (d *awsDelivery) template(change func(pipeline map[string]any)) (pipeline, project string) {
	d.t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", "netflix-demo.template.json"))
	if err != nil {
		d.t.Fatal(err)
	}
	var t struct {
		Resources map[string]struct {
			Type       string
			Properties map[string]any
		}
	}
	if err := json.Unmarshal(source, &t); err != nil {
		d.t.Fatal(err)
	}
	for _, r := range t.Resources {
		p, _ := lowered(r.Properties, "").(map[string]any)
		switch r.Type {
		case "AWS::CodePipeline::Pipeline":
			delete(p["artifactStore"].(map[string]any), "encryptionKey")
			if change != nil {
				change(p)
			}
			pipeline = d.file("pipeline.json", map[string]any{"pipeline": p})
		case "AWS::CodeBuild::Project":
			p["name"] = "BuildProject"
			delete(p, "encryptionKey")
			project = d.file("project.json", p)
		}
	}
	return pipeline, project
}

func (d *awsDelivery) file(name string, v any) string {
	d.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		d.t.Fatal(err)
	}
	return "file://" + writeFile(d.t, name, string(data))
}

// lowered is a template's value as the API has it: members begin in lower case but
// those of an action's configuration, booleans of it are texts, and references are
// the names that the test has given.
func lowered(v any, under string) any {
	switch x := v.(type) {
	case map[string]any:
		if id, ok := x["Ref"].(string); ok {
			for prefix, name := range map[string]string{"BuildProject": "BuildProject", "PipelineArtifactsBucket": "artifacts", "NetflixDemoBucket": "netflix-demo"} {
				if strings.HasPrefix(id, prefix) {
					return name
				}
			}
		}
		if x["Fn::GetAtt"] != nil {
			return "arn:aws:iam::000000000000:role/role"
		}
		out := map[string]any{}
		for k, e := range x {
			if under != "configuration" {
				k = strings.ToLower(k[:1]) + k[1:]
			}
			if k == "buildSpec" {
				k = "buildspec"
			}
			if out[k] = lowered(e, k); under == "configuration" {
				if b, is := e.(bool); is {
					out[k] = fmt.Sprint(b)
				}
			}
		}
		return out
	case []any:
		out := []any{}
		for _, e := range x {
			out = append(out, lowered(e, under))
		}
		return out
	}
	return v
}

// status is the status of an execution of a pipeline, and of its stages.
func (d *awsDelivery) status(pipeline, id string) (whole string, stages map[string]string) {
	d.t.Helper()
	whole = d.aws("codepipeline", "get-pipeline-execution", "--pipeline-name", pipeline, "--pipeline-execution-id", id, "--query", "pipelineExecution.status", "--output", "text")
	var list []struct {
		StageName       string
		LatestExecution *struct{ PipelineExecutionID, Status string }
	}
	out := d.aws("codepipeline", "get-pipeline-state", "--name", pipeline, "--query", "stageStates", "--output", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		d.t.Fatal(err)
	}
	stages = map[string]string{}
	for _, st := range list {
		if st.LatestExecution != nil && st.LatestExecution.PipelineExecutionID == id {
			stages[st.StageName] = st.LatestExecution.Status
		}
	}
	return whole, stages
}

// until waits until an execution has a status.
func (d *awsDelivery) until(pipeline, id, want string) {
	d.t.Helper()
	d.eventually(2*time.Minute, "execution "+id+" is "+want, func() error {
		if got, stages := d.status(pipeline, id); got != want {
			return fmt.Errorf("it is %s, stages %v", got, stages)
		}
		return nil
	})
}

func (d *awsDelivery) start(pipeline string) string {
	d.t.Helper()
	return d.aws("codepipeline", "start-pipeline-execution", "--name", pipeline, "--query", "pipelineExecutionId", "--output", "text")
}

// newest is the newest execution of a pipeline.
func (d *awsDelivery) newest(pipeline string) string {
	d.t.Helper()
	return d.aws("codepipeline", "list-pipeline-executions", "--pipeline-name", pipeline, "--query", "pipelineExecutionSummaries[0].pipelineExecutionId", "--output", "text")
}

func (d *awsDelivery) serves(want string) {
	d.t.Helper()
	if code, body := d.get("netflix-demo", "/"); code != http.StatusOK || !strings.Contains(body, want) {
		d.t.Fatalf("the site answers %d %s, want %s", code, body, want)
	}
}

// The article's pipeline, made by the unmodified command of AWS out of its CDK
// template, delivers the page; a commit delivers the next; on our side it is an
// application like every other.
func TestTheArticlesPipelineDelivers(t *testing.T) {
	t.Parallel()
	d := newAWSDelivery(t)
	pipeline, project := d.template(nil)
	d.aws("codebuild", "create-project", "--cli-input-json", project)
	began := time.Now()
	d.aws("codepipeline", "create-pipeline", "--cli-input-json", pipeline)
	first := d.newest("NetflixDemoPipeline")
	d.until("NetflixDemoPipeline", first, "Succeeded")
	d.serves("version one")
	t.Logf("from create-pipeline to the page: %s", time.Since(began).Round(100*time.Millisecond))
	if keys := d.aws("s3", "ls", "--recursive", "s3://netflix-demo"); !strings.Contains(keys, "index.html") || !strings.Contains(keys, "js/app.js") {
		t.Errorf("the bucket holds\n%s", keys)
	}
	var app control.Application
	if err := json.Unmarshal([]byte(d.must("applications", "-o", "json")), &[]*control.Application{&app}); err != nil || app.Name != "NetflixDemoPipeline" || len(app.Pipelines) != 1 {
		t.Errorf("the application is %+v: %v", app, err)
	}
	var page execution.Page
	d.json(&page, "executions", "list", "--application", "NetflixDemoPipeline")
	if len(page.Executions) != 1 || page.Executions[0].Status != execution.Succeeded {
		t.Errorf("on our side: %+v", page.Executions)
	}
	build := d.aws("codebuild", "list-builds-for-project", "--project-name", "BuildProject", "--query", "ids[0]", "--output", "text")
	if out := d.aws("codebuild", "batch-get-builds", "--ids", build, "--query", "builds[0].[buildStatus,initiator,length(phases)]", "--output", "text"); out != "SUCCEEDED\tcodepipeline/NetflixDemoPipeline\t11" {
		t.Errorf("the build is %s", out)
	}
	d.repo.commit("second", map[string]string{"version": "two"})
	d.eventually(time.Minute, "the commit starts an execution", func() error {
		if d.newest("NetflixDemoPipeline") == first {
			return fmt.Errorf("none is there")
		}
		return nil
	})
	d.until("NetflixDemoPipeline", d.newest("NetflixDemoPipeline"), "Succeeded")
	d.serves("version two")
	d.aws("codepipeline", "delete-pipeline", "--name", "NetflixDemoPipeline")
	if _, errs, _ := d.awsCLI("codepipeline", "get-pipeline", "--name", "NetflixDemoPipeline"); !strings.Contains(errs, "PipelineNotFoundException") {
		t.Errorf("after its deletion: %s", errs)
	}
	d.serves("version two")
}

// gated is the article's pipeline with an approval before its deployment.
func gated(p map[string]any) {
	p["name"] = "gated"
	stages := p["stages"].([]any)
	approval := map[string]any{"name": "Approve", "actions": []any{map[string]any{"name": "Look", "actionTypeId": map[string]any{"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}}}}
	p["stages"] = []any{stages[0], stages[1], approval, stages[2]}
}

// token is that of the approval that waits.
func (d *awsDelivery) token() string {
	d.t.Helper()
	token := ""
	d.eventually(2*time.Minute, "an approval waits", func() error {
		token = d.aws("codepipeline", "get-pipeline-state", "--name", "gated", "--query", "stageStates[?stageName=='Approve'].actionStates[0].latestExecution.token", "--output", "text")
		if token == "" || token == "None" {
			return fmt.Errorf("there is no token")
		}
		return nil
	})
	return token
}

// A failed stage is retried, an approval is given, an execution is stopped and
// abandoned, and a transition holds, each of them over a kill -9 of control.
func TestAWSClientsOperatePipelines(t *testing.T) {
	t.Parallel()
	d := newAWSDelivery(t)
	d.repo.commit("broken", map[string]string{"package.json": `{"name":"site","version":"1.0.0","scripts":{"build":"sh -c 'test -e ` + d.repo.dir + `/mended && node build.js'"}}`})
	pipeline, project := d.template(gated)
	d.aws("codebuild", "create-project", "--cli-input-json", project)
	d.aws("codepipeline", "create-pipeline", "--cli-input-json", pipeline)
	id := d.newest("gated")
	d.until("gated", id, "Failed")
	if _, stages := d.status("gated", id); stages["Source"] != "Succeeded" || stages["Build"] != "Failed" || stages["Approve"] != "" {
		t.Errorf("stages %v", stages)
	}
	why := d.aws("codepipeline", "list-action-executions", "--pipeline-name", "gated", "--query", "actionExecutionDetails[0].output.executionResult.errorDetails.message", "--output", "text")
	if !strings.Contains(why, "npm run build") {
		t.Errorf("the failure says %s", why)
	}
	if err := os.WriteFile(filepath.Join(d.repo.dir, "mended"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := d.aws("codepipeline", "retry-stage-execution", "--pipeline-name", "gated", "--stage-name", "Build", "--pipeline-execution-id", id, "--retry-mode", "FAILED_ACTIONS", "--output", "text"); got != id {
		t.Errorf("the retry is of %s, not %s", got, id)
	}
	d.kill("control")
	token := d.token()
	d.kill("control")
	approve := []string{"codepipeline", "put-approval-result", "--pipeline-name", "gated", "--stage-name", "Approve", "--action-name", "Look", "--token", token, "--result", "summary=fine,status=Approved"}
	d.aws(approve...)
	d.until("gated", id, "Succeeded")
	d.serves("version one")
	if _, errs, _ := d.awsCLI(approve...); !strings.Contains(errs, "ApprovalAlreadyCompletedException") {
		t.Errorf("the same approval again: %s", errs)
	}

	second := d.start("gated")
	d.token()
	d.aws("codepipeline", "stop-pipeline-execution", "--pipeline-name", "gated", "--pipeline-execution-id", second, "--reason", "not today")
	if got, _ := d.status("gated", second); got != "Stopping" {
		t.Errorf("while the approval waits it is %s", got)
	}
	d.kill("control")
	d.aws("codepipeline", "put-approval-result", "--pipeline-name", "gated", "--stage-name", "Approve", "--action-name", "Look", "--token", d.token(), "--result", "summary=fine,status=Approved")
	d.until("gated", second, "Stopped")
	if _, stages := d.status("gated", second); stages["Approve"] != "Succeeded" || stages["Deploy"] != "" {
		t.Errorf("stages of the one that was stopped: %v", stages)
	}

	d.aws("codepipeline", "disable-stage-transition", "--pipeline-name", "gated", "--stage-name", "Approve", "--transition-type", "Inbound", "--reason", "weekend")
	third := d.start("gated")
	d.eventually(time.Minute, "the execution waits before the stage", func() error {
		got := d.aws("codepipeline", "get-pipeline-state", "--name", "gated", "--query", "stageStates[?stageName=='Approve'].inboundExecution.pipelineExecutionId", "--output", "text")
		if got != third {
			return fmt.Errorf("inbound is %s", got)
		}
		return nil
	})
	d.kill("control")
	d.aws("codepipeline", "enable-stage-transition", "--pipeline-name", "gated", "--stage-name", "Approve", "--transition-type", "Inbound")
	d.token()
	d.aws("codepipeline", "stop-pipeline-execution", "--pipeline-name", "gated", "--pipeline-execution-id", third, "--abandon")
	d.until("gated", third, "Stopped")
	if _, stages := d.status("gated", third); stages["Approve"] != "Stopped" {
		t.Errorf("stages of the one that was abandoned: %v", stages)
	}
}

// Builds run by themselves, from S3 to S3, with parameters and secrets; they are
// stopped, and go on over a kill -9 of control.
func TestAWSClientsBuild(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1", "us-west-2")
	if _, err := exec.LookPath("zip"); err != nil {
		t.Skip("zip is not installed")
	}
	w.mustShell(`
aws s3 mb s3://uploads; aws s3 mb s3://results --region us-west-2
echo "made of uploads" > page.txt; zip -q app.zip page.txt; aws s3 cp app.zip s3://uploads/app.zip
aws ssm put-parameter --name /app/key --type SecureString --value parameter-7f3a
aws secretsmanager create-secret --name app/db --secret-string '{"password":"password-9c1b"}'
`)
	spec := "version: 0.2\nenv:\n  parameter-store:\n    KEY: /app/key\n  secrets-manager:\n    PASSWORD: app/db:password\n  exported-variables: [LENGTH]\nphases:\n  build:\n    commands:\n" +
		"      - test \"$KEY\" = parameter-7f3a && test \"$PASSWORD\" = password-9c1b && test \"$OWN\" = parameter-7f3a\n      - LENGTH=${#PASSWORD}\n      - sh -c \"$WORK\"\n      - cp page.txt out.txt\nartifacts:\n  files: [out.txt]\n"
	project := map[string]any{"name": "job", "source": map[string]any{"type": "S3", "location": "uploads/app.zip", "buildspec": spec}, "artifacts": map[string]any{"type": "S3", "location": "results", "name": "job"},
		"environment": map[string]any{"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL",
			"environmentVariables": []any{map[string]any{"name": "WORK", "value": "true"}, map[string]any{"name": "OWN", "value": "/app/key", "type": "PARAMETER_STORE"}}},
		"serviceRole": "arn:aws:iam::000000000000:role/build"}
	data, err := json.Marshal(project)
	if err != nil {
		t.Fatal(err)
	}
	w.aws("codebuild", "create-project", "--cli-input-json", "file://"+writeFile(t, "job.json", string(data)))
	build := func(work string) string {
		return w.aws("codebuild", "start-build", "--project-name", "job", "--environment-variables-override", "name=WORK,value="+work, "--query", "build.id", "--output", "text")
	}
	ends := func(id, want string) {
		w.eventually(2*time.Minute, "build "+id+" is "+want, func() error {
			got := w.aws("codebuild", "batch-get-builds", "--ids", id, "--query", "builds[0].[buildStatus,currentPhase,phases[].contexts[].message]", "--output", "json")
			if !strings.Contains(got, want) {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})
	}
	first := build("true")
	ends(first, `"SUCCEEDED"`)
	if got := w.aws("s3", "cp", "s3://results/job/out.txt", "-"); got != "made of uploads" {
		t.Errorf("the artifact is %q", got)
	}
	if got := w.aws("codebuild", "batch-get-builds", "--ids", first, "--query", "builds[0].[exportedEnvironmentVariables[0].value,artifacts.location]", "--output", "text"); got != "13\tarn:aws:s3:::results/job" {
		t.Errorf("the build says %q", got)
	}
	_, stream, _ := strings.Cut(first, ":")
	if log := w.aws("logs", "get-log-events", "--log-group-name", "/aws/codebuild/job", "--log-stream-name", stream, "--query", "events[].message", "--output", "text"); !strings.Contains(log, "Running command: cp page.txt out.txt") || strings.Contains(log, "password-9c1b") {
		t.Errorf("its log events are %s", log)
	}
	_, _, code := w.awsCLI("s3api", "get-bucket-website", "--bucket", "results")
	if code == 0 {
		t.Error("the bucket of the artifacts has become a website")
	}
	ends(build("exit 3"), `"FAILED"`)
	gate := filepath.Join(t.TempDir(), "gate")
	running := build("until test -e " + gate + "; do sleep 0.1; done")
	ends(running, `"BUILD"`)
	w.kill("control")
	ends(running, `"IN_PROGRESS"`)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ends(running, `"SUCCEEDED"`)
	stopped := build("sleep 600")
	ends(stopped, `"BUILD"`)
	w.aws("codebuild", "stop-build", "--id", stopped)
	ends(stopped, `"STOPPED"`)
	ids := strings.Fields(w.aws("codebuild", "list-builds-for-project", "--project-name", "job", "--query", "ids", "--output", "text"))
	if len(ids) != 4 || ids[0] != stopped || ids[3] != first {
		t.Errorf("builds %v", ids)
	}
}
