package execution

import (
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// unknownKindAgain is how often a stage of a kind that is not known here is looked at again.
const unknownKindAgain = 5 * time.Second

// checkEntry answers every doEnter in c, in the same commit as what made the stage
// ready. A stage begins when its condition holds, the order of the pipeline's
// executions, its windows and the freezes allow it, and there is a permit for its
// call.
func (e *Engine) checkEntry(r *activeExecution, c *changes, now time.Time) {
	rest := c.do[:0:0]
	for k := 0; k < len(c.do); k++ { // grows while stages are passed over
		a := c.do[k]
		if a.kind != doEnter {
			rest = append(rest, a)
			continue
		}
		if !r.st.enterable(a.stage) {
			continue
		}
		if ev := e.entryCheck(r, a.stage, now); ev != nil {
			decideInto(r.st, ev, now, c)
		}
	}
	c.do = rest
}

// entryCheck makes those checks in that order; nil: the stage waits for a permit.
func (e *Engine) entryCheck(r *activeExecution, i int, now time.Time) event {
	ps := &r.st.plan.stages[i]
	if len(ps.tasks) == 0 {
		return held{stage: i, reason: ps.unknown, until: now.Add(unknownKindAgain)}
	}
	if ps.def.When != "" {
		ok, err := e.cfg.Resolver.When(ps.def, r.scope(i))
		if err != nil {
			f := expressionFailure(problem.Wrap(err, problem.Invalid, "", "the condition of stage %s", ps.def.Name))
			return refused{stage: i, failure: *f}
		}
		if !ok {
			return passedOver{stage: i, reason: "its condition is false: " + ps.def.When}
		}
	}
	if r.entry != nil {
		a := r.entry.pipeline.admit(r.entry, ps.def.Name)
		e.supersede(a.supersede, r.st.head.Number)
		if a.supersededBy > 0 {
			return canceled{by: "concurrency", supersededBy: a.supersededBy}
		}
		if a.reason != "" {
			return held{stage: i, reason: a.reason}
		}
	}
	if ev := e.timeChecks(r, i, now); ev != nil {
		e.leaveOrder(r, i)
		return ev
	}
	if !e.takePermit(r, i) {
		return nil
	}
	return entered{stage: i}
}

// leaveOrder gives back what a stage was given before a later check held it.
func (e *Engine) leaveOrder(r *activeExecution, i int) {
	if r.entry != nil {
		r.entry.pipeline.leave(r.entry, r.st.name(i))
	}
	if r.permits[i] {
		e.releasePermit(r, i)
	}
}

// timeChecks checks the windows and the freezes.
func (e *Engine) timeChecks(r *activeExecution, i int, now time.Time) event {
	def := r.st.plan.stages[i].def
	if len(def.Windows) == 0 && e.cfg.Gate == nil || proceeds(r.st.mail[i], r.st.rows[i]) {
		return nil
	}
	reason, until, err := WindowClosed(def.Windows, now)
	if err != nil {
		return refused{stage: i, failure: stage.Failure{Code: CodeExpression, Cause: err.Error()}}
	}
	if reason != "" {
		return held{stage: i, reason: reason, until: until}
	}
	if e.cfg.Gate == nil {
		return nil
	}
	open, reason, until := e.cfg.Gate(e.base, r.st.head, def)
	if open {
		return nil
	}
	if until.IsZero() {
		until = now.Add(time.Minute)
	}
	return held{stage: i, reason: reason, until: until}
}

// proceeds tells whether a person has let the stage begin whatever the time. A
// word that was for an earlier attempt does not let a restarted one begin.
func proceeds(mail []stage.Signal, r *StageState) bool {
	var since time.Time
	if r != nil && len(r.History) > 0 && r.History[len(r.History)-1].Ended != nil {
		since = *r.History[len(r.History)-1].Ended
	}
	for _, m := range mail {
		if m.Name == SignalProceed && m.At.After(since) {
			return true
		}
	}
	return false
}

// WindowClosed says why a stage's windows hold it back at this moment, and until
// when; an empty reason is that they do not. Errors: invalid, a zone or a time
// that cannot be read.
func WindowClosed(ws []pipeline.Window, now time.Time) (reason string, until time.Time, err error) {
	open, next, err := windowsOpen(ws, now)
	if err != nil || open {
		return "", time.Time{}, err
	}
	return windowReason + next.Format(time.RFC3339), next, nil
}

// windowsOpen tells whether any of the windows is open, and when the next one
// opens. A window that ends before it begins lasts over midnight and belongs to
// the day on which it begins. No windows: always open.
func windowsOpen(ws []pipeline.Window, now time.Time) (bool, time.Time, error) {
	if len(ws) == 0 {
		return true, time.Time{}, nil
	}
	var next time.Time
	for _, w := range ws {
		open, opens, err := windowOpen(w, now)
		if err != nil {
			return false, time.Time{}, err
		}
		if open {
			return true, time.Time{}, nil
		}
		if next.IsZero() || opens.Before(next) {
			next = opens
		}
	}
	return false, next, nil
}

var weekdays = map[string]time.Weekday{"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}

func windowOpen(w pipeline.Window, now time.Time) (bool, time.Time, error) {
	zone, err := time.LoadLocation(w.Zone) // "" is UTC
	if err != nil {
		return false, time.Time{}, problem.Wrap(err, problem.Invalid, "execution.window", "zone %q", w.Zone)
	}
	from, err := time.Parse("15:04", w.From)
	if err != nil {
		return false, time.Time{}, problem.Wrap(err, problem.Invalid, "execution.window", "from %q", w.From)
	}
	to, err := time.Parse("15:04", w.To)
	if err != nil {
		return false, time.Time{}, problem.Wrap(err, problem.Invalid, "execution.window", "to %q", w.To)
	}
	days := map[time.Weekday]bool{}
	for _, d := range w.Days {
		day, ok := weekdays[d]
		if !ok {
			return false, time.Time{}, problem.New(problem.Invalid, "execution.window", "day %q is none of mon … sun", d)
		}
		days[day] = true
	}
	local := now.In(zone)
	over := 0
	if !to.After(from) {
		over = 1
	}
	for d := -1; d <= 8; d++ {
		y, m, day := local.AddDate(0, 0, d).Date()
		start := time.Date(y, m, day, from.Hour(), from.Minute(), 0, 0, zone)
		end := time.Date(y, m, day+over, to.Hour(), to.Minute(), 0, 0, zone)
		if len(days) > 0 && !days[start.Weekday()] || !end.After(now) {
			continue
		}
		if !now.Before(start) {
			return true, time.Time{}, nil
		}
		return false, start.UTC(), nil
	}
	return false, now.Add(24 * time.Hour), nil // a day that a change of the clock swallowed
}
