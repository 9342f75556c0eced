package web

import (
	"cmp"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"showrunner/api"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage/gate"
)

// runEvents are the events after which pages about executions are out of date.
var runEvents = strings.Join(execution.EventTypes(), " ")

// triggerEvents are those after which pages that show triggers are.
const triggerEvents = " trigger.failed trigger.recovered"

func (p *Pages) executions(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	query := execution.Query{Application: q.Get("application"), Pipeline: q.Get("pipeline"), Text: q.Get("q"), Trigger: q.Get("trigger"), After: q.Get("after"), Limit: 50}
	if s := q.Get("status"); s != "" {
		query.Statuses = []execution.Status{execution.Status(s)}
	}
	page, err := p.Control.Executions(r.Context(), api.PrincipalOf(r), query)
	if err != nil {
		return err
	}
	v := view{Title: "Executions", Nav: "executions", Same: listCommand(query), Live: runEvents}
	var triggers []control.TriggerStatus
	if query.Application != "" && query.Pipeline != "" { // the page of one pipeline
		triggers, err = p.Control.Triggers(r.Context(), api.PrincipalOf(r), query.Application, query.Pipeline)
		if err != nil && problem.CodeOf(err) != problem.NotFound { // its executions outlive a pipeline
			return err
		}
		v.Live, v.Every = runEvents+triggerEvents, 10
	}
	more := ""
	if page.Next != "" {
		q.Set("after", page.Next)
		more = "/executions?" + q.Encode()
	}
	v.Data = map[string]any{"Page": page, "Query": query, "Status": q.Get("status"), "More": more, "Starts": triggers,
		"Statuses": execution.Listed(),
		"Triggers": []string{"push", "poll", "schedule", "webhook", "pipeline", "manual", "rollback", "repair"}}
	return p.show(w, r, "executions", v)
}

// listCommand is what lists the same executions on the command line.
func listCommand(q execution.Query) string {
	c := "showrunner executions list"
	switch {
	case q.Application != "" && q.Pipeline != "":
		c += " " + shellWord(q.Application+"/"+q.Pipeline)
	case q.Application != "":
		c += " " + shellWord(q.Application)
	case q.Pipeline != "":
		c += " -p " + shellWord(q.Pipeline)
	}
	for _, s := range q.Statuses {
		c += " --status " + shellWord(strings.ToLower(s.Look().Word))
	}
	if q.Trigger != "" {
		c += " --trigger " + shellWord(q.Trigger)
	}
	if q.Text != "" {
		c += " -q " + shellWord(q.Text)
	}
	return c
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)

// shellWord is one word of a command, quoted where it has to be.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (p *Pages) execution(w http.ResponseWriter, r *http.Request) error {
	e, err := p.Control.Execution(r.Context(), api.PrincipalOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	rollbacks, err := p.Control.Executions(r.Context(), api.PrincipalOf(r), execution.Query{RollbackOf: e.ID, Limit: 10})
	if err != nil {
		return err
	}
	look := cmp.Or(r.URL.Query().Get("view"), "graph")
	if !slices.ContainsFunc(runViews(e.ID), func(v runView) bool { return v.Name == look }) {
		return problem.New(problem.NotFound, "page", "a run has no view %q", look).WithHelp("graph, waterfall, definition and events are there")
	}
	stages := stagesShown(e, r.URL.Query())
	data := map[string]any{"E": e, "Rollbacks": rollbacks.Executions, "Counts": countStages(e), "Stages": stages, "Asking": p.asking(r, e, stages.Asking)}
	data["Views"], data["View"], data["Targets"] = runViews(e.ID), look, rollbackTargets(e)
	switch {
	case look == "waterfall":
		data["Waterfall"] = waterfallOf(e, p.Now())
	case look == "definition":
		data["Defined"] = definitionOf(e)
	case look == "events":
		if data["Events"], err = p.runEventsOf(r, e.ID); err != nil {
			return err
		}
	case len(e.Stages) <= manyStages:
		data["Graph"] = graphOf(e)
	}
	return p.show(w, r, "execution", view{Title: e.Application + " › " + e.Pipeline, Nav: "executions", Same: "showrunner executions show " + e.ID,
		Live: runEvents, Execution: e.ID, Data: data})
}

