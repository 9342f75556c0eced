package acceptance

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var printedEndpoint = regexp.MustCompile(`AWS +eval "\$\(.* aws env\)".*\((http://[0-9.:]+)`)

// Without any flag up serves clients of AWS, says how to use them, and two of them
// on one machine do not collide; the address outlives a kill -9 of control.
func TestTheEndpointOfAWSIsOnByDefault(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("the aws command is not installed")
	}
	t.Setenv("AWS_PROFILE", "of-somebody-else") // showrunner aws uses none
	first, second := newWorld(t, "us-east-1"), newWorld(t, "us-east-1")
	seen := map[string]bool{}
	for _, w := range []*world{first, second} {
		printed := printedEndpoint.FindStringSubmatch(w.output.String())
		if printed == nil {
			t.Fatalf("up does not say where the endpoint is:\n%s", w.output.String())
		}
		if seen[printed[1]] {
			t.Fatalf("both are at %s", printed[1])
		}
		seen[printed[1]], w.asInstalled = true, true
		if doctor, _, _ := w.cli("doctor"); !strings.Contains(doctor, printed[1]) || !strings.Contains(doctor, "aws -- s3 ls") {
			t.Errorf("doctor does not say how to use %s:\n%s", printed[1], doctor)
		}
		w.kill("control")
		if env := w.must("aws", "env"); !strings.Contains(env, "AWS_ENDPOINT_URL='"+printed[1]+"'") {
			t.Errorf("after a restart the endpoint is not at %s:\n%s", printed[1], env)
		}
		if got := w.aws("sts", "get-caller-identity", "--query", "Account", "--output", "text"); got != "000000000000" {
			t.Errorf("the account is %s", got)
		}
	}
	off := newWorldWith(t, []string{"--aws", "off"}, "us-east-1")
	if printedEndpoint.MatchString(off.output.String()) {
		t.Errorf("with --aws off it says\n%s", off.output.String())
	}
	if _, errs, code := off.cli("aws", "env"); code == 0 || !strings.Contains(errs, "--aws off") {
		t.Errorf("aws env: %d %s", code, errs)
	}
}
