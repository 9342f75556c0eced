package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"

	"showrunner/api"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
)

// overviewApp is an application's row.
type overviewApp struct {
	Name      string
	Pipelines []overviewPipeline
	Health    []regionHealth
}

// regionHealth is how many instances of an application serve in a region.
type regionHealth struct {
	Region          string
	Serving, Wanted int
	Unreachable     bool
}

// healthOf counts the instances of an application by region.
func healthOf(application string, clusters []control.Cluster) []regionHealth {
	var list []regionHealth
	at := func(region string) *regionHealth {
		i := slices.IndexFunc(list, func(h regionHealth) bool { return h.Region == region })
		if i < 0 {
			i, list = len(list), append(list, regionHealth{Region: region})
		}
		return &list[i]
	}
	for _, c := range clusters {
		if c.Application != application {
			continue
		}
		for _, g := range c.Groups {
			if h := at(g.Region); g.Enabled() {
				h.Serving, h.Wanted = h.Serving+g.Serving(), h.Wanted+g.Capacity.Desired
			}
		}
		for region := range c.Unreachable {
			at(region).Unreachable = true
		}
	}
	slices.SortFunc(list, func(a, b regionHealth) int { return strings.Compare(a.Region, b.Region) })
	return list
}

type overviewPipeline struct {
	Name string
	Runs []execution.Execution // oldest first
	// Asks says that a run needs values that a person has to give.
	Asks bool
	// Failing are the triggers that cannot start it.
	Failing []control.TriggerStatus
}

// urgency orders applications: those where a person is needed first, then those that
// failed, then those at work.
func (a overviewApp) urgency() int {
	least := 4
	for _, pl := range a.Pipelines {
		rank := 4
		switch latest := pl.Latest(); {
		case latest != nil && latest.Look().Tone == execution.Wait:
			rank = 0
		case len(pl.Failing) > 0:
			rank = 1
		case latest != nil && latest.Look().Tone == execution.Bad:
			rank = 2
		case latest != nil && latest.Look().Tone == execution.Busy:
			rank = 3
		}
		least = min(least, rank)
	}
	return least
}

// Latest is the newest run, nil without any.
func (o overviewPipeline) Latest() *execution.Execution {
	if len(o.Runs) == 0 {
		return nil
	}
	return &o.Runs[len(o.Runs)-1]
}

// appsShown is how many applications the front page shows at once, the most urgent first.
const appsShown = 40

// RecentRuns is how many runs of a pipeline the front page shows.
const RecentRuns = 30

func (p *Pages) overview(w http.ResponseWriter, r *http.Request) error {
	ctx, who := r.Context(), api.PrincipalOf(r)
	apps, err := p.Control.Applications(ctx, who)
	if err != nil {
		return err
	}
	triggers, triggersErr := p.Control.Triggers(ctx, who, "", "")
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	var rows []overviewApp
	var waiting []execution.Execution
	hidden := 0
	for _, a := range apps {
		if query != "" && !strings.Contains(a.Name, query) {
			hidden++
			continue
		}
		row := overviewApp{Name: a.Name}
		for _, pl := range a.Pipelines {
			line, waits, err := p.pipelineRow(r, a.Name, pl, triggers)
			if err != nil {
				return err
			}
			row.Pipelines, waiting = append(row.Pipelines, line), append(waiting, waits...)
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b overviewApp) int { return cmp.Compare(a.urgency(), b.urgency()) })
	more := max(0, len(rows)-appsShown)
	rows = rows[:len(rows)-more]
	var regions []control.RegionStatus
	var sites []control.SiteStatus
	var clusters []control.Cluster
	var missing []control.Missing
	var regionsErr, missingErr error
	var asked sync.WaitGroup // together: a region that hangs is waited for once
	asked.Go(func() { regions, regionsErr = p.Control.Regions(ctx, who) })
	asked.Go(func() { sites, _ = p.Control.Sites(ctx, who) })                   // a region that is unreachable shows below
	asked.Go(func() { clusters, _ = p.Control.Clusters(ctx, who, "", "", "") }) // as above
	asked.Go(func() { missing, missingErr = p.Control.Missing(ctx, who, "") })
	var strip doraStrip
	var stripErr error
	asked.Go(func() { strip, stripErr = p.dora(ctx, who, "") })
	asked.Wait()
	for i := range rows {
		rows[i].Health = healthOf(rows[i].Name, clusters)
	}
	data := map[string]any{"Query": query, "Hidden": hidden, "More": more, "MoreWaiting": max(0, len(waiting)-mostNamed), "Missing": missing, "Apps": rows, "Waiting": waiting[:min(len(waiting), mostNamed)], "Regions": regions, "Sites": sites, "Clusters": clusters}
	if stripErr == nil && len(apps) > 0 { // an overview without figures is better than none
		data["Dora"] = strip
	}
	if triggersErr != nil {
		data["Unknown"] = problem.Text(triggersErr)
	}
	if err := cmp.Or(regionsErr, missingErr); err != nil {
		data["Unreachable"] = problem.Text(err)
	}
	return p.show(w, r, "overview", view{Title: "Overview", Nav: "overview", Same: "showrunner executions list", Live: runEvents + triggerEvents, Every: 5, Data: data})
}

// failing are the triggers of a pipeline that do not work.
func failing(all []control.TriggerStatus, application, name string) []control.TriggerStatus {
	var list []control.TriggerStatus
	for _, t := range all {
		if t.Application == application && t.Pipeline == name && t.Fails() {
			list = append(list, t)
		}
	}
	return list
}
