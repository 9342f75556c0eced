package acceptance

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A load balancer of AWS's clients spreads requests over the instances of two groups
// by their weights, through the edge; its targets' health is the instances' own.
func TestALoadBalancerOfAWSsClients(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t, "us-east-1")
	lines := `VPC=$(aws ec2 describe-vpcs --query 'Vpcs[0].VpcId' --output text)
LB=$(aws elbv2 create-load-balancer --name web --subnets subnet-12345678 subnet-87654321 --query 'LoadBalancers[0].LoadBalancerArn' --output text)
BLUE=$(aws elbv2 create-target-group --name blue --protocol HTTP --port 80 --vpc-id $VPC --query 'TargetGroups[0].TargetGroupArn' --output text)
GREEN=$(aws elbv2 create-target-group --name green --protocol HTTP --port 80 --vpc-id $VPC --query 'TargetGroups[0].TargetGroupArn' --output text)
aws elbv2 create-listener --load-balancer-arn $LB --protocol HTTP --port 80 --query 'Listeners[0].ListenerArn' --output text \
  --default-actions "Type=forward,ForwardConfig={TargetGroups=[{TargetGroupArn=$BLUE,Weight=80},{TargetGroupArn=$GREEN,Weight=20}]}"
aws autoscaling create-auto-scaling-group --auto-scaling-group-name blue --launch-template LaunchTemplateName=MyTemplate --min-size 2 --max-size 3 --vpc-zone-identifier subnet-12345678,subnet-87654321 --target-group-arns $BLUE
aws autoscaling create-auto-scaling-group --auto-scaling-group-name green --launch-template LaunchTemplateName=MyTemplate --min-size 1 --max-size 3 --vpc-zone-identifier subnet-12345678 --target-group-arns $GREEN
aws elbv2 wait load-balancer-available --load-balancer-arns $LB
aws elbv2 wait target-in-service --target-group-arn $BLUE
aws elbv2 wait target-in-service --target-group-arn $GREEN
aws elbv2 describe-load-balancers --query 'LoadBalancers[0].DNSName' --output text`
	printed := strings.Fields(w.mustShell(lines))
	listener, name := printed[0], printed[1]
	host, _, _ := strings.Cut(name, ":")
	if name != host+":"+strings.Split(w.edge, ":")[1] || !strings.HasSuffix(host, ".localhost") {
		t.Errorf("the load balancer's name is %s", name)
	}
	ask := func(path string) (string, error) {
		r, err := http.NewRequest(http.MethodGet, "http://"+w.edge+path, nil)
		if err != nil {
			return "", err
		}
		r.Host = name // as a client that resolves *.localhost sends it
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s", res.Status)
		}
		return string(body), err
	}
	const requests = 500
	green, seen := 0, map[string]bool{}
	for range requests {
		body, err := ask("/")
		if err != nil {
			t.Fatal(err)
		}
		seen[strings.Fields(body)[1]] = true
		if strings.Contains(body, "aws-asg-green") {
			green++
		}
	}
	// 20 % of 500 is 100; six standard deviations are 54.
	if green < 46 || green > 154 || len(seen) != 3 {
		t.Errorf("green had %d of %d requests, over the instances %v", green, requests, seen)
	}
	t.Logf("weights 80 to 20: green had %d of %d requests", green, requests)

	// A rule is carried out at once, with control killed in between too.
	w.mustShell("aws elbv2 create-rule --listener-arn " + listener + ` --priority 1 --conditions Field=path-pattern,Values='/health*' --actions "Type=fixed-response,FixedResponseConfig={StatusCode=200,ContentType=text/plain,MessageBody=fixed}"`)
	w.kill("control")
	if body, err := ask("/healthy"); err != nil || body != "fixed" {
		t.Errorf("the rule answers %q, %v", body, err)
	}

	// What a target group has when an instance is killed is what the region has.
	w.mustShellRetry("aws ec2 terminate-instances --instance-ids $(aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names green --query 'AutoScalingGroups[0].Instances[0].InstanceId' --output text)")
	w.eventually(time.Minute, "the replacement is a healthy target and answers", func() error {
		out, err := w.shell("aws elbv2 describe-target-health --target-group-arn $(aws elbv2 describe-target-groups --names green --query 'TargetGroups[0].TargetGroupArn' --output text) --query 'TargetHealthDescriptions[].TargetHealth.State' --output text")
		if err == nil && strings.TrimSpace(out) != "healthy" {
			err = fmt.Errorf("targets are %q", out)
		}
		return err
	})
	w.mustShell("aws elbv2 delete-load-balancer --load-balancer-arn $(aws elbv2 describe-load-balancers --names web --query 'LoadBalancers[0].LoadBalancerArn' --output text)")
	if body, err := ask("/"); err == nil {
		t.Errorf("the deleted load balancer answers %q", body)
	}
}
