package acceptance

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheArticle types every command of docs/article.md with an empty data folder,
// compares what they print with what the page shows, and looks after each of them at
// what has really happened. With -update it writes the page anew.
func TestTheArticle(t *testing.T) {
	t.Parallel()
	parts := readPage(t)
	r := newReader(t)
	r.asInstalled = true
	for _, p := range parts {
		if p.step == nil {
			continue
		}
		began := time.Now()
		out, err := r.run(p.step)
		if err != nil {
			t.Fatalf("%s\n%s%v", p.step.script, out, err)
		}
		if p.step.name == "start" {
			_, said, _ := strings.Cut(r.output.String(), "\nShowrunner is up.")
			out = "Showrunner is up." + strings.ReplaceAll(said, " --data "+r.data, "")
		}
		got := r.shown(p.step.name, out)
		switch want, have := forms(p.step.output), forms(got); {
		case *update:
			p.step.output = got
		case !slices.Equal(want, have):
			t.Errorf("%s\nthe page shows\n  %s\nit prints\n  %s", p.step.script, strings.Join(want, "\n  "), strings.Join(have, "\n  "))
		}
		if check := happened[p.step.name]; check != nil {
			r.asInstalled = false // only what the page types is typed in its way
			check(r, 1)
			r.asInstalled = true
		}
		if measure := measured[p.step.name]; measure != nil {
			sentence := measure(r, began)
			t.Logf("%s: %s", p.step.name, sentence)
			if *update {
				setMeasured(t, parts, p.step.name, sentence)
			}
		}
	}
	if *update {
		writePage(t, parts)
	}
}

// says is what a shell command prints, in the reader's shell.
func (r *reader) says(script string) string {
	r.t.Helper()
	out, err := r.run(&pageStep{script: script})
	if err != nil {
		r.t.Fatalf("%s\n%s%v", script, out, err)
	}
	return strings.TrimSpace(out)
}

// is compares what a command prints.
func (r *reader) is(want, script string) {
	r.t.Helper()
	if got := strings.Join(strings.Fields(r.says(script)), " "); got != want {
		r.t.Errorf("%s\nprints %q, want %q", script, got, want)
	}
}

// between compares the number that a command prints.
func (r *reader) between(least, most int, script string) {
	r.t.Helper()
	var n int
	if text := r.says(script); true {
		if _, err := fmt.Sscan(text, &n); err != nil || n < least || n > most {
			r.t.Errorf("%s\nprints %q, want %d to %d", script, text, least, most)
		}
	}
}

// happened look, after a step of the page, at what it has made: that it is there, and
// there once. attempts is how often its requests may have arrived: what AWS itself
// does as often as it is asked may have happened that often.
var happened = map[string]func(r *reader, attempts int){
	"secret": func(r *reader, _ int) {
		r.is("1", "aws secretsmanager list-secrets --query 'length(SecretList)'")
		r.is("1", "aws secretsmanager list-secret-version-ids --secret-id github-token --query 'length(Versions)'")
	},
	"bootstrap": func(r *reader, _ int) {
		r.is("CDKToolkit CREATE_COMPLETE", "aws cloudformation describe-stacks --query 'Stacks[].[StackName,StackStatus]' --output text")
		r.is("11", "aws cloudformation describe-stack-resources --stack-name CDKToolkit --query 'length(StackResources)'")
	},
	"deploy": func(r *reader, _ int) {
		r.is("CREATE_COMPLETE", "aws cloudformation describe-stacks --stack-name NetflixCicdDemoStack --query 'Stacks[].StackStatus' --output text")
		r.articleResources()
	},
	"delivered": func(r *reader, _ int) {
		r.is("1", "aws codepipeline list-pipeline-executions --pipeline-name NetflixDemoPipeline --query 'length(pipelineExecutionSummaries)'")
		r.is("1", "aws codebuild list-builds --query 'length(ids)'")
	},
	"unchanged": func(r *reader, _ int) { r.articleResources() },
	"changed": func(r *reader, _ int) {
		r.is("UPDATE_COMPLETE", "aws cloudformation describe-stacks --stack-name NetflixCicdDemoStack --query 'Stacks[].StackStatus' --output text")
		r.articleResources()
	},
	"fails": func(r *reader, _ int) {
		r.is("UPDATE_ROLLBACK_COMPLETE", "aws cloudformation describe-stacks --stack-name NetflixCicdDemoStack --query 'Stacks[].StackStatus' --output text")
		r.articleResources()
		r.is("1", "aws codebuild batch-get-projects --names $(aws codebuild list-projects --query 'projects[0]' --output text) --query 'projects[0].source.buildspec' --output text | grep -c if-present")
	},
	"group": func(r *reader, _ int) {
		r.answer(2)
		r.is("NetflixASG 2", "aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[].[AutoScalingGroupName,length(Instances)]' --output text")
	},
	"chaos": func(r *reader, _ int) {
		r.answer(2, r.says(`echo "$instance"`))
		if causes := r.says("aws autoscaling describe-scaling-activities --auto-scaling-group-name NetflixASG --query 'Activities[].Cause' --output text"); !strings.Contains(causes, "needing to be replaced") || !strings.Contains(causes, "health check indicating it has been terminated") {
			r.t.Errorf("activities: %s", causes)
		}
		r.is("1", "aws ec2 describe-instances --filters Name=instance-state-name,Values=shutting-down,terminated Name=tag:aws:autoscaling:groupName,Values=NetflixASG --query 'length(Reservations)'")
	},
	"cluster": func(r *reader, _ int) { r.is("1", "aws ecs list-clusters --query 'length(clusterArns)'") },
	"definition": func(r *reader, attempts int) {
		r.between(1, attempts, "aws ecs list-task-definitions --query 'length(taskDefinitionArns)'")
	},
	"service": func(r *reader, _ int) {
		r.is("1", "aws ecs list-services --cluster MyCluster --query 'length(serviceArns)'")
	},
	"stable": func(r *reader, _ int) {
		r.is("2", "aws ecs list-tasks --cluster MyCluster --query 'length(taskArns)'")
		found, err := r.serving()
		if err != nil || len(found) != 2 {
			r.t.Errorf("tasks that answer: %v, %v", found, err)
		}
	},
	"metric": func(r *reader, attempts int) {
		r.between(1, attempts, "aws cloudwatch get-metric-statistics --namespace NetflixApp --metric-name StreamingLatency --statistics SampleCount --period 86400 --start-time $(date -u -d '-1 day' +%FT%TZ) --end-time $(date -u -d '+1 day' +%FT%TZ) --query 'sum(Datapoints[].SampleCount)' --output text | cut -d. -f1")
	},
	"stream": func(r *reader, _ int) {
		r.is("1", "aws kinesis describe-stream-summary --stream-name NetflixEvents --query StreamDescriptionSummary.OpenShardCount")
	},
	"record": func(r *reader, attempts int) {
		r.between(1, attempts, `aws kinesis get-records --shard-iterator $(aws kinesis get-shard-iterator --stream-name NetflixEvents --shard-id shardId-000000000000 --shard-iterator-type TRIM_HORIZON --query ShardIterator --output text) --query 'length(Records)'`)
	},
	"destroy": func(r *reader, _ int) {
		r.is("CDKToolkit", "aws cloudformation describe-stacks --query 'Stacks[].StackName' --output text")
		r.is("0 0", "echo $(aws codepipeline list-pipelines --query 'length(pipelines)') $(aws codebuild list-projects --query 'length(projects)')")
		r.is("0", "aws s3api list-buckets --query \"length(Buckets[?contains(Name,'websitebucket')])\"")
	},
	"no-service": func(r *reader, _ int) { r.is("0", "aws ecs list-tasks --cluster MyCluster --query 'length(taskArns)'") },
	"no-group": func(r *reader, _ int) {
		r.eventually(time.Minute, "the group is gone", func() error {
			if got := r.says("aws autoscaling describe-auto-scaling-groups --query 'length(AutoScalingGroups)'"); got != "0" {
				return fmt.Errorf("%s groups", got)
			}
			return nil
		})
	},
}

