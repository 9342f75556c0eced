package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"showrunner/api"
	"showrunner/execution"
	"showrunner/store/record"
)

// runView is a way to look at a run.
type runView struct{ Name, Title, Href string }

// runViews are the ways to look at a run; the first one is the page's own.
func runViews(id string) []runView {
	at := "/executions/" + url.PathEscape(id)
	return []runView{{"graph", "Graph", at}, {"waterfall", "Waterfall", at + "?view=waterfall"}, {"definition", "Definition", at + "?view=definition"}, {"events", "Events", at + "?view=events"}}
}

// span of a waterfall: from and to are pixels.
type waterfallBar struct {
	X, W  int
	Class string // how it ended; "queue" before it began
	Label string
}

// waterfallRow is one stage over time.
type waterfallRow struct {
	Name, Kind, Took, Href string
	Look                   execution.Look
	Bars                   []waterfallBar
}

// waterfall is a run over time: for each stage when it waited, and when it worked.
type waterfall struct {
	Rows  []waterfallRow
	Ticks []waterfallTick
	Width int
}

type waterfallTick struct {
	X    int
	Text string
}

const waterfallWidth = 640

// waterfallOf draws every stage that has begun, in the order in which they began. What
// has not ended lasts until now.
func waterfallOf(e execution.Execution, now time.Time) waterfall {
	if e.Started == nil {
		return waterfall{Width: waterfallWidth}
	}
	begin, end := e.Created, now
	if e.Ended != nil {
		end = *e.Ended
	}
	w, x := newWaterfall(begin, end)
	length := end.Sub(begin)
	bar := func(from time.Time, to *time.Time, class, label string) waterfallBar {
		until := end
		if to != nil {
			until = *to
		}
		return waterfallBar{X: x(from), W: max(2, x(until)-x(from)), Class: class, Label: label}
	}
	ready := readyTimes(e)
	stages := slices.Clone(e.Stages)
	slices.SortStableFunc(stages, func(a, b execution.StageState) int { return firstStart(a).Compare(firstStart(b)) })
	for _, st := range stages {
		first := firstStart(st)
		if first.IsZero() || st.Status == execution.Skipped {
			continue
		}
		row := waterfallRow{Name: st.Name, Kind: st.Kind, Look: st.Look(), Took: spanOf(st.Started, st.Ended), Href: "#stage-" + st.Name}
		if waited := first.Sub(ready[st.Name]); waited > length/200 && !ready[st.Name].IsZero() {
			row.Bars = append(row.Bars, bar(ready[st.Name], &first, "queue", st.Name+" waited "+spanOf(new(ready[st.Name]), &first)))
		}
		for _, a := range st.History {
			if a.Started != nil {
				row.Bars = append(row.Bars, bar(*a.Started, a.Ended, string(a.Status.Look().Tone), fmt.Sprintf("attempt %d: %s after %s", a.Attempt, a.Status.Look().Word, spanOf(a.Started, a.Ended))))
			}
		}
		if st.Started != nil {
			row.Bars = append(row.Bars, bar(*st.Started, st.Ended, string(st.Look().Tone), st.Look().Word+" "+row.Took))
		}
		w.Rows = append(w.Rows, row)
	}
	return w
}

// newWaterfall is one without rows, and where a time is in it.
func newWaterfall(begin, end time.Time) (waterfall, func(time.Time) int) {
	w := waterfall{Width: waterfallWidth}
	length := max(end.Sub(begin), time.Millisecond)
	for i := range 5 {
		at := time.Duration(float64(length) * float64(i) / 4)
		w.Ticks = append(w.Ticks, waterfallTick{X: waterfallWidth * i / 4, Text: spanOf(&begin, new(begin.Add(at)))})
	}
	return w, func(t time.Time) int {
		return int(float64(waterfallWidth) * min(1, max(0, t.Sub(begin).Seconds()/length.Seconds())))
	}
}

func firstStart(st execution.StageState) time.Time {
	for _, a := range st.History {
		if a.Started != nil {
			return *a.Started
		}
	}
	if st.Started != nil {
		return *st.Started
	}
	return time.Time{}
}

// readyTimes are when the needs of each stage had ended; of one without needs, when the
// run was created. Zero: they have not.
func readyTimes(e execution.Execution) map[string]time.Time {
	ready := map[string]time.Time{}
	for _, s := range definition(e).Stages {
		at := e.Created
		for _, need := range s.Needs {
			st, _ := e.Stage(need)
			if st.Ended == nil {
				at = time.Time{}
				break
			}
			if st.Ended.After(at) {
				at = *st.Ended
			}
		}
		ready[s.Name] = at
	}
	return ready
}

// definedStage is a stage as the pipeline file has it, in words.
type definedStage struct {
	Name, Kind, Needs, When, Policy string
	Settings                        []output
}

