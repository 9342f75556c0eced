package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"showrunner/api"
	"showrunner/control"
	"showrunner/store/record"
)

// activityStretch is how far back in the event log a page of activity looks at a time,
// and activityShown how many entries it shows.
const activityStretch, activityShown = 2000, 200

// activityView is who did what, newest first.
type activityView struct {
	Entries    []control.AuditEntry
	Query      activityQuery
	Operations []string // that there are, for the filter
	Older      string   // where older entries are
}

// activityQuery selects entries; an empty field selects all.
type activityQuery struct{ Who, Operation, Subject, Outcome string }

func (q activityQuery) has(e control.AuditEntry) bool {
	in := func(text, part string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(part)) }
	return in(e.By, q.Who) && (q.Operation == "" || e.Operation == q.Operation) && in(e.Subject.String(), q.Subject) && (q.Outcome == "" || e.Outcome == q.Outcome)
}

func (p *Pages) activity(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v := activityView{Query: activityQuery{Who: q.Get("who"), Operation: q.Get("operation"), Subject: q.Get("subject"), Outcome: q.Get("outcome")}}
	entries, from, err := p.audit(r, "audit.")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(v.Operations, e.Operation) {
			v.Operations = append(v.Operations, e.Operation)
		}
		if v.Query.has(e) && len(v.Entries) < activityShown {
			v.Entries = append(v.Entries, e)
		}
	}
	slices.Sort(v.Operations)
	if from > 0 {
		q.Set("before", strconv.FormatInt(from, 10))
		v.Older = "/activity?" + q.Encode()
	}
	return p.show(w, r, "activity", view{Title: "Activity", Nav: "activity", Same: "showrunner audit", Live: "audit.application.apply audit.execution.run audit.execution.decide audit.rollback", Every: 10, Data: v})
}

// audit reads the entries of a stretch of the event log, newest first: up to ?before=, or
// to its end. from is where the stretch begins; 0 is the log's beginning.
func (p *Pages) audit(r *http.Request, types string) (list []control.AuditEntry, from int64, err error) {
	end, err := p.Control.End(r.Context())
	if err != nil {
		return nil, 0, err
	}
	if before, err := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64); err == nil && before > 0 {
		end = min(end, before)
	}
	from = max(0, end-activityStretch)
	slice, err := p.Control.Events(r.Context(), api.PrincipalOf(r), from, record.Filter{Types: []string{types}}, activityStretch)
	if err != nil {
		return nil, 0, err
	}
	events := slice.Events
	if later := slices.IndexFunc(events, func(e record.Event) bool { return e.Position > end }); later >= 0 {
		events = events[:later]
	}
	list = control.AuditEntries(events)
	slices.Reverse(list)
	return list, from, nil
}
