package gallery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
	"showrunner/subscription"
)

// illInstance is an instance that fails in every state but the empty one; endedInstance
// has ended.
const illInstance, endedInstance = "i-us-west-2-8-0003", "i-us-west-2-8-0000-ended"

func (c *canned) Instances(context.Context, control.Principal, string, bool) ([]cloud.Instance, error) {
	g := c.group("us-west-2", 8, 25, 4, true)
	return answer(c, g.Ended...)
}

func (c *canned) InstanceLog(_ context.Context, _ control.Principal, id string, _ bool, w io.Writer) error {
	if c.state == Partial {
		return problem.New(problem.Unavailable, "", "us-west-2 does not answer")
	}
	_, err := io.WriteString(w, logText(c.state))
	return err
}

func (c *canned) EdgeRegions(context.Context, control.Principal) ([]control.EdgeRegion, error) {
	var list []control.EdgeRegion
	for i, r := range regions {
		e := control.EdgeRegion{Name: r, Address: fmt.Sprintf("127.0.0.1:3100%d", i), Healthy: c.state != Partial || i != 2, Since: *c.ago(3 * time.Hour), Requests: uint64(120_000 / (i + 1)), Errors: uint64(i * 12)}
		if c.state == Hostile {
			e.Weight = new(float64(i))
		}
		list = append(list, e)
	}
	return answer(c, list...)
}

func (c *canned) Drift(context.Context, control.Principal, string, string, string, string) ([]control.Drift, error) {
	s := c.state
	list := []control.Drift{
		{Cluster: "storefront-prod", Account: "local", Application: appName(s, "storefront"), Execution: "ex0001", Version: text(s, 1, "4f1c2b2"), Differences: []control.Difference{
			{Kind: control.DriftCapacity, Region: "us-east-1", ServerGroup: "storefront-prod-v007", Deployed: "4 to 16 instances, 8 desired", Runs: text(s, 0, "1 to 16 instances, 2 desired"), Repair: "set the capacity to 4, 8, 16"},
			{Kind: control.DriftUnknown, Region: "eu-west-1", Deployed: text(s, 2, "v007"), Runs: "not known", Help: "run `showrunner regions`"}}},
		{Site: "storefront", Account: "local", Execution: "ex0001", Version: "4f1c2b2", Busy: "running", Differences: []control.Difference{{Kind: control.DriftObjects, Region: "us-west-2", Deployed: "2,000 objects", Runs: "1 was replaced", Objects: []cloud.SiteChange{{Key: text(s, 3, "index.html"), Change: "replaced"}}, Repair: "upload it again"}}},
		{Cluster: "search", Account: "local", Application: appName(s, "search")},
	}
	if s == Huge {
		for i := range 300 {
			d := list[0]
			d.Cluster = fmt.Sprintf("cluster-%03d", i)
			list = append(list, d)
		}
	}
	return answer(c, list...)
}

func (c *canned) Freezes(context.Context, control.Principal) ([]control.Freeze, error) {
	s := c.state
	return answer(c, control.Freeze{Name: "black-friday", Reason: text(s, 0, "no changes while everybody shops"), To: c.now().Add(60 * time.Hour), By: text(s, 1, "mia"), Exempt: []string{"storefront/hotfix"}, ExemptReason: text(s, 2, "security")},
		control.Freeze{Name: "holidays", Reason: text(s, 3, "nobody is here"), Applications: []string{appName(s, "storefront")}, From: c.now().Add(600 * time.Hour), Rollbacks: true},
		control.Freeze{Name: "audit", Reason: "the auditors were here", To: *c.ago(time.Hour)})
}

func (c *canned) ListSecrets(context.Context, control.Principal) ([]control.SecretInfo, error) {
	return answer(c, control.SecretInfo{Name: "github-token", Updated: *c.ago(400 * 24 * time.Hour)}, control.SecretInfo{Name: "webhook", Updated: *c.ago(time.Hour)})
}

func (c *canned) Subscriptions(context.Context, control.Principal) ([]subscription.Subscription, error) {
	s := c.state
	return answer(c,
		subscription.Subscription{Name: "chat", URL: text(s, 1, "https://chat.example/hooks/7"), Secret: "webhook", Types: []string{"execution.", "trigger.failed"}, Application: appName(s, "storefront"), By: text(s, 2, "mia"), Progress: &subscription.Progress{Delivered: 412, Last: *c.ago(time.Minute)}},
		subscription.Subscription{Name: "audit", URL: "https://siem.example/", Secret: "webhook", Progress: &subscription.Progress{Parked: text(s, 3, "answered 410 Gone"), Error: text(s, 0, "410 Gone")}},
		subscription.Subscription{Name: "new", URL: "https://new.example/", Secret: "webhook"},
		subscription.Subscription{Name: "slow", URL: "https://slow.example/", Secret: "webhook", Progress: &subscription.Progress{Failures: 3, Failing: *c.ago(time.Hour), Error: "timeout"}})
}

func (c *canned) Deliveries(context.Context, control.Principal, string, int) (json.RawMessage, error) {
	s := c.state
	type m = map[string]any
	list, err := answer(c,
		m{"id": "d1", "provider": "github", "event": "push", "repository": text(s, 1, "https://git.example/shop"), "ref": text(s, 2, "refs/heads/main"), "commit": c.revision(0).Commit, "redeliverable": true, "redeliveryOf": "d0", "by": text(s, 1, "mia"), "received": c.ago(9 * time.Minute), "status": 202, "verdict": "started", "pipelines": []m{{"application": "storefront", "pipeline": "release", "verdict": "started", "execution": "running", "number": 41}, {"application": "search", "pipeline": "release", "verdict": "ignored", "reason": text(s, 3, "no file that it watches changed")}}},
		m{"id": "d2", "provider": "gitlab", "event": "push", "repository": "https://git.example/shop", "received": c.ago(time.Hour), "status": 401, "verdict": "refused", "reason": text(s, 0, "the signature is wrong")})
	if err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

func (c *canned) AWSImages(context.Context, control.Principal) ([]control.AWSImage, error) {
	return answer(c, control.AWSImage{Name: "amazon/amazon-ecs-sample", Artifact: "sample", Health: "/"}, control.AWSImage{Name: text(c.state, 3, "shop"), Artifact: "sha256:4f1c2ab9e0", Command: []string{"./shop"}, By: "mia", Updated: *c.ago(time.Hour)})
}

func (c *canned) AWSRepositories(context.Context, control.Principal) ([]control.AWSRepository, error) {
	return answer(c, control.AWSRepository{Name: "acme/shop", URL: text(c.state, 0, "/srv/git/shop.git"), By: text(c.state, 1, "mia"), Updated: *c.ago(time.Hour)})
}
