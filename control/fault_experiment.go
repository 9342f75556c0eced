package control

import (
	"context"
	"time"

	"showrunner/chaos/monkey"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
)

// ExperimentFault is a fault of an experiment that a run makes with a server group of
// its own.
type ExperimentFault struct {
	cloud.Fault
	Account, Region string
	ServerGroup     string // the group of the experiment
	Execution       string
}

// ChaosHeld says why no fault may begin for an application now, "" when one may. What
// cannot be found out is a reason.
func (s *Service) ChaosHeld(ctx context.Context, application string) string {
	sit := s.situation(ctx, ChaosKill{Application: application, GroupOf: monkey.Group{Grouping: monkey.App}, OnDemand: true})
	for _, check := range []func(monkey.Situation) string{stopped, alarmed, frozen} {
		if why := check(sit); why != "" {
			return why
		}
	}
	return ""
}

// StartExperimentFault begins a fault, once for its name. One at the load balancer hits
// the requests that the experiment's group sends to the fault's cluster; any other hits
// that group. The checks are those of StartFault, except that the experiment itself is
// no reason against it. Errors: as of StartFault.
func (s *Service) StartExperimentFault(ctx context.Context, p Principal, f ExperimentFault) (ChaosFault, error) {
	r := FaultRequest{Kind: f.Kind, Account: f.Account, Region: f.Region, Cluster: f.Cluster, DurationSeconds: inSeconds(f.Duration), LatencyMillis: 1000 * inSeconds(f.Latency), JitterMillis: 1000 * inSeconds(f.Jitter),
		Status: f.Status, Percent: f.Percent, Path: f.Path, Header: f.Header, At: f.At, Bandwidth: f.Bandwidth, id: f.ID, execution: f.Execution}
	if f.At == cloud.FaultAtBalancer {
		r.From = f.ServerGroup
	} else {
		r.Version, r.All = f.ServerGroup, true
	}
	return s.StartFault(ctx, p, r, "experiment "+f.ID)
}

func inSeconds(d pipeline.Duration) float64 { return time.Duration(d).Seconds() }

// FaultOver says why a fault has ended, "" while it has not. Errors: not_found.
func (s *Service) FaultOver(ctx context.Context, id string) (string, error) {
	f, _, err := s.fault(ctx, id)
	if err != nil || f.Open() {
		return "", err
	}
	return f.Reason, nil
}

// EndExperimentFault undoes a fault; one that never began is success.
func (s *Service) EndExperimentFault(ctx context.Context, p Principal, id string) error {
	_, err := s.UndoFault(ctx, p, id)
	if problem.CodeOf(err) == problem.NotFound {
		return nil
	}
	return err
}
