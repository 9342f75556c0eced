package acceptance

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The commands as the article prints them, with the smallest file that they read.
const articleService = `cat > task-def.json <<'END'
{"family":"MyTask","containerDefinitions":[{"name":"app","image":"nginx","memory":128}]}
END
aws ecs create-cluster --cluster-name MyCluster
aws ecs register-task-definition --cli-input-json file://task-def.json
aws ecs create-service --cluster MyCluster --service-name MyService --task-definition MyTask --desired-count 2
aws ecs wait services-stable --cluster MyCluster --services MyService
`

// taskAddresses lists the addresses of a service's tasks by the tasks' names.
const taskAddresses = `aws ecs describe-tasks --cluster MyCluster --tasks $(aws ecs list-tasks --cluster MyCluster --service-name MyService --query taskArns --output text) \
  --query 'tasks[].[taskArn,taskDefinitionArn,containers[0].networkBindings[0].bindIP,to_string(containers[0].networkBindings[0].hostPort)]' --output text`

// serving are the tasks of the article's service that answer HTTP, with the revision that each runs.
func (w *world) serving() (map[string]string, error) {
	out, err := w.shell(taskAddresses)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 4 {
			return nil, fmt.Errorf("no task's line: %q", line)
		}
		res, err := http.Get("http://" + f[2] + ":" + f[3] + "/")
		if err != nil {
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil && res.StatusCode == http.StatusOK && strings.Contains(string(body), "aws-ecs-mycluster-myservice-v") {
			found[f[0]] = f[1][strings.LastIndexByte(f[1], '/')+1:]
		}
	}
	return found, nil
}

// serve waits until n tasks answer that run a revision, and none of those that are gone.
func (w *world) serve(n int, revision string, gone ...string) map[string]string {
	w.t.Helper()
	var found map[string]string
	w.eventually(time.Minute, fmt.Sprintf("%d tasks of %s answer", n, revision), func() (err error) {
		if found, err = w.serving(); err != nil {
			return err
		}
		for task, runs := range found {
			if runs != revision {
				return fmt.Errorf("%s runs %s", task, runs)
			}
		}
		for _, task := range gone {
			if found[task] != "" {
				return fmt.Errorf("%s answers still", task)
			}
		}
		if len(found) != n {
			return fmt.Errorf("%d answer", len(found))
		}
		return nil
	})
	return found
}

const stable = "aws ecs wait services-stable --cluster MyCluster --services MyService"

// A service is stable because its tasks answer. A stopped task is replaced,
// an update runs through, a bad revision is undone, and what is deleted is gone.
func TestServicesOfECS(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1")
	began := time.Now()
	w.mustShell(articleService)
	t.Logf("the service is stable %.1f s after create-cluster began", time.Since(began).Seconds())
	before := w.serve(2, "MyTask:1")

	began = time.Now()
	stopped := ""
	for task := range before {
		stopped = task
	}
	w.mustShell("aws ecs stop-task --cluster MyCluster --task " + stopped + " --reason chaos")
	w.serve(2, "MyTask:1", stopped)
	t.Logf("the replacement answers %.1f s after stop-task began", time.Since(began).Seconds())
	if out := w.mustShell("aws ecs describe-tasks --cluster MyCluster --tasks " + stopped + " --query 'tasks[].[lastStatus,stopCode,stoppedReason]' --output text"); strings.TrimSpace(out) != "STOPPED\tUserInitiated\tchaos" {
		t.Errorf("the stopped task is %q", out)
	}

	const revision = `aws ecs register-task-definition --family MyTask --container-definitions '[{"name":"app","image":"nginx","memory":128,%s}]' --query taskDefinition.revision
aws ecs update-service --cluster MyCluster --service MyService --task-definition MyTask --deployment-configuration 'deploymentCircuitBreaker={enable=true,rollback=true}' --query service.status
`
	began = time.Now()
	w.mustShell(fmt.Sprintf(revision, `"environment":[{"name":"A","value":"b"}]`) + stable)
	w.serve(2, "MyTask:2")
	t.Logf("the new revision is stable %.1f s after its registration began", time.Since(began).Seconds())

	began = time.Now()
	w.mustShell(fmt.Sprintf(revision, `"command":["false"]`))
	w.eventually(time.Minute, "the bad revision is undone", func() error {
		out, err := w.shell("aws ecs describe-services --cluster MyCluster --services MyService --query 'services[].deployments[].[rolloutState,taskDefinition]' --output text")
		if err == nil && (strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "COMPLETED") || !strings.Contains(out, "MyTask:2")) {
			err = fmt.Errorf("deployments: %s", out)
		}
		return err
	})
	t.Logf("the bad revision is undone %.1f s after its registration began", time.Since(began).Seconds())
	w.serve(2, "MyTask:2")
	if out := w.mustShell("aws ecs describe-services --cluster MyCluster --services MyService --query 'services[].events[].message' --output text"); !strings.Contains(out, "deployment failed: tasks failed to start.") || !strings.Contains(out, "rolling back to deployment ecs-svc/") {
		t.Errorf("events: %s", out)
	}

	w.mustShell("aws ecs delete-service --cluster MyCluster --service MyService --force\naws ecs wait services-inactive --cluster MyCluster --services MyService\naws ecs delete-cluster --cluster MyCluster")
	if out := w.mustShell("aws ec2 describe-instances --filters Name=instance-state-name,Values=pending,running --query 'length(Reservations)'"); strings.TrimSpace(out) != "0" {
		t.Errorf("%s instances are left", out)
	}
}

