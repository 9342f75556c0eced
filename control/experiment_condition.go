package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"showrunner/chaos/experiment"
	"showrunner/internal/httpcheck"
	"showrunner/problem"
)

// knowConditions refuses conditions that could never be looked at: an alarm that is not
// there, a query that cannot be evaluated. Errors: invalid, precondition.
func (s *Service) knowConditions(ctx context.Context, e *experiment.Experiment) error {
	list := slices.Concat(e.SteadyState, e.StopConditions)
	for _, a := range e.Actions {
		if a.Check != nil {
			list = append(list, *a.Check)
		}
	}
	for _, c := range list {
		if c.HTTP != nil {
			continue
		}
		if _, err := s.Condition(ctx, c); err != nil {
			code := problem.CodeOf(err)
			if code != problem.Invalid {
				code = problem.Precondition
			}
			return problem.New(code, opExperimentStart, "nothing was begun: %s: %s", c, problem.Text(err)).WithHelp("a condition that cannot be looked at protects nobody")
		}
	}
	return nil
}

// Seen is what a look at a condition showed.
type Seen struct {
	Values []float64 // of a query
	Wrong  string    // why an alarm, or an answer over HTTP, is not as it should be
}

// Condition looks at a condition once. Errors: it could not be looked at.
func (s *Service) Condition(ctx context.Context, c experiment.Condition) (seen Seen, err error) {
	const op = "chaos.condition"
	switch {
	case c.Alarm != "":
		states, ok := s.Alarms.(AlarmStates)
		if !ok {
			return seen, problem.New(problem.Precondition, op, "this control plane has no alarms").WithHelp("showrunner up --aws ADDRESS serves them")
		}
		open, known, err := states.AlarmState(ctx, c.Alarm)
		switch {
		case err != nil:
			return seen, err
		case !known:
			return seen, problem.New(problem.Precondition, op, "there is no alarm %q", c.Alarm).WithHelp("showrunner aws -- cloudwatch describe-alarms lists them")
		case open:
			seen.Wrong = "alarm " + c.Alarm + " is open"
		}
		return seen, nil
	case c.PromQL != "":
		if s.Metrics == nil {
			return seen, problem.New(problem.Precondition, op, "this control plane has no metrics")
		}
		now := s.Now()
		series, err := s.Metrics.Range(ctx, c.PromQL, now, now, time.Second)
		for _, points := range series {
			for _, p := range points {
				seen.Values = append(seen.Values, p.Value)
			}
		}
		return seen, err
	case c.HTTP != nil:
		seen.Wrong = s.ask(ctx, *c.HTTP)
		return seen, nil
	}
	return seen, problem.New(problem.Invalid, op, "the condition looks at nothing")
}

// ask makes a request, and says why its answer is not as expected.
func (s *Service) ask(ctx context.Context, q experiment.Request) string {
	return httpcheck.Ask(ctx, s.HTTP, httpcheck.Request{Method: q.Method, URL: q.URL, Header: q.Header, Body: q.Body, Status: q.Status,
		Within: cmp.Or(time.Duration(q.Within), 5*time.Second)})
}

// holds says why a condition of a steady state does not hold, "" when it does. What
// cannot be looked at does not hold.
func (s *Service) holds(ctx context.Context, c experiment.Condition) string {
	seen, err := s.Condition(ctx, c)
	switch {
	case err != nil:
		return "it could not be looked at: " + problem.Text(err)
	case c.PromQL != "":
		return c.Outside(seen.Values)
	}
	return seen.Wrong
}

// mostMisses is how many answers in a row have to be other than expected for a stop
// condition to be met.
const mostMisses = 3

// StopMet says why a stop condition is met, "" when it is not; misses counts the answers
// in a row that were not as expected. A condition that cannot be looked at is met: what
// cannot be watched is not gone on with.
func (s *Service) StopMet(ctx context.Context, c experiment.Condition, misses *int) string {
	seen, err := s.Condition(ctx, c)
	why := seen.Wrong
	switch {
	case err != nil:
		return fmt.Sprintf("the stop condition %s could not be looked at: %s", c, problem.Text(err))
	case c.PromQL != "":
		why = c.Beyond(seen.Values)
	case c.HTTP != nil:
		if *misses++; why == "" {
			*misses = 0
		}
		if *misses < mostMisses {
			return ""
		}
	}
	if why == "" {
		return ""
	}
	return fmt.Sprintf("the stop condition %s is met: %s", c, why)
}
