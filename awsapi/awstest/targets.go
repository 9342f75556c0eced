package awstest

import (
	"context"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// WebTargets is the target group that TargetGroups has.
const WebTargets = "arn:web"

// TargetGroups is the load balancers' side of a service that attaches instances to
// target groups: it has one, and keeps what it is told.
type TargetGroups struct {
	Told []string // of which something has changed
	Dead bool     // control is: nothing is told any more
}

// CheckTargetGroup refuses every target group but WebTargets.
func (g *TargetGroups) CheckTargetGroup(_ context.Context, _, arn string) error {
	if arn != WebTargets {
		return &wire.Error{Code: "TargetGroupNotFound", Message: "One or more target groups not found"}
	}
	return nil
}

// Changed keeps what it is told.
func (g *TargetGroups) Changed(_ context.Context, _ string, arns []string) error {
	if g.Dead {
		return problem.New(problem.Unavailable, "test", "control is dead")
	}
	g.Told = append(g.Told, arns...)
	return nil
}