// articleResources looks at what the article's stack makes: one of each.
func (r *reader) articleResources() {
	r.t.Helper()
	r.is("NetflixDemoPipeline", "aws codepipeline list-pipelines --query 'pipelines[].name' --output text")
	r.is("1", "aws codebuild list-projects --query 'length(projects)'")
	r.is("2", "aws s3api list-buckets --query \"length(Buckets[?starts_with(Name,'netflixcicddemostack-')])\"")
	r.is("17", "aws cloudformation describe-stack-resources --stack-name NetflixCicdDemoStack --query 'length(StackResources)'")
}

// measured take times that the page tells as a range, since they differ from run to
// run. Several rounds are for the page alone.
var measured = map[string]func(r *reader, began time.Time) string{
	"group": func(r *reader, began time.Time) string {
		took := []time.Duration{time.Since(began)}
		for n := range r.rounds() {
			before := time.Now()
			r.says("aws autoscaling create-auto-scaling-group --launch-template LaunchTemplateName=MyTemplate --min-size 2 --max-size 2 --vpc-zone-identifier subnet-12345678 --auto-scaling-group-name " + another(n))
			r.answer(4)
			took = append(took, time.Since(before))
			r.removeAnother(n)
		}
		return fmt.Sprintf("Two instances answered %s after the command began, most of it the start of `aws` itself (%d times).", span(took), len(took))
	},
	"chaos": func(r *reader, began time.Time) string {
		took := []time.Duration{time.Since(began)}
		for n := range r.rounds() {
			r.says("aws autoscaling create-auto-scaling-group --launch-template LaunchTemplateName=MyTemplate --min-size 2 --max-size 2 --vpc-zone-identifier subnet-12345678 --auto-scaling-group-name " + another(n))
			r.answer(4)
			before := time.Now()
			victim := r.says("aws ec2 describe-instances --filters Name=tag:aws:autoscaling:groupName,Values=" + another(n) + " Name=instance-state-name,Values=running --query 'Reservations[0].Instances[0].InstanceId' --output text")
			r.says("aws ec2 terminate-instances --instance-ids " + victim)
			r.answer(4, victim)
			took = append(took, time.Since(before))
			r.removeAnother(n)
		}
		return fmt.Sprintf("A replacement answered %s after the command began, most of it the starts of `aws` itself (%d kills).", span(took), len(took))
	},
}

func (r *reader) rounds() int {
	if *update {
		return 4
	}
	return 0
}

// span is a range of whole seconds that holds all times.
func span(took []time.Duration) string {
	least, most := slices.Min(took).Seconds(), slices.Max(took).Seconds()
	return fmt.Sprintf("%.0f to %.0f s", math.Floor(least), math.Ceil(most))
}

// another is a group beside the article's.
func another(n int) string { return fmt.Sprintf("another-%d", n) }

func (r *reader) removeAnother(n int) {
	r.t.Helper()
	r.says("aws autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name " + another(n))
	r.answer(2)
	r.eventually(time.Minute, "the other group is gone", func() error {
		if got := r.says("aws autoscaling describe-auto-scaling-groups --query 'length(AutoScalingGroups)'"); got != "1" {
			return fmt.Errorf("%s groups", got)
		}
		return nil
	})
}
