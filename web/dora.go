package web

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/internal/span"
	"showrunner/telemetry/figures"
)

// doraPeriod is the time that the four figures are about, and doraRuns how many of its
// executions, the newest, they are made of.
const doraPeriod, doraRuns = 30 * 24 * time.Hour, 200

// doraStrip is DORA's four figures, each as people read it; empty where it is not known.
type doraStrip struct {
	Deployments, Failed       int
	Frequency, Failure        string
	Lead, Restore             string // medians
	LeadOf, Restored, Failing int    // of how many; pipelines whose last deployment failed
	Period                    string
}

// deploymentFact is what of one ended execution the figures are made of.
type deploymentFact struct {
	deployment bool
	committed  time.Time
}

// deploymentFacts remembers the facts of executions that have ended.
type deploymentFacts struct {
	mu    sync.Mutex
	known map[string]deploymentFact // by id and end, because a restart gives another end
}

// factsKept bounds deploymentFacts.
const factsKept = 5000

func (f *deploymentFacts) of(ctx context.Context, c Control, who control.Principal, head execution.Execution) (deploymentFact, error) {
	key := head.ID + head.Ended.String()
	f.mu.Lock()
	fact, ok := f.known[key]
	f.mu.Unlock()
	if ok {
		return fact, nil
	}
	e, err := c.Execution(ctx, who, head.ID)
	if err != nil || e.Ended == nil {
		return deploymentFact{}, err
	}
	fact = deploymentFact{deployment: figures.IsDeployment(e), committed: figures.Committed(e)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) >= factsKept {
		f.known = map[string]deploymentFact{}
	}
	f.known[key] = fact
	return fact, nil
}

// dora makes the four figures of an application, or of all.
func (p *Pages) dora(ctx context.Context, who control.Principal, application string) (doraStrip, error) {
	page, err := p.Control.Executions(ctx, who, execution.Query{Application: application, Since: p.Now().Add(-doraPeriod), Limit: doraRuns})
	if err != nil {
		return doraStrip{}, err
	}
	days, period := doraPeriod.Hours()/24, "in 30 days"
	if page.Next != "" && len(page.Executions) > 0 {
		since := p.Now().Sub(page.Executions[len(page.Executions)-1].Created)
		days, period = max(since.Hours()/24, 1), fmt.Sprintf("in the newest %d runs", doraRuns)
	}
	var d doraFigures
	for _, head := range slices.Backward(page.Executions) { // oldest first
		if head.Ended == nil || head.Status == execution.Canceled {
			continue
		}
		fact, err := p.facts.of(ctx, p.Control, who, head)
		if err != nil {
			return doraStrip{}, err
		}
		if fact.deployment {
			d.add(head, fact.committed)
		}
	}
	return d.strip(days, period), nil
}

// doraFigures counts deployments, handed over oldest first.
type doraFigures struct {
	succeeded, failed int
	lead, restored    []time.Duration
	failing           map[string]time.Time // since when, by pipeline
}

func (d *doraFigures) add(e execution.Execution, committed time.Time) {
	if d.failing == nil {
		d.failing = map[string]time.Time{}
	}
	key := e.Application + "/" + e.Pipeline
	since, failing := d.failing[key]
	if e.Status != execution.Succeeded {
		d.failed++
		if !failing {
			d.failing[key] = *e.Ended
		}
		return
	}
	d.succeeded++
	d.lead = append(d.lead, e.Ended.Sub(committed))
	if failing {
		d.restored = append(d.restored, e.Ended.Sub(since))
		delete(d.failing, key)
	}
}

func (d *doraFigures) strip(days float64, period string) doraStrip {
	s := doraStrip{Deployments: d.succeeded + d.failed, Failed: d.failed, Period: period, LeadOf: len(d.lead), Restored: len(d.restored), Failing: len(d.failing), Lead: median(d.lead), Restore: median(d.restored)}
	if s.Deployments == 0 {
		return s
	}
	switch perDay := float64(d.succeeded) / days; {
	case d.succeeded == 0:
	case perDay >= 1:
		s.Frequency = fmt.Sprintf("%.1f a day", perDay)
	case perDay*7 >= 1:
		s.Frequency = fmt.Sprintf("%.1f a week", perDay*7)
	default:
		s.Frequency = fmt.Sprintf("%.1f a month", perDay*30)
	}
	s.Failure = fmt.Sprintf("%.0f %%", 100*float64(d.failed)/float64(s.Deployments))
	return s
}

// median is the middle of lengths of time, as people read it; empty of none.
func median(list []time.Duration) string {
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	middle := list[len(list)/2]
	if len(list)%2 == 0 {
		middle = (middle + list[len(list)/2-1]) / 2
	}
	return span.Text(middle)
}
