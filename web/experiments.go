package web

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"showrunner/api"
	"showrunner/chaos/experiment"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
)

// experimentEvents are the events after which what is shown of experiments is out of date.
const experimentEvents = "chaos.experiment-running chaos.experiment-completed chaos.experiment-stopped chaos.experiment-failed chaos.experiment-interrupted"

// runRow is a run of an experiment as people read it.
type runRow struct {
	experiment.Run
	Look execution.Look
	Took string
}

func runRowOf(r experiment.Run) runRow {
	var ended *time.Time
	if !r.Ended.IsZero() {
		ended = &r.Ended
	}
	return runRow{Run: r, Look: runLook(r), Took: spanOf(&r.Began, ended)}
}

// runLook is how a run stands in the words that everything else uses.
func runLook(r experiment.Run) execution.Look {
	switch {
	case r.Status == experiment.Running && r.StopAsked != "":
		return execution.Look{Word: "Stopping", Shape: "◐", Tone: execution.Busy}
	case r.Status == experiment.Running:
		return execution.Look{Word: "Running", Shape: "◐", Tone: execution.Busy}
	case r.Deviated:
		return execution.Look{Word: "Deviated", Shape: "✕", Tone: execution.Bad}
	case r.Status == experiment.Completed:
		return execution.Look{Word: "Completed", Shape: "✓", Tone: execution.Good}
	case r.Status == experiment.Stopped:
		return execution.Look{Word: "Stopped", Shape: "⊘", Tone: execution.Wait}
	case r.Status == experiment.Interrupted:
		return execution.Look{Word: "Interrupted", Shape: "⊘", Tone: execution.Wait}
	}
	return execution.Look{Word: "Failed", Shape: "✕", Tone: execution.Bad}
}

func actionLook(a experiment.ActionRun) execution.Look {
	switch a.State {
	case experiment.Waiting:
		return execution.Look{Word: "Not started", Shape: "○", Tone: execution.Idle}
	case experiment.Under:
		return execution.Look{Word: "Running", Shape: "◐", Tone: execution.Busy}
	case experiment.Done:
		return execution.Look{Word: "Done", Shape: "✓", Tone: execution.Good}
	case experiment.Skipped:
		return execution.Look{Word: "Skipped", Shape: "⊘", Tone: execution.Idle}
	}
	return execution.Look{Word: "Failed", Shape: "✕", Tone: execution.Bad}
}

// actionRow is an action of the journal.
type actionRow struct {
	experiment.ActionRun
	Look execution.Look
	Does string // by the file; "" where the file does not say
	Took string
}

// lookRow is a look at the steady state.
type lookRow struct {
	experiment.Look
	When string
}

// journalView is the journal of a run.
type journalView struct {
	runRow
	Looks     []lookRow
	Actions   []actionRow
	Stops     []string
	Rollbacks []actionRow
	Timeline  waterfall
	Unread    string // why the file of the run cannot be read now
}

func (p *Pages) experiment(w http.ResponseWriter, r *http.Request) error {
	run, err := p.Control.Experiment(r.Context(), api.PrincipalOf(r), r.PathValue("run"))
	if err != nil {
		return err
	}
	v := journalView{runRow: runRowOf(run)}
	for _, looks := range []struct {
		when string
		list []experiment.Look
	}{{"before", run.Before}, {"during", run.During}, {"after", run.After}} {
		for _, l := range looks.list {
			v.Looks = append(v.Looks, lookRow{l, looks.when})
		}
	}
	var does, undoes []string
	if run.Format == "" {
		e, err := control.ParseExperiment([]byte(run.Source), nil)
		if err != nil { // of another version: the journal says what happened all the same
			v.Unread = problem.Text(err)
		} else {
			for _, a := range e.Actions {
				does = append(does, a.Does())
			}
			for _, s := range e.Rollbacks {
				undoes = append(undoes, s.Does())
			}
			for _, c := range e.StopConditions {
				v.Stops = append(v.Stops, c.Bounded())
			}
			if !run.Methodical && run.Status != experiment.Running {
				undoes = nil
			}
		}
	}
	v.Actions, v.Rollbacks = actionRows(run.Actions, does), actionRows(run.Rollbacks, undoes)
	if len(run.Rollbacks) == 0 { // those that will run
		for _, text := range undoes {
			v.Rollbacks = append(v.Rollbacks, actionRow{ActionRun: experiment.ActionRun{State: experiment.Waiting}, Look: actionLook(experiment.ActionRun{State: experiment.Waiting}), Does: text})
		}
	}
	v.Timeline = timelineOf(v, p.Now())
	every := 0
	if run.Status == experiment.Running {
		every = 5
	}
	return p.show(w, r, "experiment", view{Title: run.Name + " · Chaos", Nav: "chaos", Same: "showrunner chaos experiment show " + run.ID, Live: experimentEvents, Every: every, Data: v})
}

func actionRows(list []experiment.ActionRun, does []string) (rows []actionRow) {
	for i, a := range list {
		row := actionRow{ActionRun: a, Look: actionLook(a)}
		if i < len(does) {
			row.Does = does[i]
		}
		if !a.Began.IsZero() {
			var ended *time.Time
			if !a.Ended.IsZero() {
				ended = &a.Ended
			}
			row.Took = spanOf(&a.Began, ended)
		}
		rows = append(rows, row)
	}
	return rows
}

