package toolkit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"showrunner/chaos/experiment"
)

// Public is the journal without what others need not read: secrets of the experiment,
// and what activities answered beyond a short value.
func (j *Journal) Public() *Journal {
	public := *j
	public.Experiment = maps.Clone(j.Experiment)
	delete(public.Experiment, "secrets")
	public.Run, public.Rollbacks = shortResults(j.Run), shortResults(j.Rollbacks)
	for _, state := range []**State{&public.States.Before, &public.States.After} {
		if *state != nil {
			*state = &State{Met: (*state).Met, Probes: shortResults((*state).Probes)}
		}
	}
	public.States.During = nil
	for _, state := range j.States.During {
		public.States.During = append(public.States.During, State{Met: state.Met, Probes: shortResults(state.Probes)})
	}
	return &public
}

func shortResults(list []Result) []Result {
	list = slices.Clone(list)
	for i := range list {
		r := &list[i]
		r.Activity = map[string]any{"name": r.Activity["name"], "type": r.Activity["type"]}
		r.Output = outputText(r.Output)
		if n := len(r.Exception); n > 1 {
			r.Exception = r.Exception[n-1:]
		}
	}
	return list
}

const longestOutput = 300

// outputText is what an activity answered, where that is short enough to say something.
func outputText(output any) any {
	if m, ok := output.(map[string]any); ok {
		output = m["status"]
		if output != nil {
			output = "status " + plain(output)
		}
	}
	switch v := output.(type) {
	case string:
		if len(v) <= longestOutput {
			return v
		}
		return strings.ToValidUTF8(v[:longestOutput], "") + "…"
	case bool, float64, int, json.Number:
		return v
	}
	return nil
}

// mostDuring bounds the looks during the method that a record has: the last ones.
const mostDuring = 200

// Record is the journal as the record of a run, so that runs of both formats are read
// alike. Errors: the experiment cannot be encoded.
func (j *Journal) Record(id string) (experiment.Run, error) {
	source, err := json.MarshalIndent(j.Experiment, "", "  ")
	if err != nil {
		return experiment.Run{}, err
	}
	r := experiment.Run{ID: id, Name: textOf(j.Experiment["title"]), Status: statusOf(j.Status), Deviated: j.Deviated, Began: j.Start.UTC(), Source: string(source),
		Format: experiment.ChaosToolkit, Notes: j.Notes, Methodical: len(j.Run) > 0}
	if j.End != nil {
		r.Ended = j.End.UTC()
	}
	if j.States.Before != nil {
		r.Before = looks(j.States.Before.Probes)
	}
	if j.States.After != nil {
		r.After = looks(j.States.After.Probes)
	}
	for _, state := range j.States.During {
		r.During = append(r.During, looks(state.Probes)...)
	}
	r.During = r.During[max(0, len(r.During)-mostDuring):]
	r.Actions = actions(j.Run)
	r.Actions = append(r.Actions, notBegun(j)...)
	r.Rollbacks = actions(j.Rollbacks)
	r.Reason = reasonOf(j, r)
	return r, nil
}

func textOf(v any) string {
	text, _ := v.(string)
	return text
}

// statusOf is a status in the words of own experiments.
func statusOf(s Status) experiment.Status {
	switch s {
	case Running:
		return experiment.Running
	case Completed:
		return experiment.Completed
	case Aborted:
		return experiment.Stopped
	case Interrupted:
		return experiment.Interrupted
	}
	return experiment.Failed
}

func looks(probes []Result) (list []experiment.Look) {
	for _, p := range probes {
		l := experiment.Look{Condition: textOf(p.Activity["name"]), At: p.Start.UTC(), Wrong: p.Deviation}
		met := p.ToleranceMet == nil || *p.ToleranceMet
		if l.Wrong == "" && (p.failed() || !met) {
			l.Wrong = cmp.Or(lastLine(p.Exception), "its tolerance is not met")
		}
		list = append(list, l)
	}
	return list
}

func lastLine(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.TrimSpace(list[len(list)-1])
}

func actions(results []Result) []experiment.ActionRun {
	list := []experiment.ActionRun{}
	for _, r := range results {
		a := experiment.ActionRun{Name: textOf(r.Activity["name"]), Kind: cmp.Or(textOf(r.Activity["type"]), "activity"), State: experiment.Done, Began: r.Start.UTC(), Ended: r.End.UTC()}
		if text := outputText(r.Output); text != nil {
			a.What = fmt.Sprint(text)
		}
		if r.failed() {
			a.State, a.What = experiment.Broken, cmp.Or(lastLine(r.Exception), a.What)
		}
		list = append(list, a)
	}
	return list
}

// notBegun are the activities of the method that have no result: they wait, or were
// never carried out. One that runs in the background has its result only at its end.
func notBegun(j *Journal) (list []experiment.ActionRun) {
	results := map[string]int{}
	for _, r := range j.Run {
		results[textOf(r.Activity["name"])]++
	}
	state := experiment.Skipped
	if j.Status == Running {
		state = experiment.Waiting
	}
	method, _ := j.Experiment["method"].([]any)
	for _, one := range method {
		activity, _ := one.(map[string]any)
		name := cmp.Or(textOf(activity["name"]), textOf(activity["ref"]))
		if results[name] > 0 {
			results[name]--
			continue
		}
		list = append(list, experiment.ActionRun{Name: name, Kind: cmp.Or(textOf(activity["type"]), "activity"), State: state})
	}
	return list
}

// reasonOf says why a run did not complete, or deviated.
func reasonOf(j *Journal, r experiment.Run) string {
	for _, list := range [][]experiment.Look{r.Before, r.During, r.After} {
		for _, l := range list {
			if l.Wrong != "" {
				return l.Condition + ": " + l.Wrong
			}
		}
	}
	if j.Status == Interrupted && len(j.Notes) > 0 {
		return j.Notes[len(j.Notes)-1]
	}
	return ""
}
