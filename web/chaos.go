package web

import (
	"net/http"
	"slices"

	"showrunner/api"
	"showrunner/chaos/experiment"
	"showrunner/chaos/gameday"
	"showrunner/control"
)

// chaosEvents are the events after which the page asks for itself again.
const chaosEvents = "chaos.scheduled chaos.begun chaos.killed chaos.dry-run chaos.skipped chaos.refused chaos.failed chaos.fault-begun chaos.fault-active chaos.fault-undone chaos.fault-failed audit.chaos.stop audit.chaos.release gameday.kept " + experimentEvents

// runsShown is how many runs of experiments the page shows.
const runsShown = 20

// chaosHistory is how many past kills the page shows.
const chaosHistory = 50

// chaosView is what the page shows.
type chaosView struct {
	Lever    control.ChaosLever
	Faults   []control.ChaosFault
	Due      []control.ChaosKill // scheduled, by time
	Days     []control.MonkeyDay // the newest of each application
	History  []control.ChaosKill
	Runs     []runRow // of experiments, the newest first; those that run now are all there
	Older    int      // runs that are not shown
	Gamedays []gameday.Summary
}

func (p *Pages) chaos(w http.ResponseWriter, r *http.Request) error {
	who := api.PrincipalOf(r)
	lever, err := p.Control.ChaosLever(r.Context(), who)
	if err != nil {
		return err
	}
	days, err := p.Control.MonkeySchedule(r.Context(), who, "")
	if err != nil {
		return err
	}
	v := chaosView{Lever: lever}
	if v.Faults, err = p.Control.Faults(r.Context(), who); err != nil {
		return err
	}
	v.Faults = v.Faults[:min(len(v.Faults), chaosHistory)]
	for _, d := range days {
		if !slices.ContainsFunc(v.Days, func(x control.MonkeyDay) bool { return x.Application == d.Application }) {
			v.Days = append(v.Days, d)
		}
		for _, k := range d.Kills {
			if k.Outcome == control.KillScheduled {
				v.Due = append(v.Due, k)
			}
		}
	}
	slices.SortStableFunc(v.Due, func(a, b control.ChaosKill) int { return a.Due.Compare(b.Due) })
	if v.History, err = p.Control.MonkeyHistory(r.Context(), who, "", chaosHistory); err != nil {
		return err
	}
	runs, err := p.Control.Experiments(r.Context(), who)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if len(v.Runs) >= runsShown && run.Status != experiment.Running {
			v.Older++
			continue
		}
		v.Runs = append(v.Runs, runRowOf(run))
	}
	if v.Gamedays, err = p.Control.Gamedays(r.Context(), who); err != nil {
		return err
	}
	return p.show(w, r, "chaos", view{Title: "Chaos", Nav: "chaos", Same: "showrunner chaos monkey schedule", Live: chaosEvents, Data: v})
}

// stopChaos pulls the lever.
func (p *Pages) stopChaos(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.Control.StopChaos(r.Context(), api.PrincipalOf(r), r.FormValue("reason")); err != nil {
		return err
	}
	return seeOther(w, r, "/chaos")
}

// releaseChaos lets chaos start again.
func (p *Pages) releaseChaos(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.Control.ReleaseChaos(r.Context(), api.PrincipalOf(r)); err != nil {
		return err
	}
	return seeOther(w, r, "/chaos")
}

// undoFault ends a fault.
func (p *Pages) undoFault(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.Control.UndoFault(r.Context(), api.PrincipalOf(r), r.PathValue("id")); err != nil {
		return err
	}
	return seeOther(w, r, "/chaos")
}
