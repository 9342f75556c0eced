package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"showrunner/api/client"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// watchOptions refine a watch.
type watchOptions struct {
	cancelOnInterrupt bool
	untilJudgment     bool
	timeout           time.Duration
	// silent leaves standard output to the caller.
	silent bool
}

// patience is how long a watch lets the control plane be unreachable before it says
// that the outcome is unknown; a restart takes far less.
const patience = 30 * time.Second

// connectPatience is how long a watch waits for a control plane that does not answer when it begins.
const connectPatience = 5 * time.Second

const exitTimeout = 124

// retry repeats what is unavailable until it is not, or patience is over.
func retry(ctx context.Context, patience time.Duration, f func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if problem.CodeOf(err) != problem.Unavailable || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// view shows an execution as it goes on.
type view interface {
	show(e execution.Execution)
	close()
}

// watch shows an execution until it ends, and answers with its exit code.
func (a *app) watch(ctx context.Context, c *client.Client, id string, o watchOptions) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	if o.timeout > 0 {
		watching, stop = context.WithTimeout(watching, o.timeout)
		defer stop()
	}
	v := a.newView(stop)
	last, err := a.follow(watching, c, id, o, v)
	v.close()
	interrupted := ctx.Err() != nil || errors.Is(err, context.Canceled)
	switch {
	case err == nil:
		return a.outcome(last, o)
	case errors.Is(watching.Err(), context.DeadlineExceeded):
		a.say("gave up waiting after %s; the run goes on: showrunner executions watch %s", o.timeout, id)
		return exitError{exitTimeout}
	case interrupted && o.cancelOnInterrupt:
		cancelCtx, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer done()
		if err := c.Do(cancelCtx, http.MethodPost, "/executions/"+seg(id)+"/cancel", map[string]string{"reason": "interrupted at the terminal"}, nil); err != nil {
			return err
		}
		a.say("canceling %s", id)
		return exitError{exitInterrupted}
	case interrupted:
		a.say("detached; the run goes on: showrunner executions watch %s", id)
		return exitError{exitInterrupted}
	default:
		return err
	}
}

// follow shows every state until the execution ends, or waits for a person when that was asked for.
func (a *app) follow(ctx context.Context, c *client.Client, id string, o watchOptions, v view) (execution.Execution, error) {
	var e execution.Execution
	load := func() (bool, error) {
		var fresh execution.Execution
		if err := c.Do(ctx, http.MethodGet, "/executions/"+seg(id), nil, &fresh); err != nil {
			return false, err
		}
		e = fresh
		v.show(e)
		return e.Status.Complete() || o.untilJudgment && judgment(e), nil
	}
	// The position is taken before the picture, so that nothing falls between them.
	var page struct {
		Next int64 `json:"next"`
	}
	// A control plane that is just being started again is waited for.
	var done bool
	err := retry(ctx, connectPatience, func() error {
		err := c.Do(ctx, http.MethodGet, "/events"+query("from", "-1", "limit", "1"), nil, &page)
		if err == nil {
			done, err = load()
		}
		return err
	})
	if err != nil || done {
		return e, err
	}
	over := errors.New("over")
	err = c.Follow(ctx, page.Next, record.Filter{Execution: id}, patience, func(client.Event) error {
		done, err := load()
		switch {
		case problem.CodeOf(err) == problem.Unavailable:
			return nil // the stream will be opened again, and this picture taken again
		case err != nil:
			return err
		case done:
			return over
		}
		return nil
	})
	if errors.Is(err, over) {
		return e, nil
	}
	return e, err
}

func judgment(e execution.Execution) bool {
	for _, st := range e.Stages {
		if st.Activity.WaitsForPerson() {
			return true
		}
	}
	return false
}

// outcome prints how it ended and answers with the exit code.
func (a *app) outcome(e execution.Execution, o watchOptions) error {
	if !o.silent && a.output != "table" {
		if err := a.print(e, func() []string { return []string{e.ID} }, nil); err != nil {
			return err
		}
	}
	for _, line := range a.failures(e) {
		fmt.Fprintln(a.Err, line)
	}
	switch {
	case e.Status == execution.Succeeded || e.Status == execution.Skipped:
		for _, line := range addresses(e) {
			a.say("%s", clean(line))
		}
		for _, st := range e.Stages {
			if steps := unjudged(st); steps != "" {
				a.say("▲ %s succeeded; %s", clean(st.Name), clean(steps))
			}
		}
		return nil
	case !e.Status.Complete() && o.untilJudgment:
		for _, st := range e.Stages {
			if st.Activity.WaitsForPerson() {
				a.say("%s waits for a person: %s", clean(st.Name), clean(strings.Join(toDecide(e, st), "; ")))
			}
		}
		return exitError{exitWaiting}
	case rolledBack(e):
		return exitError{exitRolledBack}
	default:
		return exitError{exitFailed}
	}
}

// rolledBack says whether everything that the failed run had deployed was put back.
func rolledBack(e execution.Execution) bool {
	undone := false
	for _, st := range e.Stages {
		if st.Failure == nil || !st.Status.Complete() || st.Status == execution.Succeeded {
			continue
		}
		for _, u := range st.Failure.Undone {
			if strings.HasPrefix(u, "NOT undone") {
				return false
			}
			undone = true
		}
	}
	return undone
}

