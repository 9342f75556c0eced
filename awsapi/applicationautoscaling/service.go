package applicationautoscaling

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"showrunner/awsapi/ecs"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
)

type object = wire.Object

// Caller carries out operations of the other services of the endpoint.
type Caller interface {
	Call(ctx context.Context, c wire.Call, service, operation string, in map[string]any) (map[string]any, error)
}

// Counter reads what the load balancer of a region has counted for a cluster.
type Counter interface {
	Counts(ctx context.Context, region, cluster string) ([]cloud.Counts, error)
}

// Config is what the service needs.
type Config struct {
	Records  state.Records
	Services Caller
	// Loads are the services of ECS of a region, with what their tasks do now.
	Loads   func(ctx context.Context, region string) ([]ecs.Load, error)
	Groups  Counter
	Regions []string
	Account string
	Log     *slog.Logger
	Now     func() time.Time
}

// Service is Application Auto Scaling.
type Service struct {
	Config
	targets state.Collection[target]

	mu       sync.Mutex
	evidence map[string]*evidence // by the key of a target: lost with the process
}

// New makes the service.
func New(c Config) *Service {
	return &Service{Config: c, targets: state.New[target](c.Records, "aws.applicationautoscaling.targets"), evidence: map[string]*evidence{}}
}

// Service is the operations that are served.
func (s *Service) Service() wire.Service {
	o := map[string]wire.Handler{}
	for name, f := range map[string]wire.ObjectFunc{
		"RegisterScalableTarget": s.register, "DescribeScalableTargets": s.describeTargets, "DeregisterScalableTarget": s.deregister,
		"PutScalingPolicy": s.putPolicy, "DescribeScalingPolicies": s.describePolicies, "DeleteScalingPolicy": s.deletePolicy, "DescribeScalingActivities": s.describeActivities,
		"PutScheduledAction": s.putSchedule, "DescribeScheduledActions": s.describeSchedule, "DeleteScheduledAction": s.deleteSchedule,
		"TagResource": s.tag, "UntagResource": s.untag, "ListTagsForResource": s.listTags,
	} {
		o[name] = wire.HandleObject(f)
	}
	return wire.Service{Name: "application-autoscaling", Operations: o}
}

func invalid(format string, args ...any) error {
	return wire.Errorf("ValidationException", format, args...)
}

// derived is an identifier that is the same for the same names.
func derived(names ...string) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("aws.applicationautoscaling %q", names)))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// page is one page of a list as an answer's member.
func page(in object, member string, all []object, key func(object) string) (object, error) {
	p := wire.Paging{Token: "NextToken", Most: "MaxResults", Least: 1, Greatest: 50, Otherwise: 50,
		BadToken: func(string) error { return wire.Errorf("InvalidNextTokenException", "The NextToken is invalid.") },
		BadCount: func(string) error { return invalid("MaxResults must be between 1 and 50") }}
	out, next, err := wire.Cut(p, in, all, key)
	return object{member: wire.List(out)}.With(object{"NextToken": next}), err
}

// Run evaluates policies and schedules every so often, until ctx ends.
func (s *Service) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, region := range s.Regions {
			if err := s.Carry(ctx, region); err != nil && ctx.Err() == nil {
				s.Log.Warn("scaling services of ECS", "region", region, "error", err)
			}
		}
	}
}
