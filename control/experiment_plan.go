package control

import (
	"context"

	"showrunner/chaos/experiment"
	"showrunner/pipeline"
)

// ExperimentPlan says what a run of an experiment would do now.
type ExperimentPlan struct {
	Name        string `json:"experiment"`
	Application string `json:"application,omitempty"`
	Description string `json:"description,omitempty"`
	// Held says why nothing would be begun now, empty when it would.
	Held        string          `json:"held,omitempty"`
	Lasts       string          `json:"lasts"` // at least, when nothing ends it early
	SteadyState []PlannedLook   `json:"steadyState"`
	Actions     []PlannedAction `json:"actions"`
	Stops       []string        `json:"stopConditions"`
	Rollbacks   []PlannedAction `json:"rollbacks"`
}

// PlannedLook is a condition of the steady state, and how it stands now.
type PlannedLook struct {
	Condition string `json:"condition"`
	Wrong     string `json:"wrong,omitempty"` // why it does not hold now
}

// PlannedAction is an action that would be carried out.
type PlannedAction struct {
	Name  string   `json:"name,omitempty"`
	Kind  string   `json:"kind"`
	Does  string   `json:"does"`
	After []string `json:"after,omitempty"` // the actions that it waits for
}

// PlanExperiment says what a run would do, and how the steady state stands now. It
// begins nothing. Errors: invalid, denied.
func (s *Service) PlanExperiment(ctx context.Context, p Principal, source string) (plan ExperimentPlan, err error) {
	if err := s.permit(p, opRead, Subject{Kind: KindExperiment}); err != nil {
		return plan, err
	}
	e, err := ParseExperiment([]byte(source), s.CheckQuery)
	if err != nil {
		return plan, err
	}
	ctx = s.direct(ctx)
	plan = ExperimentPlan{Name: e.Name, Application: e.Application, Description: e.Description, Held: s.ChaosHeld(ctx, e.Application), Lasts: pipeline.Duration(e.Lasts()).String(),
		SteadyState: []PlannedLook{}, Actions: []PlannedAction{}, Stops: []string{}, Rollbacks: []PlannedAction{}}
	for _, c := range e.SteadyState {
		plan.SteadyState = append(plan.SteadyState, PlannedLook{c.Bounded(), s.holds(ctx, c)})
	}
	for _, a := range e.Actions {
		planned := plannedAction(a.Step)
		for _, k := range a.After {
			planned.After = append(planned.After, e.Actions[k].Name)
		}
		plan.Actions = append(plan.Actions, planned)
	}
	for _, c := range e.StopConditions {
		plan.Stops = append(plan.Stops, c.Bounded())
	}
	for _, step := range e.Rollbacks {
		plan.Rollbacks = append(plan.Rollbacks, plannedAction(step))
	}
	return plan, nil
}

func plannedAction(s experiment.Step) PlannedAction {
	return PlannedAction{Name: s.Name, Kind: s.Kind(), Does: s.Does()}
}
