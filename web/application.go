package web

import (
	"net/http"
	"net/url"
	"slices"
	"sync"

	"showrunner/api"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
)

// applicationView is one application: what waits and what is wrong first, then its
// pipelines, where it runs, and what holds it back or starts it.
type applicationView struct {
	control.Application
	Applied   string // the version that was just applied
	Missing   []control.Missing
	Waiting   []execution.Execution
	Pipelines []overviewPipeline
	Dora      doraStrip
	Clusters  []clusterView
	Troubles  []trouble
	Sites     []control.SiteStatus
	Freezes   []freezeRow
	Windows   []windowRow
	Triggers  []control.TriggerStatus
	Unknown   []string // what could not be asked, and why
}

func (p *Pages) application(w http.ResponseWriter, r *http.Request) error {
	ctx, who, name := r.Context(), api.PrincipalOf(r), r.PathValue("app")
	app, err := p.Control.Application(ctx, who, name)
	if err != nil {
		return err
	}
	v := applicationView{Application: app, Applied: r.URL.Query().Get("applied")}
	if v.Triggers, err = p.Control.Triggers(ctx, who, name, ""); err != nil {
		v.Unknown = append(v.Unknown, "triggers: "+problem.Text(err))
	}
	for _, pl := range app.Pipelines {
		row, waiting, err := p.pipelineRow(r, name, pl, v.Triggers)
		if err != nil {
			return err
		}
		v.Pipelines, v.Waiting = append(v.Pipelines, row), append(v.Waiting, waiting...)
	}
	freezes, err := p.Control.Freezes(ctx, who)
	if err != nil {
		return err
	}
	now := p.Now()
	for _, f := range freezes {
		if row := freezeRowOf(f, now); f.Concerns(name) && !row.Over {
			v.Freezes = append(v.Freezes, row)
		}
	}
	v.Windows = windowsOf(app)
	if v.Dora, err = p.dora(ctx, who, name); err != nil {
		return err
	}
	p.whereItRuns(r, &v)
	return p.show(w, r, "application", view{Title: name, Nav: "overview", Same: "showrunner executions list " + shellWord(name) + "; showrunner clusters",
		Live: runEvents + triggerEvents + " " + settingsEvents, Every: 5, Data: v})
}

// pipelineRow is a pipeline with its last runs, and those of them that wait for a person.
func (p *Pages) pipelineRow(r *http.Request, application string, pl pipeline.Pipeline, triggers []control.TriggerStatus) (overviewPipeline, []execution.Execution, error) {
	page, err := p.Control.Executions(r.Context(), api.PrincipalOf(r), execution.Query{Application: application, Pipeline: pl.Name, Limit: RecentRuns})
	if err != nil {
		return overviewPipeline{}, nil, err
	}
	var waiting []execution.Execution
	for _, e := range page.Executions {
		if e.Activity.WaitsForPerson() {
			waiting = append(waiting, e)
		}
	}
	slices.Reverse(page.Executions)
	return overviewPipeline{pl.Name, page.Executions, asksFor(pl), failing(triggers, application, pl.Name)}, waiting, nil
}

// whereItRuns asks the regions, all at once: one that hangs is waited for once.
func (p *Pages) whereItRuns(r *http.Request, v *applicationView) {
	ctx, who := r.Context(), api.PrincipalOf(r)
	var clusters []control.Cluster
	var sites []control.SiteStatus
	var clustersErr, sitesErr, missingErr error
	var asked sync.WaitGroup
	asked.Go(func() { clusters, clustersErr = p.Control.Clusters(ctx, who, "", v.Name, "") })
	asked.Go(func() { sites, sitesErr = p.Control.Sites(ctx, who) })
	asked.Go(func() { v.Missing, missingErr = p.Control.Missing(ctx, who, v.Name) })
	asked.Wait()
	for what, err := range map[string]error{"clusters": clustersErr, "sites": sitesErr, "what is missing": missingErr} {
		if err != nil {
			v.Unknown = append(v.Unknown, what+": "+problem.Text(err))
		}
	}
	slices.Sort(v.Unknown)
	for _, c := range clusters {
		if c.Application != v.Name {
			continue
		}
		v.Clusters = append(v.Clusters, viewOf(c))
		v.Troubles = append(v.Troubles, troublesOf(c)...)
	}
	v.Troubles = v.Troubles[:min(len(v.Troubles), troublesShown)]
	v.Sites = slices.DeleteFunc(sites, func(s control.SiteStatus) bool { return s.Application != v.Name })
}

// RunsHref is where a pipeline's runs are listed.
func (v applicationView) RunsHref(pipeline string) string {
	return "/executions?" + url.Values{"application": {v.Name}, "pipeline": {pipeline}}.Encode()
}