// newView chooses how progress is shown; detach is called when a person leaves.
func (a *app) newView(detach func()) view {
	mode := a.progress
	if mode == "auto" {
		mode = "plain"
		if _, _, ok := a.Terminal(); ok && a.Getenv("CI") == "" && a.Getenv("TERM") != "dumb" {
			mode = "tty"
		}
	}
	switch mode {
	case "tty":
		return newTreeView(a, detach)
	case "plain":
		return newPlainView(a)
	case "json":
		return &jsonView{a: a, seen: map[string]string{}}
	default:
		return quietView{}
	}
}

type quietView struct{}

func (quietView) show(execution.Execution) {}
func (quietView) close()                   {}

// plainView prints a line for every change of state.
type plainView struct {
	a    *app
	seen map[string]string
}

func newPlainView(a *app) *plainView {
	return &plainView{a: a, seen: map[string]string{}}
}

func (v *plainView) close() {}

func (v *plainView) show(e execution.Execution) {
	at := time.Now()
	now := at.Format("15:04:05")
	for _, st := range e.Stages {
		st = milestones(st)
		state := withoutCounts(stateOf(st))
		if notDue(st) && v.seen[st.Name] == "" || v.seen[st.Name] == state {
			continue
		}
		v.seen[st.Name] = state
		line := fmt.Sprintf("%s run=%s/%s#%d stage=%s state=%s", now, e.Application, e.Pipeline, e.Number, st.Name, value(st.Look().Word))
		if note := stageNote(st, at); note != "" {
			line += " " + note
		}
		for _, what := range toDecide(e, st) {
			line += "; " + what
		}
		fmt.Fprintln(v.a.Err, clean(line))
	}
	if state := e.Look().Word; v.seen[""] != state && e.Status != execution.NotStarted {
		v.seen[""] = state
		line := fmt.Sprintf("%s run=%s/%s#%d state=%s %s", now, e.Application, e.Pipeline, e.Number, value(state), e.Cause)
		fmt.Fprintln(v.a.Err, strings.TrimRight(clean(line), " "))
	}
}

// value is a value of a line of words: one word stays as it is.
func value(word string) string {
	if strings.Contains(word, " ") {
		return strconv.Quote(word)
	}
	return word
}

// milestones leaves of what a stage says what is worth a line that stays: of a rollout
// its wave and step and what holds it up, of other kinds no progress.
func milestones(st execution.StageState) execution.StageState {
	switch st.Kind {
	case "deploy", "deploy-site", "rollback":
		st.Progress, st.Reason = milestone(st.Progress), milestone(st.Reason)
	default:
		st.Progress = ""
	}
	return st
}

// passing are notes on a region that are no reason to wait, or have the time that is left beside them.
var passing = regexp.MustCompile(`(\d+/\d+ healthy|, pauses)$`)

func milestone(text string) string {
	head, notes, found := strings.Cut(text, ": ")
	if !found || !strings.HasPrefix(head, "wave ") && head != "undoing" {
		return text
	}
	var held []string
	for _, note := range strings.Split(notes, "; ") {
		if !passing.MatchString(note) {
			held = append(held, note)
		}
	}
	if len(held) == 0 {
		return head
	}
	return head + ": " + strings.Join(held, "; ")
}

// notDue says that a stage has not begun and that nothing but earlier stages holds it.
func notDue(st execution.StageState) bool {
	return st.Status == execution.NotStarted && st.Reason == ""
}

// counted is how far a count has come, such as "3 of 20 requests" or "1/2 healthy".
var counted = regexp.MustCompile(`\b\d+(/| of )(\d)`)

// withoutCounts leaves out how far counts have come: they change too often for
// lines that stay. Which count it is, and what else is waited for, stays.
func withoutCounts(text string) string {
	steps := step.FindString(text)
	return steps + counted.ReplaceAllString(text, "#$1$2")
}

// step is where a rollout is, which is no count: each wave and step is a line.
var step = regexp.MustCompile(`wave \d+/\d+(, .*? step \d+/\d+)?`)

func stateOf(st execution.StageState) string {
	return fmt.Sprint(st.Status, st.Attempt, st.Activity, approvals(st), st.Reason, st.Progress)
}

// jsonView prints an object for every change of state, a line each.
type jsonView struct {
	a    *app
	seen map[string]string
}

func (v *jsonView) close() {}

func (v *jsonView) show(e execution.Execution) {
	enc := json.NewEncoder(v.a.Err)
	at := time.Now().UTC().Format(time.RFC3339Nano)
	for _, st := range e.Stages {
		state := stateOf(st)
		if notDue(st) && v.seen[st.Name] == "" || v.seen[st.Name] == state {
			continue
		}
		v.seen[st.Name] = state
		_ = enc.Encode(map[string]any{"time": at, "execution": e.ID, "stage": st.Name, "status": st.Status, "attempt": st.Attempt, "progress": st.Progress, "reason": st.Reason, "failure": st.Failure})
	}
	if state := string(e.Status); v.seen[""] != state {
		v.seen[""] = state
		_ = enc.Encode(map[string]any{"time": at, "execution": e.ID, "status": e.Status, "cause": e.Cause})
	}
}