// A task that no service keeps runs once: it ends with its program, is not started
// again, whatever dies, and is stopped by a call.
func TestTasksOfECSRunOnce(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1")
	const run = `aws ecs run-task --cluster Once --task-definition MyTask --query 'tasks[0].taskArn' --output text `
	w.mustShell(`aws ecs create-cluster --cluster-name Once
aws ecs register-task-definition --family MyTask --container-definitions '[{"name":"app","image":"nginx","memory":128}]'`)
	out := w.mustShell(`
ending=$(` + run + `--overrides '{"containerOverrides":[{"name":"app","command":["sh","-c","echo began; exit 3"]}]}')
aws ecs wait tasks-stopped --cluster Once --tasks $ending
aws ecs describe-tasks --cluster Once --tasks $ending --query 'tasks[].[lastStatus,stopCode,containers[0].exitCode]' --output text
staying=$(` + run + `)
aws ecs wait tasks-running --cluster Once --tasks $staying
aws ecs describe-clusters --clusters Once --query 'clusters[].runningTasksCount' --output text
binding=$(aws ecs describe-tasks --cluster Once --tasks $staying --query 'tasks[].containers[].networkBindings[].[bindIP,hostPort]' --output text | tr '\t' :)
curl -fsS -o answer http://$binding/ && echo answers
echo $staying > ` + filepath.Join(w.data, "task") + `
`)
	if want := "STOPPED\tEssentialContainerExited\t3\n1\nanswers\n"; out != want {
		t.Fatalf("the tasks: %q, want %q", out, want)
	}
	w.kill("control")
	w.kill("region-us-east-1") // its processes die with it
	w.eventually(time.Minute, "the task has ended with its region", func() error {
		out, err := w.shell("aws ecs describe-tasks --cluster Once --tasks $(cat " + filepath.Join(w.data, "task") + ") --query 'tasks[].lastStatus' --output text && aws ecs list-tasks --cluster Once --query 'length(taskArns)'")
		if err == nil && out != "STOPPED\n0\n" {
			err = fmt.Errorf("it is %q", out)
		}
		return err
	})
	out = w.mustShell(`
staying=$(` + run + `)
aws ecs wait tasks-running --cluster Once --tasks $staying
aws ecs stop-task --cluster Once --task $staying --reason enough --query task.desiredStatus --output text
aws ecs wait tasks-stopped --cluster Once --tasks $staying
aws ecs describe-tasks --cluster Once --tasks $staying --query 'tasks[].[stopCode,stoppedReason]' --output text
aws ecs delete-cluster --cluster Once --query cluster.status --output text
`)
	if want := "STOPPED\nUserInitiated\tenough\nINACTIVE\n"; out != want {
		t.Errorf("the stopped task: %q, want %q", out, want)
	}
}

