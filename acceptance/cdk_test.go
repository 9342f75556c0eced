package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"showrunner/internal/nodetest"
)

// cdkModules is a folder with the CDK that the example asks for.
func cdkModules(t *testing.T) string {
	t.Helper()
	return nodeModules(t, "cdk", filepath.Join("..", "examples", "cdk", "package.json"), "aws-cdk-lib")
}

// nodeModules is a folder with the packages that a package.json asks for, one of which
// is named. They are installed once and kept in the user's cache.
func nodeModules(t *testing.T, name, packages, one string) string {
	t.Helper()
	wanted, err := os.ReadFile(packages)
	if err != nil {
		t.Fatal(err)
	}
	return nodetest.Modules(t, name, wanted, one)
}

// cdkApp is a folder with an app and the CDK beside it.
func cdkApp(t *testing.T, app string) string {
	t.Helper()
	modules, dir := cdkModules(t), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(app)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// cdkValidation sets whether the CDK lints the templates that it has made, with rules of
// its own: three quarters of the processor's time of a synthesis, and nothing that the
// endpoint sees.
const cdkValidation = "CDK_VALIDATION="

// cdk runs the CDK in an app's folder. A separate home folder isolates its cache
// of accounts.
func (w *world) cdk(dir string, more []string, args ...string) (string, error) {
	w.t.Helper()
	env := append(w.awsVariables(), "CDK_DISABLE_CLI_TELEMETRY=true", cdkValidation+"false", "CI=true", "HOME="+dir, "CDK_HOME="+filepath.Join(dir, ".cdk"))
	env = append(env, more...)
	args = append([]string{filepath.Join(dir, "node_modules", "aws-cdk", "bin", "cdk")}, args...)
	return runFor(w.t, 4*time.Minute, dir, env, "node", append(args, "--no-notices", "--no-version-reporting")...)
}

// stateOfStacks is what the endpoint says of its stacks, and of what they are made of,
// for a test that has failed.
func (w *world) stateOfStacks() string {
	var b strings.Builder
	show := func(args ...string) string {
		out, problems, code := w.awsCLI(append(args, "--output", "text")...)
		fmt.Fprintf(&b, "aws %s (%d):\n%s%s\n", strings.Join(args, " "), code, out, problems)
		return strings.TrimSpace(out)
	}
	show("cloudformation", "describe-stacks", "--query", "Stacks[].[StackName,StackStatus,StackStatusReason]")
	show("ec2", "describe-instances", "--query", "Reservations[].Instances[].[InstanceId,State.Name,StateReason.Message]")
	for _, cluster := range strings.Fields(show("ecs", "list-clusters", "--query", "clusterArns")) {
		for _, service := range strings.Fields(show("ecs", "list-services", "--cluster", cluster, "--query", "serviceArns")) {
			show("ecs", "describe-services", "--cluster", cluster, "--services", service, "--query", "services[].[status,desiredCount,runningCount,deployments[].[id,status,rolloutState],events[:5].message]")
		}
	}
	return b.String()
}

// cdkSays runs the CDK, which has to succeed and to print a text.
func (w *world) cdkSays(want, dir string, more []string, args ...string) string {
	w.t.Helper()
	out, err := w.cdk(dir, more, args...)
	if err != nil || !strings.Contains(out, want) {
		w.t.Log(w.stateOfStacks())
		w.t.Fatalf("cdk %s: %v, want %q in\n%s", strings.Join(args, " "), err, want, out)
	}
	return out
}

// A group of instances behind a load balancer, as the CDK's constructs make them.
func TestTheCDKMakesAGroupOfInstances(t *testing.T) {
	t.Parallel()
	dir := cdkApp(t, filepath.Join("testdata", "cdk"))
	w := newAWSWorld(t, "us-east-1")
	w.cdkSays("bootstrapped", dir, nil, "bootstrap", "aws://000000000000/us-east-1")
	app := func(args ...string) []string { return append(args, "--app", "node group.js") }
	deploy := app("deploy", "--require-approval", "never")
	out := w.cdkSays("Web.Address = ", dir, nil, deploy...)
	w.answer(2)
	_, rest, _ := strings.Cut(out, "Web.Address = ")
	host, _, _ := strings.Cut(rest, ".localhost")
	w.eventually(time.Minute, "an answer through the load balancer", func() error {
		if status, body := w.get(host, "/"); status != 200 || !strings.HasPrefix(body, "instance i-") {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	w.cdkSays("Web", dir, []string{"CAPACITY=3"}, deploy...)
	w.answer(3)
	w.cdkSays("Web: destroyed", dir, nil, app("destroy", "--force")...)
	if got := w.aws("ec2", "describe-instances", "--filters", "Name=instance-state-name,Values=running", "--query", "length(Reservations)"); got != "0" {
		t.Errorf("%s instances run still", got)
	}
	if got := w.aws("ec2", "describe-vpcs", "--query", "length(Vpcs)"); got != "1" {
		t.Errorf("there are %s VPCs", got)
	}
}

// A Fargate service behind a load balancer, as the CDK's pattern makes it: the stack is
// complete once the tasks are healthy, an update rolls, and nothing is left.
func TestTheCDKMakesAFargateService(t *testing.T) {
	t.Parallel()
	dir := cdkApp(t, filepath.Join("testdata", "cdk"))
	w := newAWSWorld(t, "us-east-1")
	w.cdkSays("bootstrapped", dir, nil, "bootstrap", "aws://000000000000/us-east-1")
	app := func(args ...string) []string { return append(args, "--app", "node service.js") }
	deploy := app("deploy", "--require-approval", "never")
	out := w.cdkSays("Shop.Address = ", dir, nil, deploy...)
	_, rest, _ := strings.Cut(out, "Shop.Address = ")
	host, _, _ := strings.Cut(rest, ".localhost")
	if status, body := w.get(host, "/"); status != 200 || !strings.HasPrefix(body, "instance i-") {
		t.Errorf("once the stack is complete the load balancer answers %d %s", status, body)
	}
	w.cdkSays("Shop", dir, []string{"COUNT=3", "WORD=two"}, deploy...)
	cluster := w.aws("ecs", "list-clusters", "--query", "clusterArns[0]", "--output", "text")
	service := w.aws("ecs", "list-services", "--cluster", cluster, "--query", "serviceArns[0]", "--output", "text")
	w.eventually(time.Minute, "three tasks of the second revision", func() error {
		got := strings.Fields(w.aws("ecs", "describe-services", "--cluster", cluster, "--services", service, "--query", "services[0].[runningCount,taskDefinition,deployments[].rolloutState]", "--output", "text"))
		if len(got) != 3 || got[0] != "3" || !strings.HasSuffix(got[1], ":2") || got[2] != "COMPLETED" {
			return fmt.Errorf("after the update the service is %q", got)
		}
		return nil
	})
	w.eventually(time.Minute, "more tasks by the requests", func() error {
		for range 20 {
			w.get(host, "/")
		}
		if got := w.aws("ecs", "describe-services", "--cluster", cluster, "--services", service, "--query", "services[0].desiredCount"); got <= "3" {
			return fmt.Errorf("%s tasks are wanted", got)
		}
		return nil
	})
	if got := w.aws("application-autoscaling", "describe-scaling-activities", "--service-namespace", "ecs", "--query", "ScalingActivities[0].Cause", "--output", "text"); !strings.Contains(got, "ALBRequestCountPerTarget is ") {
		t.Errorf("the cause of the scaling is %q", got)
	}
	group := w.aws("logs", "describe-log-groups", "--query", "logGroups[0].logGroupName", "--output", "text")
	w.eventually(time.Minute, "what the tasks wrote in their log streams", func() error {
		if got := w.aws("logs", "filter-log-events", "--log-group-name", group, "--log-stream-name-prefix", "Service/web/", "--query", "length(events)"); got == "0" {
			return fmt.Errorf("no events in %s", group)
		}
		return nil
	})
	w.cdkSays("Shop: destroyed", dir, nil, app("destroy", "--force")...)
	if got := w.aws("ec2", "describe-instances", "--filters", "Name=instance-state-name,Values=running", "--query", "length(Reservations)"); got != "0" {
		t.Errorf("%s tasks run still", got)
	}
	if got := w.aws("ecs", "list-clusters", "--query", "length(clusterArns)"); got != "0" {
		t.Errorf("%s clusters are left", got)
	}
}
