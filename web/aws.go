package web

import (
	"net/http"

	"showrunner/api"
	"showrunner/control"
	"showrunner/problem"
)

// awsView is the endpoint for clients of AWS, and what was done through it.
type awsView struct {
	Address      string // empty: it does not run
	Why          string // it does not run
	Images       []control.AWSImage
	Repositories []control.AWSRepository
	Calls        []control.AuditEntry
}

func (p *Pages) aws(w http.ResponseWriter, r *http.Request) error {
	var v awsView
	if p.AWS != nil {
		address, err := p.AWS()
		if v.Address = address; err != nil {
			v.Why = problem.Text(err)
		}
	}
	var err error
	if v.Images, err = p.Control.AWSImages(r.Context(), api.PrincipalOf(r)); err != nil {
		return err
	}
	if v.Repositories, err = p.Control.AWSRepositories(r.Context(), api.PrincipalOf(r)); err != nil {
		return err
	}
	calls, _, err := p.audit(r, "audit.aws.call")
	if err != nil {
		return err
	}
	v.Calls = calls[:min(len(calls), activityShown)]
	return p.show(w, r, "aws", view{Title: "AWS", Nav: "aws", Same: "showrunner aws env", Live: "audit.aws.call", Every: 10, Data: v})
}
