package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"showrunner/api"
	"showrunner/control"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/subscription"
)

// settingsEvents are the events after which the settings are out of date.
const settingsEvents = "audit.freeze.put audit.freeze.delete audit.secret.set audit.secret.delete audit.subscription.put audit.subscription.delete audit.subscription.resume audit.application.apply"

// settingsView is what holds deployments back, and what is kept for them.
type settingsView struct {
	Freezes       []freezeRow
	Windows       []windowRow
	Secrets       []control.SecretInfo
	Subscriptions []subscription.Subscription
	Applications  []string
}

// freezeRow is a freeze and how it stands now.
type freezeRow struct {
	control.Freeze
	Active, Over bool
}

func freezeRowOf(f control.Freeze, now time.Time) freezeRow {
	return freezeRow{f, !f.From.After(now) && (f.To.IsZero() || f.To.After(now)), !f.To.IsZero() && !f.To.After(now)}
}

// windowRow is a stage that begins only in its windows.
type windowRow struct {
	Application, Pipeline, Stage string
	Windows                      []string
}

func (p *Pages) settings(w http.ResponseWriter, r *http.Request) error {
	ctx, who := r.Context(), api.PrincipalOf(r)
	freezes, err := p.Control.Freezes(ctx, who)
	if err != nil {
		return err
	}
	var v settingsView
	now := p.Now()
	for _, f := range freezes {
		v.Freezes = append(v.Freezes, freezeRowOf(f, now))
	}
	apps, err := p.Control.Applications(ctx, who)
	if err != nil {
		return err
	}
	for _, a := range apps {
		v.Applications = append(v.Applications, a.Name)
		v.Windows = append(v.Windows, windowsOf(a)...)
	}
	if v.Secrets, err = p.Control.ListSecrets(ctx, who); err != nil {
		return err
	}
	if v.Subscriptions, err = p.Control.Subscriptions(ctx, who); err != nil {
		return err
	}
	return p.show(w, r, "settings", view{Title: "Settings", Nav: "settings", Same: "showrunner freeze list; showrunner secret list; showrunner subscriptions list", Live: settingsEvents, Every: 30, Data: v})
}

func windowsOf(a control.Application) []windowRow {
	var list []windowRow
	for _, pl := range a.Pipelines {
		for _, s := range pl.Stages {
			if len(s.Windows) == 0 {
				continue
			}
			row := windowRow{Application: a.Name, Pipeline: pl.Name, Stage: s.Name}
			for _, w := range s.Windows {
				row.Windows = append(row.Windows, windowText(w))
			}
			list = append(list, row)
		}
	}
	return list
}

func windowText(w pipeline.Window) string {
	days := "every day"
	if len(w.Days) > 0 {
		days = strings.Join(w.Days, ", ")
	}
	return days + " " + w.From + " to " + w.To + " " + cmp.Or(w.Zone, "UTC")
}

// putFreeze begins a freeze.
func (p *Pages) putFreeze(w http.ResponseWriter, r *http.Request) error {
	f := control.Freeze{Name: r.FormValue("name"), Reason: r.FormValue("reason"), Rollbacks: r.FormValue("rollbacks") != ""}
	if a := r.FormValue("application"); a != "" {
		f.Applications = []string{a}
	}
	if d := r.FormValue("for"); d != "" {
		length, err := time.ParseDuration(d)
		if err != nil || length <= 0 {
			return problem.New(problem.Invalid, "page", "%q is not a length of time", d).WithHelp("such as 4h or 30m; leave it empty to end the freeze by hand")
		}
		f.To = p.Now().Add(length)
	}
	known, err := p.Control.Freezes(r.Context(), api.PrincipalOf(r))
	if err != nil {
		return err
	}
	if slices.ContainsFunc(known, func(x control.Freeze) bool { return x.Name == f.Name }) {
		return problem.New(problem.Conflict, "page", "there is a freeze %q already", f.Name).WithHelp("end it first, or choose another name")
	}
	if _, err := p.Control.PutFreeze(r.Context(), api.PrincipalOf(r), f, false); err != nil {
		return err
	}
	return seeOther(w, r, "/settings#freezes")
}

// deleteFreeze ends a freeze.
func (p *Pages) deleteFreeze(w http.ResponseWriter, r *http.Request) error {
	if err := p.Control.DeleteFreeze(r.Context(), api.PrincipalOf(r), r.PathValue("name")); err != nil {
		return err
	}
	return seeOther(w, r, "/settings#freezes")
}

// resumeSubscription has one that is parked, or fails, tried at once.
func (p *Pages) resumeSubscription(w http.ResponseWriter, r *http.Request) error {
	if err := p.Control.ResumeSubscription(r.Context(), api.PrincipalOf(r), r.PathValue("name")); err != nil {
		return err
	}
	return seeOther(w, r, "/settings#subscriptions")
}
