package toolkit

import (
	"cmp"
	"context"
	"strings"
	"time"
)

// deviated records a hypothesis that is not met: a probe that could not be made is a
// failure, one that is out of tolerance is what the experiment was made to find.
func (r *runner) deviated(s State) {
	r.journal.Deviated = true
	if len(s.Probes) > 0 && s.Probes[len(s.Probes)-1].failed() {
		r.journal.Status = Failed
	}
}

// look holds every probe against its tolerance, until one is not met.
func (r *runner) look(ctx context.Context, when string) State {
	s := State{Probes: []Result{}}
	for _, a := range r.Hypothesis.Probes {
		result := r.carry(ctx, a)
		met := !result.failed()
		if met {
			result.Deviation = a.Tolerance.met(ctx, r, result.Output)
			met = result.Deviation == ""
		}
		result.ToleranceMet = &met
		result = r.masked(result)
		s.Probes = append(s.Probes, result)
		if !met {
			r.say("steady state %s the method: %s: %s", when, a.Name, cmp.Or(result.Deviation, strings.Join(result.Exception, "; ")))
			return s
		}
	}
	s.Met = true
	r.say("steady state %s the method: met", when)
	return s
}

// watch looks at the hypothesis again and again, and ends the method when it is asked to.
func (r *runner) watch(ctx context.Context, stop context.CancelFunc) {
	every := r.options.Frequency
	if every <= 0 {
		every = r.choices.frequency
	}
	if every <= 0 {
		every = time.Second
	}
	t := time.NewTimer(0)
	defer t.Stop()
	bad := 0
	for looks := 1; ; looks++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		state := r.look(ctx, "during")
		if ctx.Err() != nil {
			return // the method has ended in the middle of the look
		}
		r.mu.Lock()
		r.journal.States.During = append(r.journal.States.During, state)
		if !state.Met {
			bad++
			r.journal.Deviated = true
		}
		ends := !state.Met && (r.options.FailFast || r.choices.failFast) && float64(bad*100)/float64(looks) >= r.choices.failRatio
		if ends {
			r.journal.Status = Aborted
		}
		r.mu.Unlock()
		if ends {
			r.say("the method ends: the steady state is not met")
			stop()
			return
		}
		t.Reset(every)
	}
}
