package gallery

import (
	"context"
	"fmt"
	"time"

	"showrunner/chaos/experiment"
	"showrunner/chaos/gameday"
	"showrunner/control"
	"showrunner/problem"
)

// experimentText is an own experiment.
const experimentText = `experiment: checkout survives a slow catalog
application: storefront
steadyState:
  - { name: page, http: { url: "http://127.0.0.1:8080/", within: 1s } }
  - { promql: 'sum(rate(showrunner_requests_total{code="5xx"}[1m]))', below: 1 }
stopConditions: [{ promql: 'showrunner_instances', below: 2 }]
method:
  - { name: slow, fault: { kind: latency, region: us-west-2, cluster: catalog, latency: 300ms, for: 2m } }
  - parallel:
      - { name: end, kill: { region: us-west-2, count: 2 } }
      - { name: pause, wait: 10s }
rollbacks: [{ traffic: { eu-west-1: null } }]
`

func (c *canned) experiments() []experiment.Run {
	s, begun := c.state, *c.ago(3 * time.Minute)
	look := func(wrong string, at time.Time) []experiment.Look {
		return []experiment.Look{{Condition: "page", At: at}, {Condition: text(s, 5, `sum(rate(showrunner_requests_total{code="5xx"}[1m]))`), At: at, Wrong: wrong}}
	}
	slow := experiment.ActionRun{Name: "slow", Kind: "fault", State: experiment.Done, Began: begun.Add(time.Second), Ended: begun.Add(121 * time.Second), What: text(s, 0, "i-us-west-2-7-0001 us-west-2"), Fault: "running-1"}
	end := experiment.ActionRun{Name: "end", Kind: "kill", State: experiment.Under, Began: begun.Add(121 * time.Second)}
	pause := experiment.ActionRun{Name: "pause", Kind: "wait", State: experiment.Waiting}
	running := experiment.Run{ID: "running", Name: text(s, 1, "checkout survives a slow catalog"), Application: appName(s, "storefront"), By: text(s, 2, "mia"), Status: experiment.Running, Began: begun, Methodical: true, Before: look("", begun), Actions: []experiment.ActionRun{slow, end, pause}, Source: experimentText}
	deviated := running
	deviated.ID, deviated.Status, deviated.Deviated, deviated.Ended = "deviated", experiment.Completed, true, begun.Add(150*time.Second)
	deviated.Reason = text(s, 3, "the steady state did not hold afterwards: page: the answer took 4.1 s")
	deviated.After = look(text(s, 4, "2.4 is not below 1"), deviated.Ended)
	end.State, end.Ended, end.What = experiment.Broken, begun.Add(130*time.Second), text(s, 6, "nothing was ended: the cluster has fewer than 2 instances")
	pause.State = experiment.Skipped
	deviated.Actions = []experiment.ActionRun{slow, end, pause}
	deviated.Rollbacks = []experiment.ActionRun{{Name: "rollback-1", Kind: "traffic", State: experiment.Done, Began: begun.Add(140 * time.Second), Ended: begun.Add(141 * time.Second), What: "1 regions"}}
	toolkit := deviated
	toolkit.ID, toolkit.Format, toolkit.Status, toolkit.Notes = "toolkit", experiment.ChaosToolkit, experiment.Interrupted, []string{text(s, 0, "interrupted: stopped by mia")}
	toolkit.Deviated, toolkit.Source = false, `{"title": "t"}`
	list := []experiment.Run{running, deviated, toolkit}
	if s == Huge {
		for i := range 300 {
			old := deviated
			old.ID = fmt.Sprintf("old-%03d", i)
			list = append(list, old)
		}
	}
	return list
}

func (c *canned) Experiments(context.Context, control.Principal) ([]experiment.Run, error) {
	return answer(c, c.experiments()...)
}

func (c *canned) Experiment(_ context.Context, _ control.Principal, id string) (experiment.Run, error) {
	if c.state == Error {
		return experiment.Run{}, errAway(c.state)
	}
	for _, r := range c.experiments() {
		if r.ID == id {
			if c.state == Huge {
				for i := range 200 {
					a := r.Actions[0]
					a.Name = fmt.Sprintf("slow-%03d", i)
					r.Actions = append(r.Actions, a)
				}
			}
			return r, nil
		}
	}
	return experiment.Run{}, problem.New(problem.NotFound, "", "there is no run %q of an experiment", id)
}

func (c *canned) PlanExperiment(_ context.Context, _ control.Principal, source string) (control.ExperimentPlan, error) {
	if _, err := control.ParseExperiment([]byte(source), nil); err != nil {
		return control.ExperimentPlan{}, err
	}
	return control.ExperimentPlan{Name: "x", Lasts: "2m0s", SteadyState: []control.PlannedLook{{Condition: "page"}}, Actions: []control.PlannedAction{{Name: "slow", Kind: "fault", Does: "latency 300ms on catalog in us-west-2 for 2m"}}}, nil
}

// gamedayReport is a game day with one failure.
func (c *canned) gamedayReport() gameday.Report {
	s := c.state
	r := gameday.Report{Settings: gameday.Settings{Seed: 7, Length: gameday.Seconds(10 * time.Minute), Rate: 1000, Healing: true}, Began: *c.ago(20 * time.Hour), Took: gameday.Seconds(10 * time.Minute), Passed: s != Partial,
		All:            gameday.Stretch{Requests: 600_000, Others: 60_000, OthersFailed: 4, P50: gameday.Seconds(6300 * time.Microsecond), P99: gameday.Seconds(8800 * time.Microsecond), Max: gameday.Seconds(109 * time.Millisecond)},
		OthersFailures: []gameday.Reason{{Why: text(s, 0, "502"), Requests: 4}}}
	r.Before, r.During, r.After = r.All, r.All, r.All
	if s == Partial {
		r.All.Failed, r.Failures = 12, []gameday.Reason{{Why: "503", Requests: 12}}
	}
	for i := range 600 {
		r.Timeline = append(r.Timeline, gameday.Point{Second: i, Requests: 1000, P99: gameday.Seconds(time.Duration(7+i%4) * time.Millisecond)})
	}
	for i, e := range []gameday.Event{{Kind: gameday.Deployment}, {Kind: gameday.Kill}, {Kind: gameday.ZoneOutage, Lasts: gameday.Seconds(80 * time.Second)}, {Kind: gameday.Fault, Fault: "latency", Lasts: gameday.Seconds(40 * time.Second)}, {Kind: gameday.RegionOutage, Lasts: gameday.Seconds(80 * time.Second)}} {
		e.At = gameday.Seconds(time.Duration(70+i*100) * time.Second)
		h := gameday.Happened{Event: e, What: text(s, i, "i-us-west-2-7-0001 in us-west-2"), Began: e.At, Recovery: gameday.Seconds(80 * time.Millisecond)}
		if e.Kind == gameday.RegionOutage && s == Partial {
			h.Failure = "the region does not answer"
		}
		r.Events = append(r.Events, h)
	}
	return r
}

func (c *canned) Gamedays(context.Context, control.Principal) ([]gameday.Summary, error) {
	r := c.gamedayReport()
	return answer(c, r.Summary("gameday-7", text(c.state, 1, "mia")))
}

func (c *canned) Gameday(context.Context, control.Principal, string) (gameday.Report, error) {
	if c.state == Error {
		return gameday.Report{}, errAway(c.state)
	}
	return c.gamedayReport(), nil
}
