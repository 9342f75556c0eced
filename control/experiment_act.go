package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"showrunner/chaos/experiment"
	"showrunner/cloud"
	"showrunner/internal/pause"
	"showrunner/problem"
)

// act carries an action out and waits for its end. what says what it did.
func (s *Service) act(ctx context.Context, step experiment.Step, run string, n int) (what string, err error) {
	kept, _, err := s.experiment(ctx, run)
	if err != nil {
		return "", err
	}
	by := Principal{Name: kept.By, Via: ViaChaos}
	key := fmt.Sprintf("%s-%d", run, n+1)
	switch {
	case step.Fault != nil:
		return s.actFault(ctx, by, *step.Fault, key)
	case step.Kill != nil:
		return s.actKill(ctx, by, *step.Kill, kept.Application, key)
	case step.Wait != 0:
		return step.Wait.String(), pause.For(ctx, time.Duration(step.Wait))
	case step.HTTP != nil:
		if why := s.ask(ctx, *step.HTTP); why != "" {
			return "", orCanceled(ctx, "%s: %s", step.HTTP.URL, why)
		}
		return step.HTTP.URL, nil
	case step.Traffic != nil:
		_, err := s.SetEdgeWeights(ctx, by, step.Traffic)
		return step.Does(), err
	case step.Check != nil:
		if why := s.holds(ctx, *step.Check); why != "" {
			return "", orCanceled(ctx, "%s does not hold: %s", step.Check, why)
		}
		return step.Check.String(), nil
	}
	return "", problem.New(problem.Internal, "chaos.experiment", "the action does nothing")
}

// orCanceled is the error of what failed, or of the end of ctx where that is the reason.
func orCanceled(ctx context.Context, format string, args ...any) error {
	if ctx.Err() != nil {
		return context.Canceled
	}
	return problem.New(problem.Precondition, "chaos.experiment", format, args...)
}

// faultLook is how often it is looked whether a fault has ended.
const faultLook = 250 * time.Millisecond

// actFault begins a fault and waits for its end. One that ends before its time is an
// error: what was to be tried was not.
func (s *Service) actFault(ctx context.Context, by Principal, x experiment.Fault, id string) (string, error) {
	// The start of a fault is not broken off: it is undone by its record.
	f, err := s.StartFault(context.WithoutCancel(ctx), by, faultOf(x, id), "experiment "+id)
	if err != nil {
		return "", err
	}
	what := strings.TrimSpace(strings.Join(f.Instances, ", ") + " " + f.Region)
	for {
		if err := pause.For(ctx, min(faultLook, max(time.Millisecond, f.Until.Sub(s.Now())))); err != nil {
			return what, err
		}
		reason, err := s.FaultOver(ctx, id)
		switch {
		case err != nil && problem.CodeOf(err) != problem.Unavailable:
			return what, err
		case reason != "" && s.Now().Before(f.Until):
			return what, orCanceled(ctx, "fault %s ended before its time: %s", id, reason)
		case reason != "":
			return what, nil
		case !s.Now().Before(f.Until):
			_, err := s.UndoFault(ctx, by, id) // it is over by itself; this verifies it
			if err == nil || problem.CodeOf(err) != problem.Unavailable || s.Now().Sub(f.Until) > finishLimit {
				return what, err
			}
		}
	}
}

// faultOf is the request for a fault of an experiment.
func faultOf(x experiment.Fault, id string) FaultRequest {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return FaultRequest{id: id, Kind: cloud.FaultKind(x.Kind), Account: x.Account, Region: x.Region, Cluster: x.Cluster, Zone: x.Zone, Version: x.ServerGroup, Instance: x.Instances, Count: x.Count, Share: x.Share, All: x.All,
		DurationSeconds: time.Duration(x.For).Seconds(), LatencyMillis: ms(time.Duration(x.Latency)), JitterMillis: ms(time.Duration(x.Jitter)), Status: x.Status, Percent: x.Percent, Path: x.Path, Header: x.Header,
		At: cloud.FaultPlace(x.At), From: x.From, Bandwidth: x.Rate, Cores: x.Cores, Bytes: x.MiB << 20, Forced: x.Force, DuringRollouts: x.DuringRollouts}
}

// actKill ends instances, one after the other.
func (s *Service) actKill(ctx context.Context, by Principal, k experiment.Kill, application, key string) (string, error) {
	r := ChaosRequest{Application: application, Account: k.Account, Region: k.Region, Cluster: k.Cluster, Forced: k.Force}
	if k.Application != "" {
		r.Application = k.Application
	}
	var ended []string
	for n := range max(1, k.Count) {
		if err := ctx.Err(); err != nil {
			return strings.Join(ended, ", "), err
		}
		answer, err := s.KillNow(ctx, by, r, fmt.Sprintf("%s-%d", key, n+1))
		if err != nil {
			return strings.Join(ended, ", "), err
		}
		ended = append(ended, answer.Kill.Victim.ID)
	}
	return strings.Join(ended, ", "), nil
}
