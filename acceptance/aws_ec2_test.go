package acceptance

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// newAWSWorld is a world whose endpoint for clients of AWS listens. The test is
// skipped where there is no aws command.
func newAWSWorld(t *testing.T, regions ...string) *world {
	t.Helper()
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("the aws command is not installed")
	}
	return newWorldWith(t, []string{"--aws", freeAddress(t)}, regions...)
}

// shell runs lines in a shell whose AWS clients use the endpoint, as a reader of
// the documents does, and returns their output.
func (w *world) shell(lines string) (string, error) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "sh", "-c", "set -e\neval \"$("+binary+" --data "+w.data+" aws env)\"\n"+lines)
	cmd.Dir, cmd.Env = w.t.TempDir(), os.Environ()
	if !w.asInstalled {
		cmd.Env = append(cmd.Env, "PATH="+sharedAWS.ready(w.t).path)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", lines, err, errs.String())
	}
	return out.String(), nil
}

func (w *world) mustShell(lines string) string {
	w.t.Helper()
	out, err := w.shell(lines)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// answering are the running instances that answer HTTP at their public names.
func (w *world) answering() (map[string]bool, error) {
	out, err := w.shell("aws ec2 describe-instances --filters Name=instance-state-name,Values=running --query 'Reservations[].Instances[].[InstanceId,PublicDnsName]' --output text")
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for line := range strings.Lines(out) {
		id, address, _ := strings.Cut(strings.TrimSpace(line), "\t")
		res, err := http.Get("http://" + address + "/")
		if err != nil {
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil && res.StatusCode == http.StatusOK && strings.Contains(string(body), id) {
			found[id] = true
		}
	}
	return found, nil
}

// answer waits until n instances answer, without those that are gone.
func (w *world) answer(n int, gone ...string) map[string]bool {
	w.t.Helper()
	var found map[string]bool
	w.eventually(time.Minute, fmt.Sprintf("%d instances answer", n), func() (err error) {
		if found, err = w.answering(); err != nil {
			return err
		}
		for _, id := range gone {
			if found[id] {
				return fmt.Errorf("%s answers still", id)
			}
		}
		if len(found) != n {
			return fmt.Errorf("%d answer", len(found))
		}
		return nil
	})
	return found
}

// mustShellRetry runs lines again until they succeed: control comes back.
func (w *world) mustShellRetry(lines string) {
	w.t.Helper()
	w.eventually(time.Minute, lines, func() error { _, err := w.shell(lines); return err })
}

// A kill -9 of control in the middle of an operation leaves the operation done or
// not done, never half done, and repeating it completes it.
func TestAWSOperationsSurviveAKilledControl(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1")
	image := strings.TrimSpace(w.mustShell("aws ec2 describe-images --owners amazon --query 'Images[0].ImageId' --output text"))
	port := newWirePort(t, strings.TrimPrefix(w.variable("AWS_ENDPOINT_URL"), "http://"))
	for round, delay := range []time.Duration{0, 5, 20, 60, 150} { // of two commands, the second comes after some 100 ms
		name := fmt.Sprintf("g%d", round)
		killed := w.killAfterArrival(port, delay*time.Millisecond)
		_, _ = w.shell("AWS_ENDPOINT_URL=http://" + port.address + "\naws autoscaling create-auto-scaling-group --auto-scaling-group-name " + name + " --launch-template LaunchTemplateName=MyTemplate --min-size 1 --max-size 1 --vpc-zone-identifier subnet-12345678\n" +
			"aws ec2 run-instances --image-id " + image + " --client-token " + name) // whatever comes of them
		killed()
		w.eventually(time.Minute, "the group is made", func() error {
			_, err := w.shell("aws autoscaling create-auto-scaling-group --auto-scaling-group-name " + name + " --launch-template LaunchTemplateName=MyTemplate --min-size 1 --max-size 1 --vpc-zone-identifier subnet-12345678")
			if err != nil && !strings.Contains(err.Error(), "AlreadyExists") {
				return err
			}
			_, err = w.shell("aws ec2 run-instances --image-id " + image + " --client-token " + name)
			return err
		})
	}
	w.answer(10)
	w.mustShell("for i in $(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[].AutoScalingGroupName' --output text); do aws autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name $i; done")
	w.answer(5)
	if out := w.mustShell("aws autoscaling describe-auto-scaling-groups --query 'length(AutoScalingGroups)'"); strings.TrimSpace(out) != "0" {
		w.eventually(30*time.Second, "the groups are gone", func() error {
			if out := w.mustShell("aws autoscaling describe-auto-scaling-groups --query 'length(AutoScalingGroups)'"); strings.TrimSpace(out) != "0" {
				return fmt.Errorf("%s groups", out)
			}
			return nil
		})
	}
}
