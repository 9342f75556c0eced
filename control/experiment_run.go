package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/chaos/experiment"
	"showrunner/problem"
)

// experimentsEvery is how often it is looked whether a control plane left a run behind.
const experimentsEvery = 3 * time.Second

// RunExperiments carries out the runs that this control plane begins, and undoes those of
// one that is gone, until ctx ends. A run that is under way then is undone by the next
// control plane.
func (s *Service) RunExperiments(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	for ctx.Err() == nil {
		if err := s.experimentsTurn(ctx, work.Go); err != nil && ctx.Err() == nil {
			s.Log.Warn("the runs of experiments could not be looked at", "error", err)
		}
		timer := time.NewTimer(experimentsEvery)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wakeRuns:
		}
		timer.Stop()
	}
}

// experimentsTurn takes on what is to be carried out or undone.
func (s *Service) experimentsTurn(ctx context.Context, start func(func())) error {
	list, err := s.experiments(s.direct(ctx))
	if err != nil {
		return err
	}
	for _, run := range list {
		switch {
		case run.Status != experiment.Running:
			if s.Now().Sub(run.Ended) > experimentsKept {
				if err := s.forgetExperiment(ctx, run.ID); err != nil {
					return err
				}
			}
		case run.Format != "":
			if err := s.endUnreported(ctx, run); err != nil {
				return err
			}
		case s.runs.has(&s.runs.ids, run.ID):
		case s.runs.has(&s.runs.fresh, run.ID):
			s.runs.set(&s.runs.ids, run.ID, true)
			s.runs.set(&s.runs.fresh, run.ID, false)
			start(func() { s.carryRun(ctx, run.ID, false) })
		case s.leftBehind(ctx, run):
			s.runs.set(&s.runs.ids, run.ID, true)
			start(func() { s.carryRun(ctx, run.ID, true) })
		}
	}
	return nil
}

// leftBehind tells whether nobody carries a run out any more.
func (s *Service) leftBehind(ctx context.Context, run experiment.Run) bool {
	if s.Replicas == nil || run.Owner == "" || run.Owner == s.Replicas.Owner() {
		return true
	}
	lives, err := s.Replicas.Lives(s.direct(ctx), run.Owner)
	return err == nil && !lives
}

func (s *Service) forgetExperiment(ctx context.Context, id string) error {
	_, version, err := s.experiment(ctx, id)
	if err == nil {
		err = s.Records.DeleteRecord(ctx, experimentRecords, id, version)
	}
	if code := problem.CodeOf(err); code == problem.NotFound || code == problem.Conflict {
		return nil // another control plane was faster
	}
	return err
}

// conductor carries one run out.
type conductor struct {
	*Service
	run     experiment.Run
	file    *experiment.Experiment
	owner   string
	results chan result
	pending int   // actions whose result is awaited
	misses  []int // of each stop condition
}

// result is how an action ended.
type result struct {
	action int
	what   string
	err    error
}

var errRunTaken = errors.New("another control plane has taken the run")

