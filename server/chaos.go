package server

import (
	"context"

	"showrunner/awsapi/cloudwatch"
	"showrunner/chaos/experiment"
	"showrunner/control"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage/chaos"
	"showrunner/store"
)

// chaosAlarms are the alarms of the endpoint for clients of AWS, as an open one
// holds kills back. Without the endpoint there are none.
type chaosAlarms struct{ c *controlPlane }

// OpenAlarms implements control.OpenAlarms.
func (a chaosAlarms) OpenAlarms(ctx context.Context) ([]string, error) {
	if a.c.aws == nil {
		return nil, nil
	}
	return a.c.aws.alarms.Open(ctx)
}

// AlarmState implements control.AlarmStates.
func (a chaosAlarms) AlarmState(ctx context.Context, name string) (open, known bool, err error) {
	if a.c.aws == nil {
		return false, false, problem.New(problem.Precondition, "chaos.alarm", "this control plane has no alarms").WithHelp("showrunner up --aws ADDRESS serves them")
	}
	return a.c.aws.alarms.State(ctx, name)
}

// killMetrics counts kills in the metrics of the endpoint for clients of AWS.
type killMetrics struct{ c *controlPlane }

// CountKill implements control.KillMetrics.
func (m killMetrics) CountKill(ctx context.Context, k control.ChaosKill) error {
	if m.c.aws == nil {
		return nil
	}
	return m.c.aws.alarms.Publish(ctx, k.Victim.Region, []cloudwatch.Measurement{{Namespace: "Showrunner/Chaos", Name: "Kills", Unit: "Count", Value: 1,
		Dimensions: []string{"Application", k.Application, "Outcome", string(k.Outcome)}}})
}

// storeFaults hit the calls of this control plane to its database.
type storeFaults struct{ *store.Faulty }

// Begin implements control.StoreFaults.
func (s storeFaults) Begin(f control.StoreFault) { s.Faulty.Begin(store.Fault(f)) }

// sessions are the control planes that share the store.
type sessions struct{ c *controlPlane }

// Owner implements control.Replicas.
func (s sessions) Owner() string { return s.c.engine.Owner() }

// Lives implements control.Replicas.
func (s sessions) Lives(ctx context.Context, owner string) (bool, error) {
	return s.c.store.Lives(ctx, owner)
}

// stageFaults begins and undoes the faults of the stage kind chaos.
type stageFaults struct{ c *controlPlane }

// Held implements chaos.Faults.
func (s stageFaults) Held(ctx context.Context, application string) string {
	return s.c.control.ChaosHeld(ctx, application)
}

// StopMet implements chaos.Faults.
func (s stageFaults) StopMet(ctx context.Context, c pipeline.ExperimentStop) string {
	return s.c.control.StopMet(ctx, experiment.Condition{Alarm: c.Alarm, PromQL: c.PromQL, Above: c.Above, Below: c.Below}, new(int))
}

// Begin implements chaos.Faults.
func (s stageFaults) Begin(ctx context.Context, by, execution string, f chaos.Fault) error {
	_, err := s.c.control.StartExperimentFault(ctx, control.Principal{Name: by, Via: control.ViaStage},
		control.ExperimentFault{Fault: f.Fault, Account: f.Account, Region: f.Region, ServerGroup: f.Group, Execution: execution})
	return err
}

// Over implements chaos.Faults.
func (s stageFaults) Over(ctx context.Context, id string) (string, error) {
	return s.c.control.FaultOver(ctx, id)
}

// Undo implements chaos.Faults.
func (s stageFaults) Undo(ctx context.Context, by, id string) error {
	return s.c.control.EndExperimentFault(ctx, control.Principal{Name: by, Via: control.ViaStage}, id)
}