// asked is a stage that waits for a person, with what an approval of it lets happen.
type asked struct {
	execution.StageState
	Instructions string
	Review       *control.Review // nil where no approval is asked for
	Unknown      string          // why there is no review
	Rules        *gate.State     // who may decide, and who has; nil where no approval is asked for
	MayNot       string          // why this person may not approve; empty: they may
	MayNotReject string
}

// mostReviewed is of how many approvals a page says what they let happen: each asks
// every region.
const mostReviewed = 5

// asking are the stages that wait for a person. Of an approval whose review cannot be
// had the page says so: the decision itself does not depend on it.
func (p *Pages) asking(r *http.Request, e execution.Execution, stages []execution.StageState) []asked {
	var list []asked
	reviewed, room := 0, mostLinesShown
	for _, st := range stages {
		a := asked{StageState: st}
		if st.Kind == "approval" {
			a.Instructions = instructions(e, st.Name)
			p.mayDecide(api.PrincipalOf(r), e, &a)
			if reviewed++; reviewed > mostReviewed {
				a.Unknown = "showrunner approve " + e.ID + " " + st.Name + " says what it lets happen"
			} else if review, err := p.Control.ReviewApproval(r.Context(), api.PrincipalOf(r), e.ID, st.Name); err != nil {
				a.Unknown = problem.Text(err)
			} else {
				boundFiles(&review, &room)
				a.Review = &review
			}
		}
		list = append(list, a)
	}
	return list
}

// mayDecide says who may decide on an approval, and why this person may not.
func (p *Pages) mayDecide(who control.Principal, e execution.Execution, a *asked) {
	if rules, err := gate.ParseState(a.State); err == nil {
		a.Rules = &rules
	}
	if p.MayDecide == nil {
		return
	}
	why := func(approve bool) string {
		err := p.MayDecide(who, e, a.StageState, control.Decision{Approve: approve})
		if err == nil {
			return ""
		}
		if help := problem.HelpOf(err); help != "" {
			return problem.Text(err) + "; " + help
		}
		return problem.Text(err)
	}
	a.MayNot, a.MayNotReject = why(true), why(false)
}

// previewRestart says what a restart would run again, before it is done.
func (p *Pages) previewRestart(w http.ResponseWriter, r *http.Request) error {
	plan, err := p.Control.PlanRestart(r.Context(), api.PrincipalOf(r), r.PathValue("id"), r.PathValue("stage"))
	if err != nil {
		return err
	}
	return p.show(w, r, "restart", view{Title: "Restart from " + r.PathValue("stage"), Nav: "executions", Same: "showrunner executions restart " + plan.Execution + " " + r.PathValue("stage"),
		Data: restartView{plan, r.PathValue("stage")}})
}

// restartView is a restart as it is shown before it is done.
type restartView struct {
	control.RestartPlan
	Stage string // it begins with
}

// stageCount is how many stages stand alike, as people read it.
type stageCount struct {
	Look execution.Look
	N    int
}

// countStages counts the stages by how they stand: failures first, then what
// waits and works, then what is over or still to come.
func countStages(e execution.Execution) []stageCount {
	var list []stageCount
	for _, st := range e.Stages {
		look := st.Look()
		i := slices.IndexFunc(list, func(c stageCount) bool { return c.Look == look })
		if i < 0 {
			i, list = len(list), append(list, stageCount{Look: look})
		}
		list[i].N++
	}
	order := []execution.Tone{execution.Bad, execution.Wait, execution.Busy, execution.Good, execution.Idle}
	slices.SortStableFunc(list, func(a, b stageCount) int {
		return cmp.Compare(slices.Index(order, a.Look.Tone), slices.Index(order, b.Look.Tone))
	})
	return list
}