// A kill -9 of control in the middle of an operation or a deployment leaves what the
// next one completes; the region replaces tasks without control.
func TestServicesOfECSSurviveAKilledControl(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1")
	w.mustShell(articleService)
	for round, delay := range []time.Duration{300, 500, 700, 900} {
		killed := make(chan struct{}, 2)
		kill := func() { w.kill("control"); killed <- struct{}{} }
		time.AfterFunc(delay*time.Millisecond, kill)
		update := "aws ecs update-service --cluster MyCluster --service MyService --task-definition MyTask:"
		register := fmt.Sprintf(`aws ecs register-task-definition --family MyTask --container-definitions '[{"name":"app","image":"nginx","memory":128,"environment":[{"name":"ROUND","value":"%d"}]}]' --query taskDefinition.revision --output text`, round)
		out, err := w.shell(register)
		<-killed
		if err != nil { // whatever came of it, a revision more may be there
			w.eventually(time.Minute, register, func() (err error) { out, err = w.shell(register); return err })
		}
		number := strings.TrimSpace(out)
		time.AfterFunc(delay*time.Millisecond, kill)
		_, _ = w.shell(update + number) // whatever comes of it
		<-killed
		w.mustShellRetry(update + number + " --desired-count 2\n" + stable)
		w.serve(2, "MyTask:"+number)
	}
	if out := w.mustShell(taskAddresses + " | wc -l"); strings.TrimSpace(out) != "2" {
		t.Errorf("%s tasks", out)
	}
	for task := range w.serve(2, strings.TrimSpace(w.mustShell("aws ecs describe-services --cluster MyCluster --services MyService --query 'services[0].taskDefinition' --output text | sed 's#.*/##'"))) {
		w.kill("control")
		w.mustShellRetry("aws ecs stop-task --cluster MyCluster --task " + task)
		w.mustShellRetry(stable)
		w.mustShellRetry("aws ecs delete-service --cluster MyCluster --service MyService --force")
		w.kill("control")
		break
	}
	w.mustShellRetry("aws ecs wait services-inactive --cluster MyCluster --services MyService")
}

// A load balancer reaches the tasks of a service, also after an update.
func TestALoadBalancerBeforeAServiceOfECS(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1")
	name := w.mustShell(`VPC=$(aws ec2 describe-vpcs --query 'Vpcs[0].VpcId' --output text)
LB=$(aws elbv2 create-load-balancer --name web --subnets subnet-12345678 subnet-87654321 --query 'LoadBalancers[0].LoadBalancerArn' --output text)
TG=$(aws elbv2 create-target-group --name tasks --target-type ip --protocol HTTP --port 80 --vpc-id $VPC --query 'TargetGroups[0].TargetGroupArn' --output text)
aws elbv2 create-listener --load-balancer-arn $LB --protocol HTTP --port 80 --default-actions Type=forward,TargetGroupArn=$TG > listener.json
aws ecs create-cluster --cluster-name MyCluster > cluster.json
for n in 1 2; do aws ecs register-task-definition --family MyTask --container-definitions '[{"name":"app","image":"nginx","memory":128,"portMappings":[{"containerPort":80}]}]' > task.json; done
aws ecs create-service --cluster MyCluster --service-name MyService --task-definition MyTask:1 --desired-count 2 --load-balancers targetGroupArn=$TG,containerName=app,containerPort=80 > service.json
` + stable + `
aws elbv2 wait target-in-service --target-group-arn $TG
aws elbv2 describe-load-balancers --query 'LoadBalancers[0].DNSName' --output text`)
	ask := func() (string, error) {
		r, err := http.NewRequest(http.MethodGet, "http://"+w.edge+"/", nil)
		if err != nil {
			return "", err
		}
		r.Host = strings.TrimSpace(name)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", res.Status, body)
		}
		return string(body), err
	}
	instances := map[string]bool{}
	for range 20 {
		body, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		instances[strings.Fields(body)[1]] = true
	}
	if len(instances) != 2 {
		t.Errorf("the load balancer reached %v", instances)
	}
	w.mustShell("aws ecs update-service --cluster MyCluster --service MyService --task-definition MyTask:2\n" + stable)
	w.serve(2, "MyTask:2")
	if body, err := ask(); err != nil || !strings.Contains(body, "myservice-v001") {
		t.Errorf("after the update it answers %q, %v", body, err)
	}
}
