package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"showrunner/api"
	"showrunner/control"
)

// driftView is what differs from what was deployed, and how much does not.
type driftView struct {
	Differs []driftRow
	Same    int
	Done    []string // what a repair has just done
}

type driftRow struct {
	control.Drift
	Repairable bool
	Disabled   string // why a repair cannot be asked for now
}

func (p *Pages) drift(w http.ResponseWriter, r *http.Request) error {
	list, err := p.Control.Drift(r.Context(), api.PrincipalOf(r), "", r.URL.Query().Get("application"), "", "")
	if err != nil {
		return err
	}
	v := driftView{Done: r.URL.Query()["done"]}
	for _, d := range list {
		if len(d.Differences) == 0 {
			v.Same++
			continue
		}
		row := driftRow{Drift: d, Repairable: slices.ContainsFunc(d.Differences, func(x control.Difference) bool { return x.Repair != "" })}
		switch {
		case d.Busy != "":
			row.Disabled = "a deployment changes it now: what differs may be its doing"
		case !row.Repairable:
			row.Disabled = "nothing of it can be put back by itself"
		}
		v.Differs = append(v.Differs, row)
	}
	return p.show(w, r, "drift", view{Title: "Drift", Nav: "drift", Same: "showrunner drift", Live: runEvents, Every: 10, Data: v})
}

// repair puts back what differs of one cluster or website.
func (p *Pages) repair(w http.ResponseWriter, r *http.Request) error {
	done, err := p.Control.Repair(r.Context(), api.PrincipalOf(r), control.RepairRequest{Account: cmp.Or(r.FormValue("account"), control.DefaultAccount), Cluster: r.FormValue("cluster"), Site: r.FormValue("site"), Key: r.FormValue("key")})
	if err != nil {
		return err
	}
	if done.Execution != "" {
		return seeOther(w, r, "/executions/"+url.PathEscape(done.Execution))
	}
	return seeOther(w, r, "/drift?"+url.Values{"done": done.Done}.Encode())
}
