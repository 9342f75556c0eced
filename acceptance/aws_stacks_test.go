package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awsCLI runs the aws command as people have it, against the endpoint.
func (w *world) awsCLI(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	return w.cli(append([]string{"aws", "--"}, args...)...)
}

// aws is awsCLI for a command that has to succeed.
func (w *world) aws(args ...string) string {
	w.t.Helper()
	out, errs, code := w.awsCLI(args...)
	if code != 0 {
		w.t.Fatalf("aws %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return strings.TrimSpace(out)
}

// awsVariables is an environment in which AWS's clients use the endpoint.
func (w *world) awsVariables() []string {
	w.t.Helper()
	out := os.Environ()
	for line := range strings.Lines(w.must("aws", "env")) {
		if pair, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			name, value, _ := strings.Cut(pair, "=")
			out = append(out, name+"="+strings.Trim(value, "'"))
		}
	}
	return out
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const siteStack = `
Parameters:
  Greeting: {Type: String, Default: hello}
Resources:
  Site:
    Type: AWS::S3::Bucket
    Properties:
      WebsiteConfiguration: {IndexDocument: index.html}
      PublicAccessBlockConfiguration: {BlockPublicPolicy: false}
  Policy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Site
      PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: "*", Action: "s3:GetObject", Resource: !Sub "${Site.Arn}/*"}]}
  Greeting: {Type: "AWS::SSM::Parameter", Properties: {Name: /site/greeting, Type: String, Value: !Ref Greeting}}
Outputs:
  Bucket: {Value: !Ref Site}
  URL: {Value: !GetAtt Site.WebsiteURL}
`

// The unmodified aws command deploys, changes, describes, waits and deletes.
func TestStacksOfTheAWSCommand(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1", "us-west-2")
	template := writeFile(t, "site.yaml", siteStack)
	w.aws("cloudformation", "validate-template", "--template-body", "file://"+template)
	w.aws("cloudformation", "deploy", "--stack-name", "site", "--template-file", template)
	output := func(key string) string {
		return w.aws("cloudformation", "describe-stacks", "--stack-name", "site", "--query", "Stacks[0].Outputs[?OutputKey=='"+key+"'].OutputValue", "--output", "text")
	}
	bucket := output("Bucket")
	w.aws("s3", "cp", writeFile(t, "index.html", "<h1>it is there</h1>"), "s3://"+bucket+"/index.html", "--content-type", "text/html")
	if !strings.HasPrefix(output("URL"), "http://"+bucket+".localhost:") {
		t.Errorf("the URL is %s", output("URL"))
	}
	if status, body := w.get(bucket, "/"); status != 200 || !strings.Contains(body, "it is there") {
		t.Errorf("the site answers %d %s", status, body)
	}
	if out := w.aws("cloudformation", "deploy", "--stack-name", "site", "--template-file", template, "--no-fail-on-empty-changeset"); !strings.Contains(out, "No changes to deploy") {
		t.Errorf("unchanged: %s", out)
	}

	w.aws("cloudformation", "create-change-set", "--stack-name", "site", "--change-set-name", "new", "--use-previous-template", "--parameters", "ParameterKey=Greeting,ParameterValue=hi")
	w.aws("cloudformation", "wait", "change-set-create-complete", "--stack-name", "site", "--change-set-name", "new")
	if got := w.aws("cloudformation", "describe-change-set", "--stack-name", "site", "--change-set-name", "new", "--query", "Changes[].ResourceChange.[Action,LogicalResourceId,Replacement]", "--output", "text"); got != "Modify\tGreeting\tFalse" {
		t.Errorf("the changes are %q", got)
	}
	w.aws("cloudformation", "execute-change-set", "--stack-name", "site", "--change-set-name", "new")
	w.aws("cloudformation", "wait", "stack-update-complete", "--stack-name", "site")
	if got := w.aws("ssm", "get-parameter", "--name", "/site/greeting", "--query", "Parameter.Value", "--output", "text"); got != "hi" {
		t.Errorf("the parameter is %q", got)
	}

	broken := writeFile(t, "broken.yaml", siteStack[:strings.Index(siteStack, "Outputs:")]+"  Bad: {Type: 'AWS::SSM::Parameter', DependsOn: Site, Properties: {Name: aws-no, Type: String, Value: x}}\n")
	if _, errs, code := w.awsCLI("cloudformation", "deploy", "--stack-name", "site", "--template-file", broken); code == 0 || !strings.Contains(errs, "Failed to create/update the stack") {
		t.Errorf("a deployment that fails: exit %d\n%s", code, errs)
	}
	w.aws("cloudformation", "wait", "stack-rollback-complete", "--stack-name", "site")
	if got := w.aws("cloudformation", "describe-stacks", "--stack-name", "site", "--query", "Stacks[0].StackStatus", "--output", "text"); got != "UPDATE_ROLLBACK_COMPLETE" {
		t.Errorf("the stack is %s", got)
	}
	w.aws("cloudformation", "delete-stack", "--stack-name", "site")
	if got := w.aws("cloudformation", "describe-stacks", "--stack-name", "site", "--query", "Stacks[0].[StackStatus,StackStatusReason]", "--output", "text"); got != "DELETE_FAILED\tThe following resource(s) failed to delete: [Site]." {
		t.Errorf("with files in its bucket the stack is %q", got)
	}
	w.aws("s3", "rm", "s3://"+bucket+"/index.html")
	w.aws("cloudformation", "delete-stack", "--stack-name", "site")
	w.aws("cloudformation", "wait", "stack-delete-complete", "--stack-name", "site")
	if got := w.aws("s3api", "list-buckets", "--query", "length(Buckets)"); got != "0" {
		t.Errorf("%s buckets are left", got)
	}
	if out, _, _ := w.cli("doctor"); !strings.Contains(out, "kept and returned, not enforced") {
		t.Errorf("doctor does not say that IAM is not enforced:\n%s", out)
	}
}

// A stack of many resources is made while control is killed: each of them is made
// once, and the stack is complete.
func TestAStackSurvivesAKilledControlPlane(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1", "us-west-2")
	var b strings.Builder
	b.WriteString("Resources:\n  P0: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: v}}\n")
	const many = 300
	for i := 1; i < many; i++ {
		fmt.Fprintf(&b, "  P%d: {Type: 'AWS::SSM::Parameter', DependsOn: P%d, Properties: {Type: String, Value: v}}\n", i, i-1)
	}
	template := writeFile(t, "many.yaml", b.String())
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		// Its answer may be lost with the process, so the stack is described
		// instead.
		_, _, _ = w.awsCLI("cloudformation", "create-stack", "--stack-name", "many", "--template-body", "file://"+template)
	}()
	control := w.pid("control")
	w.eventually(30*time.Second, "the first resources", func() error {
		out, errs, _ := w.awsCLI("cloudformation", "describe-stacks", "--stack-name", "many", "--query", "Stacks[0].StackStatus", "--output", "text")
		if strings.TrimSpace(out) != "CREATE_IN_PROGRESS" {
			return errors.New(out + errs)
		}
		return nil
	})
	if err := syscall.Kill(control, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-begun
	w.eventually(30*time.Second, "control answers again", func() error {
		if out, errs, code := w.awsCLI("sts", "get-caller-identity"); code != 0 {
			return errors.New(out + errs)
		}
		return nil
	})
	w.aws("cloudformation", "wait", "stack-create-complete", "--stack-name", "many")
	if got := w.aws("ssm", "describe-parameters", "--query", "Parameters[?Version!=`1`]", "--output", "text"); got != "" {
		t.Errorf("changed more than once: %s", got)
	}
	var parameters []string
	if err := json.Unmarshal([]byte(w.aws("ssm", "describe-parameters", "--query", "Parameters[].Name", "--output", "json")), &parameters); err != nil || len(parameters) != many {
		t.Errorf("there are %d parameters, want %d (%v)", len(parameters), many, err)
	}
}

// runFor runs a command with an environment and a bound in time.
func runFor(t *testing.T, limit time.Duration, dir string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
