package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"showrunner/api"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// siteView is a site as a grid: its deployments down, regions across.
type siteView struct {
	control.SiteStatus
	Regions     []string
	Deployments []siteRow
}

// siteRow is one deployment, newest first.
type siteRow struct {
	ID, Version, Execution string
	At                     time.Time               // zero when the region did not say
	Cells                  []*cloud.SiteDeployment // by region; nil where the region does not keep it
	Everywhere             bool                    // every region serves it
}

func (p *Pages) sites(w http.ResponseWriter, r *http.Request) error {
	list, err := p.Control.Sites(r.Context(), api.PrincipalOf(r))
	if err != nil {
		return err
	}
	var views []siteView
	for _, s := range list {
		deployments, err := p.Control.SiteDeployments(r.Context(), api.PrincipalOf(r), s.Account, s.Name)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
		views = append(views, siteViewOf(s, deployments))
	}
	return p.show(w, r, "sites", view{Title: "Sites", Nav: "sites", Same: "showrunner sites", Live: runEvents, Data: views})
}

func siteViewOf(s control.SiteStatus, deployments []cloud.SiteDeployment) siteView {
	v := siteView{SiteStatus: s}
	for _, d := range slices.Concat(s.Current, deployments) { // the regions in the account's order: the nearest first
		if !slices.Contains(v.Regions, d.Region) {
			v.Regions = append(v.Regions, d.Region)
		}
	}
	for i := range deployments {
		d := &deployments[i]
		at := slices.IndexFunc(v.Deployments, func(x siteRow) bool { return x.ID == d.ID })
		if at < 0 {
			v.Deployments = append(v.Deployments, siteRow{ID: d.ID, Version: d.Version, Execution: d.Execution, Cells: make([]*cloud.SiteDeployment, len(v.Regions))})
			at = len(v.Deployments) - 1
		}
		row := &v.Deployments[at]
		row.Cells[slices.Index(v.Regions, d.Region)] = d
		if t, err := time.Parse(time.RFC3339, d.At); err == nil && t.After(row.At) {
			row.At = t
		}
		row.Everywhere = !slices.ContainsFunc(row.Cells, func(c *cloud.SiteDeployment) bool { return c == nil || !c.Current })
	}
	slices.SortStableFunc(v.Deployments, func(a, b siteRow) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return v
}
