package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"showrunner/api"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
)

// lead is a link that an error page offers.
type lead struct{ Href, Text string }

// places are the pages that an address can be meant for, by the words that
// people try.
var places = []struct {
	lead
	words []string
}{
	{lead{"/", "Overview: applications, regions, what waits for a person"}, []string{"overview", "home", "index", "dashboard", "applications", "apps", "pipelines", "regions"}},
	{lead{"/executions", "Executions: every run, with a search"}, []string{"executions", "runs", "builds", "deployments", "history", "approvals", "pipelines", "logs"}},
	{lead{"/clusters", "Clusters: what runs where, and what needs attention"}, []string{"clusters", "services", "instances", "fleet", "servers"}},
	{lead{"/sites", "Sites: what each region serves"}, []string{"sites", "websites", "buckets"}},
	{lead{"/chaos", "Chaos: what ends instances, and the lever that stops it"}, []string{"chaos", "monkey", "faults", "experiments", "kills"}},
	{lead{"/traffic", "Traffic: what the edge sends to each region, and evacuation"}, []string{"traffic", "edge", "weights", "evacuate", "regions"}},
	{lead{"/drift", "Drift: what runs against what was deployed"}, []string{"drift", "repair", "differences"}},
	{lead{"/triggers", "Triggers: what starts pipelines, and what webhooks delivered"}, []string{"triggers", "deliveries", "hooks", "webhooks", "schedules"}},
	{lead{"/aws", "AWS: the endpoint for clients of AWS"}, []string{"aws", "endpoint", "s3", "ecs"}},
	{lead{"/settings", "Settings: freezes, windows, secrets, subscriptions"}, []string{"settings", "freezes", "windows", "secrets", "subscriptions"}},
	{lead{"/activity", "Activity: who did what"}, []string{"activity", "audit", "events"}},
}

// missing is the page of an address that no page has.
func (p *Pages) missing(w http.ResponseWriter, r *http.Request) error {
	return problem.New(problem.NotFound, "", "there is no page %s", r.URL.Path)
}

// leads are where somebody may want to go who has followed a link to what is not
// there: first what the address resembles, then every page.
func (p *Pages) leads(r *http.Request) []lead {
	var first, rest []lead
	words := strings.FieldsFunc(strings.ToLower(r.URL.Path), func(c rune) bool { return c == '/' })
	for _, place := range places {
		fits := slices.ContainsFunc(words, func(w string) bool { return pipeline.Nearest(w, place.words) != "" })
		if fits {
			first = append(first, place.lead)
		} else {
			rest = append(rest, place.lead)
		}
	}
	return append(append(p.named(r.Context(), api.PrincipalOf(r), words), first...), rest...)
}

// named are the applications that an address names, and the newest runs of one.
func (p *Pages) named(ctx context.Context, who control.Principal, words []string) []lead {
	apps, err := p.Control.Applications(ctx, who)
	if err != nil || len(words) == 0 {
		return nil // the pages that there always are will do
	}
	var names []string
	for _, a := range apps {
		names = append(names, a.Name)
	}
	var list []lead
	for _, w := range words[:min(len(words), 3)] {
		name := pipeline.Nearest(w, names)
		if name == "" {
			continue
		}
		list = append(list, lead{"/executions?" + url.Values{"application": {name}}.Encode(), "Runs of " + name})
		page, err := p.Control.Executions(ctx, who, execution.Query{Application: name, Limit: 1})
		if err == nil && len(page.Executions) == 1 {
			e := page.Executions[0]
			list = append(list, lead{"/executions/" + e.ID, "The newest run of " + name + ": " + e.Pipeline + ", " + e.Look().Word})
		}
	}
	return list
}
