package web

import (
	"html/template"
	"net/http"
	"slices"

	"showrunner/api"
	"showrunner/cloud"
	"showrunner/problem"
)

// instanceLogKept is how much of an instance's log its page shows, in bytes: the end.
const instanceLogKept = 128 << 10

// tail keeps the last bytes that are written to it.
type tail struct {
	kept []byte
	cut  bool // earlier bytes were dropped
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - instanceLogKept; over > 0 {
		t.kept, t.cut = slices.Delete(t.kept, 0, over), true
	}
	return len(p), nil
}

// instanceView is one instance with the end of what it wrote.
type instanceView struct {
	cloud.Instance
	Cluster string // empty: not known any more
	Account string
	Ended   bool
	HTML    template.HTML
	Cut     bool   // the log has more before it
	Unknown string // why there is no log
}

// instance is the page of one instance, of one that has ended too.
func (p *Pages) instance(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	v, err := p.findInstance(r, id)
	if err != nil {
		return err
	}
	var log tail
	if err := p.Control.InstanceLog(r.Context(), api.PrincipalOf(r), id, false, &log); err != nil {
		v.Unknown = problem.Text(err)
	}
	v.HTML = renderLog(logStretchOf{Text: log.kept}).HTML
	v.Cut = log.cut
	page := view{Title: id, Nav: "clusters", Same: "showrunner logs " + id, Live: runEvents, Every: 3, Data: v}
	if v.Ended {
		page.Live, page.Every = "", 0
	}
	return p.show(w, r, "instance", page)
}

func (p *Pages) findInstance(r *http.Request, id string) (*instanceView, error) {
	clusters, err := p.Control.Clusters(r.Context(), api.PrincipalOf(r), "", "", "")
	if err != nil && len(clusters) == 0 {
		return nil, err
	}
	has := func(i cloud.Instance) bool { return i.ID == id }
	for _, c := range clusters {
		for _, g := range c.Groups {
			if at := slices.IndexFunc(g.Instances, has); at >= 0 {
				return &instanceView{Instance: g.Instances[at], Cluster: c.Name, Account: c.Account}, nil
			}
			if at := slices.IndexFunc(g.Ended, has); at >= 0 {
				return &instanceView{Instance: g.Ended[at], Cluster: c.Name, Account: c.Account, Ended: true}, nil
			}
		}
	}
	ended, err := p.Control.Instances(r.Context(), api.PrincipalOf(r), "", true)
	if err != nil {
		return nil, err
	}
	if at := slices.IndexFunc(ended, has); at >= 0 { // its server group is gone
		return &instanceView{Instance: ended[at], Ended: true}, nil
	}
	return nil, problem.New(problem.NotFound, "page", "there is no instance %q, and none that ended lately", id).WithHelp("showrunner instances --ended lists those that ended")
}