// definitionOf is what a run carries out, as a table.
func definitionOf(e execution.Execution) []definedStage {
	var list []definedStage
	for _, s := range definition(e).Stages {
		d := definedStage{Name: s.Name, Kind: s.Kind, Needs: strings.Join(s.Needs, ", "), When: s.When}
		var with map[string]any
		if json.Unmarshal(s.With, &with) == nil {
			d.Settings = outputs(with)
		}
		var policy []string
		if s.Timeout > 0 {
			policy = append(policy, "ends after "+time.Duration(s.Timeout).String())
		}
		if s.Retry != nil {
			policy = append(policy, fmt.Sprintf("up to %d attempts", 1+s.Retry.Attempts))
		}
		if s.OnFailure != "" {
			policy = append(policy, "on failure: "+string(s.OnFailure))
		}
		for _, w := range s.Windows {
			policy = append(policy, "begins "+windowText(w))
		}
		d.Policy = strings.Join(policy, "; ")
		list = append(list, d)
	}
	return list
}

// eventsShown is how many events of a run its page shows.
const eventsShown = 1000

// runEventsOf are the events of a run, oldest first.
func (p *Pages) runEventsOf(r *http.Request, id string) ([]record.Event, error) {
	slice, err := p.Control.Events(r.Context(), api.PrincipalOf(r), 0, record.Filter{Execution: id}, eventsShown)
	return slice.Events, err
}

// ending is what canceling a run would do, as it is shown before it is done.
type ending struct {
	E       execution.Execution
	Lines   []string
	Refused string
	Undoes  bool // a rollout is under way, and is put back
}

// endingOf says stage by stage what canceling does.
func endingOf(e execution.Execution) ending {
	v := ending{E: e}
	switch {
	case e.Status.Complete():
		v.Refused = "The run has ended already: " + e.Look().Word + "."
	case e.Canceling != nil:
		v.Refused = "It is being canceled already."
	}
	later := 0
	for _, st := range e.Stages {
		switch {
		case st.Status.Complete():
		case st.Attempt == 0:
			later++
		case st.Kind == "deploy":
			v.Undoes = true
			v.Lines = append(v.Lines, st.Name+": the rollout is undone; what was live before it gets its traffic back, and the stage ends once that is so")
		case st.Kind == "deploy-site":
			v.Lines = append(v.Lines, st.Name+": no further region is switched; those that serve the new deployment keep it until the website is rolled back")
		case st.Kind == "rollback":
			v.Undoes = true
			v.Lines = append(v.Lines, st.Name+": the rollback is undone; the traffic returns to what it was before it")
		case st.Kind == "approval":
			v.Lines = append(v.Lines, st.Name+": nobody is asked any more")
		case st.Kind == "build" || st.Kind == "run":
			v.Lines = append(v.Lines, st.Name+": its commands are told to end")
		case st.Kind == "pipeline":
			v.Lines = append(v.Lines, st.Name+": the run that it started is canceled too")
		default:
			v.Lines = append(v.Lines, st.Name+": it is stopped")
		}
	}
	switch {
	case later == 1:
		v.Lines = append(v.Lines, "1 stage that has not begun does not begin")
	case later > 1:
		v.Lines = append(v.Lines, fmt.Sprintf("%d stages that have not begun do not begin", later))
	}
	v.Lines = append(v.Lines, "what stages have finished stays as it is")
	return v
}

// previewCancel says what canceling a run does, before it is done.
func (p *Pages) previewCancel(w http.ResponseWriter, r *http.Request) error {
	e, err := p.Control.Execution(r.Context(), api.PrincipalOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	return p.show(w, r, "cancel", view{Title: "Cancel " + e.Pipeline, Nav: "executions", Same: "showrunner executions cancel " + e.ID, Data: endingOf(e)})
}

// rollbackTarget is what a run has deployed, and how it can be returned.
type rollbackTarget struct{ Name, Href, Disabled string }

// rollbackTargets are the clusters and sites that the run has put a version into.
func rollbackTargets(e execution.Execution) []rollbackTarget {
	var list []rollbackTarget
	for _, s := range definition(e).Stages {
		st, ok := e.Stage(s.Name)
		if !ok || st.Attempt == 0 || s.Kind != "deploy" && s.Kind != "deploy-site" {
			continue
		}
		t := rollbackTarget{}
		if s.Kind == "deploy" {
			t.Name = field(s.With, "cluster")
			t.Href = "/clusters/" + url.PathEscape(t.Name) + "/change?do=rollback"
		} else {
			t.Name = field(s.With, "site")
			t.Href = "/sites/" + url.PathEscape(t.Name) + "/rollback"
		}
		if account := field(s.With, "account"); account != "" && !strings.Contains(account, "${{") {
			t.Href += map[bool]string{true: "&", false: "?"}[strings.Contains(t.Href, "?")] + "account=" + url.QueryEscape(account)
		}
		if t.Name == "" || strings.Contains(t.Name, "${{") || slices.ContainsFunc(list, func(o rollbackTarget) bool { return o.Href == t.Href }) {
			continue
		}
		switch {
		case !st.Status.Complete() && s.Kind == "deploy-site":
			t.Disabled = "its deployment is under way: canceling the run stops it, and the regions that were switched can be rolled back then"
		case !st.Status.Complete():
			t.Disabled = "its rollout is under way: canceling the run puts it back"
		case st.Status == execution.Canceled && s.Kind == "deploy", st.Failure != nil && len(st.Failure.Undone) > 0:
			t.Disabled = "the rollout did not succeed, and was put back by itself"
		}
		list = append(list, t)
	}
	return list
}