// timelineOf draws the actions and rollbacks that have begun, and the looks at the steady
// state, over the time of the run.
func timelineOf(v journalView, now time.Time) waterfall {
	end := now
	if !v.Ended.IsZero() {
		end = v.Ended
	}
	w, x := newWaterfall(v.Began, end)
	bar := func(from, to time.Time, look execution.Look, took string) []waterfallBar {
		if to.IsZero() {
			to = end
		}
		return []waterfallBar{{X: x(from), W: max(2, x(to)-x(from)), Class: string(look.Tone), Label: look.Word + " " + took}}
	}
	for _, l := range v.Looks {
		look := execution.Look{Word: "Holds", Shape: "✓", Tone: execution.Good}
		if l.Wrong != "" {
			look = execution.Look{Word: "Does not hold", Shape: "✕", Tone: execution.Bad}
		}
		w.Rows = append(w.Rows, waterfallRow{Name: l.Condition, Kind: "steady state, " + l.When, Look: look, Bars: bar(l.At, l.At, look, "")})
	}
	for _, list := range [][]actionRow{v.Actions, v.Rollbacks} {
		for _, a := range list {
			if !a.Began.IsZero() {
				w.Rows = append(w.Rows, waterfallRow{Name: cmp.Or(a.Name, a.Does), Kind: a.Kind, Look: a.Look, Took: a.Took, Bars: bar(a.Began, a.Ended, a.Look, a.Took)})
			}
		}
	}
	return w
}

// experimentForm is the page on which a run is begun: first the file, then what it does.
type experimentForm struct {
	Source string
	Plan   *control.ExperimentPlan // nil: it was not asked for, or the file is wrong
	Wrong  []string
	Help   string
	Key    string
}

// newExperiment asks for the file of an experiment; with ?from= it is that of a run.
func (p *Pages) newExperiment(w http.ResponseWriter, r *http.Request) error {
	form := experimentForm{Source: exampleExperiment}
	if from := r.URL.Query().Get("from"); from != "" {
		run, err := p.Control.Experiment(r.Context(), api.PrincipalOf(r), from)
		if err != nil {
			return err
		}
		if run.Format != "" {
			return problem.New(problem.Precondition, "page", "run %s is one of Chaos Toolkit, which the command carries out", from).WithHelp("showrunner chaos experiment run FILE")
		}
		form.Source = run.Source
	}
	return p.showExperimentForm(w, r, http.StatusOK, form)
}

const exampleExperiment = `experiment: the-service-survives-the-loss-of-an-instance
application: storefront
steadyState:
  - { name: page, http: { url: "http://127.0.0.1:8080/", within: 1s } }
method:
  - kill: { region: us-west-2 }
  - wait: 10s
`

// startExperiment says what a run does, and begins it when that was confirmed.
func (p *Pages) startExperiment(w http.ResponseWriter, r *http.Request) error {
	form := experimentForm{Source: r.FormValue("source"), Key: r.FormValue("key")}
	if r.FormValue("do") == "start" {
		run, err := p.Control.StartExperiment(r.Context(), api.PrincipalOf(r), form.Source, form.Key)
		if err != nil {
			return err
		}
		return seeOther(w, r, "/chaos/experiments/"+run.ID)
	}
	if r.FormValue("do") == "edit" {
		return p.showExperimentForm(w, r, http.StatusOK, form)
	}
	plan, err := p.Control.PlanExperiment(r.Context(), api.PrincipalOf(r), form.Source)
	if problem.CodeOf(err) == problem.Invalid {
		form.Wrong, form.Help = lines(problem.Text(err)), problem.HelpOf(err)
		return p.showExperimentForm(w, r, http.StatusBadRequest, form)
	}
	if err != nil {
		return err
	}
	form.Plan = &plan
	return p.showExperimentForm(w, r, http.StatusOK, form)
}

func (p *Pages) showExperimentForm(w http.ResponseWriter, r *http.Request, status int, form experimentForm) error {
	return p.showStatus(w, r, status, "experimentform", view{Title: "Run an experiment", Nav: "chaos", Same: "showrunner chaos experiment plan FILE", Data: form})
}

// stopExperiment asks for the end of a run.
func (p *Pages) stopExperiment(w http.ResponseWriter, r *http.Request) error {
	run, err := p.Control.StopExperiment(r.Context(), api.PrincipalOf(r), r.PathValue("run"))
	if err != nil {
		return err
	}
	return seeOther(w, r, "/chaos/experiments/"+run.ID)
}

// gameday shows the report of a game day.
func (p *Pages) gameday(w http.ResponseWriter, r *http.Request) error {
	report, err := p.Control.Gameday(r.Context(), api.PrincipalOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	return p.show(w, r, "gameday", view{Title: "Game day", Nav: "chaos", Same: "showrunner gameday show " + r.PathValue("id"), Data: &report})
}

// lines are the lines of a text without what stands around them.
func lines(text string) (list []string) {
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}