// carryRun carries a run out, or undoes one that was left behind.
func (s *Service) carryRun(ctx context.Context, id string, left bool) {
	defer s.runs.set(&s.runs.ids, id, false)
	ctx = s.direct(ctx)
	c := &conductor{Service: s, owner: s.session()}
	err := s.changeExperiment(ctx, id, func(kept *experiment.Run) bool {
		if left {
			if kept.Status != experiment.Running || !s.leftBehind(ctx, *kept) {
				return false
			}
			kept.Owner = c.owner
		}
		c.run = *kept
		return left
	})
	if err == nil && c.run.ID != "" {
		c.file, err = ParseExperiment([]byte(c.run.Source), nil) // its queries were checked when it began
	}
	if err == nil && c.run.ID != "" {
		if left {
			c.run.Status, c.run.Reason = experiment.Interrupted, "the control plane that carried it out is gone"
		} else {
			err = c.conduct(ctx)
		}
		if err == nil {
			err = c.finish(ctx)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Error("the run of an experiment", "run", id, "error", err)
	}
}

// save writes the record, unless somebody else carries the run out by now. A run goes on
// until it is undone, so how it ends is written by finish alone.
func (c *conductor) save(ctx context.Context) error {
	taken := false
	err := c.changeExperiment(ctx, c.run.ID, func(kept *experiment.Run) bool {
		taken = kept.Owner != c.run.Owner || kept.Status != experiment.Running
		c.run.StopAsked = kept.StopAsked
		*kept = c.run
		kept.Status, kept.Reason = experiment.Running, ""
		return !taken
	})
	if taken {
		return errRunTaken
	}
	return err
}

// ends says how a run ends.
func (c *conductor) ends(status experiment.Status, format string, args ...any) {
	c.run.Status, c.run.Reason = status, fmt.Sprintf(format, args...)
}

// conduct looks at the steady state, carries the method out, and looks again. An error
// says that the run cannot go on here; it is undone by whoever finds it.
func (c *conductor) conduct(ctx context.Context) error {
	if c.run.Before = c.look(ctx); c.wrong(c.run.Before) != "" {
		c.run.Deviated = true
		c.ends(experiment.Failed, "the steady state did not hold before: %s", c.wrong(c.run.Before))
		return nil
	}
	c.run.Methodical, c.results, c.misses = true, make(chan result, len(c.run.Actions)), make([]int, len(c.file.StopConditions))
	if err := c.save(ctx); err != nil {
		return err
	}
	if err := c.method(ctx); err != nil || c.run.Status != experiment.Running {
		return err
	}
	c.run.Status = experiment.Completed
	if c.run.After = c.look(ctx); c.wrong(c.run.After) != "" {
		c.run.Deviated, c.run.Reason = true, "the steady state did not hold afterwards: "+c.wrong(c.run.After)
	}
	return ctx.Err()
}

func (c *conductor) look(ctx context.Context) (list []experiment.Look) {
	for _, condition := range c.file.SteadyState {
		at := c.Now().UTC()
		list = append(list, experiment.Look{Condition: condition.String(), At: at, Wrong: c.holds(ctx, condition)})
	}
	return list
}

func (c *conductor) wrong(list []experiment.Look) string {
	for _, l := range list {
		if l.Wrong != "" {
			return l.Condition + ": " + l.Wrong
		}
	}
	return ""
}

// method carries the actions out until all have ended, or one of them or a condition
// ends it.
func (c *conductor) method(ctx context.Context) error {
	act, stop := context.WithCancel(ctx)
	defer stop()
	ticker := time.NewTicker(time.Duration(c.file.Every))
	defer ticker.Stop()
	for {
		if why := c.stops(ctx); why != "" {
			c.ends(experiment.Stopped, "%s", why)
		}
		if c.run.Status == experiment.Running {
			if err := c.begin(ctx, act); err != nil {
				return err
			}
		}
		if c.run.Status != experiment.Running || c.run.Over() {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		case r := <-c.results:
			c.ended(r)
			if err := c.save(ctx); err != nil {
				return err
			}
		}
	}
	stop()
	for c.pending > 0 { // what is begun is undone only once it is known
		c.ended(<-c.results)
	}
	return nil
}

// stops says why the method ends now, "" when it goes on.
func (c *conductor) stops(ctx context.Context) string {
	kept, _, err := c.experiment(ctx, c.run.ID)
	if err != nil {
		return "its record cannot be read: " + problem.Text(err)
	}
	if kept.StopAsked != "" {
		return "stopped by " + kept.StopAsked
	}
	lever, _, err := c.lever(ctx)
	if err != nil {
		return "whether all chaos is stopped could not be found out: " + problem.Text(err)
	}
	if lever.Stopped {
		return "all chaos is stopped: " + lever.text()
	}
	for i, condition := range c.file.StopConditions {
		if why := c.StopMet(ctx, condition, &c.misses[i]); why != "" {
			return why
		}
	}
	return ""
}

// begin starts the actions that wait for nothing; each is recorded before.
func (c *conductor) begin(ctx, act context.Context) error {
	ready := c.file.Ready(c.run)
	if len(ready) == 0 {
		return nil
	}
	for _, i := range ready {
		a := &c.run.Actions[i]
		a.State, a.Began = experiment.Under, c.Now().UTC()
		if c.file.Actions[i].Fault != nil {
			a.Fault = fmt.Sprintf("%s-%d", c.run.ID, i+1)
		}
	}
	if err := c.save(ctx); err != nil {
		return err
	}
	for _, i := range ready {
		c.pending++
		step := c.file.Actions[i].Step
		go func() {
			what, err := c.act(act, step, c.run.ID, i)
			c.results <- result{i, what, err}
		}()
	}
	return nil
}

// ended takes in how an action ended.
func (c *conductor) ended(r result) {
	c.pending--
	a := &c.run.Actions[r.action]
	a.Ended, a.What, a.State = c.Now().UTC(), r.what, experiment.Done
	switch {
	case errors.Is(r.err, context.Canceled):
		a.State, a.What = experiment.Skipped, strings.TrimSpace(r.what+" (ended early)")
	case r.err != nil:
		a.State, a.What = experiment.Broken, problem.Text(r.err)
		if c.run.Status == experiment.Running {
			c.ends(experiment.Failed, "action %s: %s", a.Name, problem.Text(r.err))
			c.run.Deviated = c.run.Deviated || a.Kind == "check"
		}
	}
}

// finishLimit bounds the undoing of a run.
const finishLimit = 10 * time.Minute

// finish undoes the faults of a run, carries its rollbacks out, and closes its record.
// It may be called again after a crash at any point.
func (c *conductor) finish(ctx context.Context) error {
	status, reason := c.run.Status, c.run.Reason
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishLimit)
	defer cancel()
	c.run.Skip(c.Now().UTC())
	by := Principal{Name: c.run.By, Via: ViaChaos}
	for _, a := range slices.Backward(c.run.Actions) {
		if a.Fault == "" {
			continue
		}
		// One that cannot be undone now, as in a region that does not answer, is tried again
		// from its own record until it is.
		if err := c.EndExperimentFault(ctx, by, a.Fault); err != nil {
			reason = strings.TrimPrefix(reason+"; fault "+a.Fault+" is not undone yet: "+problem.Text(err), "; ")
		}
	}
	c.run.Rollbacks = nil
	if c.run.Methodical {
		for i, step := range c.file.Rollbacks {
			done := experiment.ActionRun{Name: step.Name, Kind: step.Kind(), State: experiment.Done, Began: c.Now().UTC()}
			if done.Name == "" {
				done.Name = fmt.Sprintf("rollback-%d", i+1)
			}
			what, err := c.act(ctx, step, c.run.ID, len(c.file.Actions)+i)
			if done.What, done.Ended = what, c.Now().UTC(); err != nil { // the next runs all the same
				done.State, done.What = experiment.Broken, problem.Text(err)
				reason = strings.TrimPrefix(reason+"; rollback "+done.Name+" failed: "+problem.Text(err), "; ")
			}
			c.run.Rollbacks = append(c.run.Rollbacks, done)
		}
	}
	err := c.changeExperiment(ctx, c.run.ID, func(kept *experiment.Run) bool {
		if kept.Owner != c.run.Owner || kept.Status != experiment.Running {
			return false
		}
		c.run.StopAsked = kept.StopAsked
		c.run.Status, c.run.Reason, c.run.Ended, c.run.Owner = status, reason, c.Now().UTC(), ""
		*kept = c.run
		return true
	})
	return err
}