func (p *Pages) cancel(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := p.Control.Cancel(r.Context(), api.PrincipalOf(r), id, r.FormValue("reason")); err != nil {
		return err
	}
	return seeOther(w, r, "/executions/"+url.PathEscape(id))
}

func (p *Pages) stageAct(w http.ResponseWriter, r *http.Request) error {
	id, st, who := r.PathValue("id"), r.PathValue("stage"), api.PrincipalOf(r)
	var err error
	switch do := r.PathValue("do"); do {
	case "approve", "reject":
		err = p.Control.Decide(r.Context(), who, id, st, control.Decision{Approve: do == "approve", Comment: r.FormValue("comment")}, p.MayDecide)
	case "restart":
		err = p.Control.Restart(r.Context(), who, id, st)
	case "skip", "retry", "done", "fail":
		err = p.Control.Signal(r.Context(), who, id, st, do, nil)
	default:
		err = problem.New(problem.NotFound, "page", "there is no action %q", do)
	}
	if err != nil {
		return err
	}
	return seeOther(w, r, "/executions/"+url.PathEscape(id))
}

// asksFor says whether a run of the pipeline needs values that a person has to give.
func asksFor(pl pipeline.Pipeline) bool {
	return slices.ContainsFunc(pl.Parameters, func(v pipeline.Parameter) bool { return v.Required })
}

// runForm asks for the parameters of a run.
func (p *Pages) runForm(w http.ResponseWriter, r *http.Request) error {
	apps, err := p.Control.Applications(r.Context(), api.PrincipalOf(r))
	if err != nil {
		return err
	}
	app, name := r.PathValue("app"), r.PathValue("pipeline")
	i := slices.IndexFunc(apps, func(a control.Application) bool { return a.Name == app })
	if i < 0 {
		return problem.New(problem.NotFound, "page", "there is no application %q", app)
	}
	pl, err := apps[i].Pipeline(name)
	if err != nil {
		return err
	}
	return p.show(w, r, "run", view{Title: "Run " + name, Nav: "overview", Same: "showrunner run " + app + "/" + name + " --param NAME=VALUE",
		Data: map[string]any{"Application": app, "Pipeline": name, "Description": pl.Description, "Fields": fieldsOf(pl)}})
}

// runField is one parameter in the form of a run.
type runField struct {
	Name, Description, Default string
	Required                   bool
	Options                    []string
}

func fieldsOf(pl pipeline.Pipeline) []runField {
	var list []runField
	for _, v := range pl.Parameters {
		f := runField{Name: v.Name, Description: v.Description, Required: v.Required, Options: v.Options}
		if v.Default != nil {
			f.Default = *v.Default
		}
		list = append(list, f)
	}
	return list
}

func (p *Pages) run(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return problem.Wrap(err, problem.Invalid, "page", "reading the form")
	}
	request := control.RunRequest{Application: r.PathValue("app"), Pipeline: r.PathValue("pipeline"), Parameters: map[string]string{}, Key: r.FormValue("key")}
	for k := range r.PostForm {
		// A field left empty means the default.
		if name, ok := strings.CutPrefix(k, "param."); ok && r.PostFormValue(k) != "" {
			request.Parameters[name] = r.PostFormValue(k)
		}
	}
	e, _, err := p.Control.Run(r.Context(), api.PrincipalOf(r), request)
	if err != nil {
		return err
	}
	return seeOther(w, r, "/executions/"+url.PathEscape(e.ID))
}

func (p *Pages) rollback(w http.ResponseWriter, r *http.Request) error {
	e, err := p.Control.Rollback(r.Context(), api.PrincipalOf(r), control.RollbackRequest{
		Account: r.FormValue("account"), Cluster: r.FormValue("cluster"), Site: r.FormValue("site"), To: r.FormValue("to"), Key: r.FormValue("key")})
	if err != nil {
		return err
	}
	return seeOther(w, r, "/executions/"+url.PathEscape(e.ID))
}

// definition finds what a graph is drawn from.
func definition(e execution.Execution) pipeline.Pipeline {
	if e.Definition == nil {
		return pipeline.Pipeline{}
	}
	return *e.Definition
}
