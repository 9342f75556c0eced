package control

import "context"

// AWSCall is an operation that a client of AWS asks for.
type AWSCall struct {
	Service   string // as AWS's models name it: ecs
	Operation string // CreateService
	Region    string
	Caller    string // the principal's ARN
	Request   string // the request's identifier
}

// AWS carries out an operation of the AWS-compatible endpoint that may change
// something, with its intent and outcome in the audit log. What act calls of this
// service is recorded on its own. Errors: denied, unavailable, and those of act.
func (s *Service) AWS(ctx context.Context, p Principal, c AWSCall, act func() error) error {
	details := map[string]any{"operation": c.Operation, "region": c.Region, "caller": c.Caller, "request": c.Request}
	return s.perform(ctx, p, opAWS, Subject{Kind: KindAWS, Name: c.Service}, details, func() (map[string]any, error) {
		return map[string]any{"operation": c.Operation}, act()
	})
}
