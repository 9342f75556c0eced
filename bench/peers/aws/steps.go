package aws

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// An articleStep is one of the article's commands as it is typed, and how one
// finds out that what it says has happened.
type articleStep struct {
	name string
	// typed are the commands. prepare is typed before them where they fail without:
	// what the article takes to be there.
	typed, prepare string
	// happened exits with 0 once it has happened; it is asked until then, for wait.
	happened string
	wait     time.Duration
}

// answering counts the instances of the group that answer at their own address.
// Only addresses of this machine are asked.
const answering = `
n=0
for i in $(aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names NetflixASG --query "AutoScalingGroups[0].Instances[?LifecycleState=='InService'].InstanceId" --output text); do
  [ "$i" = "$killed" ] && continue
  a=$(aws ec2 describe-instances --instance-ids $i --query 'Reservations[].Instances[].PublicDnsName' --output text)
  case "$a" in 127.*|*localhost*) curl -sf -m 2 -o "$HOME/answer" "http://$a/" && n=$((n+1));; esac
done
[ $n -eq 2 ]`

var articleSteps = []articleStep{
	{name: "secret", typed: `aws secretsmanager create-secret --name github-token --secret-string worthless`,
		happened: `[ "$(aws secretsmanager get-secret-value --secret-id github-token --query SecretString --output text)" = worthless ]`, wait: 10 * time.Second},
	{name: "two instances that answer",
		typed:    `aws autoscaling create-auto-scaling-group --auto-scaling-group-name NetflixASG --launch-template LaunchTemplateName=MyTemplate --min-size 2 --max-size 10 --desired-capacity 2 --vpc-zone-identifier "$subnets"`,
		prepare:  `aws ec2 create-launch-template --launch-template-name MyTemplate --launch-template-data "{\"ImageId\":\"$(aws ec2 describe-images --query 'Images[0].ImageId' --output text)\",\"InstanceType\":\"t3.micro\"}" && subnets=$(aws ec2 describe-subnets --query 'Subnets[:2].SubnetId' --output text | tr '\t' ',')`,
		happened: answering, wait: 30 * time.Second},
	{name: "one killed, two answer",
		typed: `instance=$(aws ec2 describe-instances --query "Reservations[*].Instances[?State.Name=='running'].InstanceId" --output text | shuf -n 1)
killed=$instance
aws ec2 terminate-instances --instance-ids $instance`,
		happened: answering, wait: 30 * time.Second},
	{name: "service is stable",
		typed: `aws ecs create-cluster --cluster-name MyCluster
aws ecs register-task-definition --family MyTask --container-definitions '[{"name":"app","image":"nginx","memory":128}]'
aws ecs create-service --cluster MyCluster --service-name MyService --task-definition MyTask --desired-count 2`,
		happened: `[ "$(aws ecs describe-services --cluster MyCluster --services MyService --query 'services[0].[runningCount,length(deployments)]' --output text | tr '\t' ' ')" = "2 1" ]`, wait: 30 * time.Second},
	{name: "metric is read back", typed: `aws cloudwatch put-metric-data --namespace Netflix/Demo --metric-name CPUUtilization --unit Percent --value 50`,
		happened: `[ "$(aws cloudwatch get-metric-statistics --namespace Netflix/Demo --metric-name CPUUtilization --statistics Average --period 60 --start-time $(date -u -d '-5 min' +%FT%TZ) --end-time $(date -u -d '+2 min' +%FT%TZ) --query 'Datapoints[0].Average' --output text)" = 50.0 ]`, wait: 15 * time.Second},
	{name: "record is read back", typed: `aws kinesis create-stream --stream-name MyStream --shard-count 1 && aws kinesis wait stream-exists --stream-name MyStream
aws kinesis put-record --stream-name MyStream --partition-key a --data hello`,
		happened: `[ "$(aws kinesis get-records --shard-iterator $(aws kinesis get-shard-iterator --stream-name MyStream --shard-id shardId-000000000000 --shard-iterator-type TRIM_HORIZON --query ShardIterator --output text) --query 'Records[0].Data' --output text)" = aGVsbG8= ]`, wait: 15 * time.Second},
	{name: "alarm fires", typed: `aws cloudwatch put-metric-alarm --alarm-name hot --namespace Netflix/Demo --metric-name CPUUtilization --statistic Maximum --period 60 --evaluation-periods 1 --threshold 10 --comparison-operator GreaterThanThreshold`,
		happened: `[ "$(aws cloudwatch describe-alarms --alarm-names hot --query 'MetricAlarms[0].StateValue' --output text)" = ALARM ]`, wait: 90 * time.Second},
}

// takeSteps types every step at one endpoint and then at the other.
func takeSteps(ctx context.Context, dir string, ours, moto *endpoint) ([]step, error) {
	list := make([]step, len(articleSteps))
	for i, e := range []*endpoint{ours, moto} {
		e.env = append(e.env, "subnets=subnet-12345678,subnet-87654321", "killed=")
		for k, s := range articleSteps {
			list[k].Name = s.name
			o, err := e.take(ctx, dir, s)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				list[k].Ours = o
			} else {
				list[k].Moto = o
			}
		}
	}
	return list, nil
}

// take types one step, and waits until it has happened.
func (e *endpoint) take(ctx context.Context, dir string, s articleStep) (outcome, error) {
	var o outcome
	keep := filepath.Join(dir, "killed")
	script := func(typed string) string {
		return "set -e\n" + typed + "\nprintf %s \"$killed\" > " + keep
	}
	began := time.Now()
	said, err := e.shell(ctx, script(s.typed))
	if err != nil {
		o.Said = lastLine(said)
		if s.prepare == "" {
			return o, ctx.Err()
		}
		began = time.Now()
		if said, err = e.shell(ctx, script("{ "+s.prepare+"; }\n"+s.typed)); err != nil {
			o.Said += "; with what it needs: " + lastLine(said)
			return o, ctx.Err()
		}
		o.Prepared = true
	}
	o.Answered = true
	killed, err := os.ReadFile(keep)
	if err != nil {
		return o, err
	}
	for ctx.Err() == nil && time.Since(began) < s.wait {
		if _, err := e.shell(ctx, "killed="+string(killed)+"\n"+s.happened); err == nil {
			o.Happened, o.After = true, time.Since(began)
			break
		}
	}
	return o, ctx.Err()
}

// shell types commands with the environment of the endpoint.
func (e *endpoint) shell(ctx context.Context, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = e.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
