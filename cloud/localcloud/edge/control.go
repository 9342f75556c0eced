package edge

import (
	"context"
	"html/template"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"showrunner/cloud/localcloud/proxy"
	"showrunner/cloud/localcloud/rpc"
)

// control is the edge's own interface, on a socket of the data folder.
func (e *Edge) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+regionsPath, func(w http.ResponseWriter, _ *http.Request) { rpc.Answer(w, e.table.snapshot(), nil) })
	mux.Handle("GET "+metricsPath, e.metrics())
	mux.HandleFunc("PUT "+regionsPath, func(w http.ResponseWriter, r *http.Request) {
		var weights map[string]*float64
		err := rpc.Read(w, r, &weights)
		if err == nil {
			err = e.table.setWeights(weights)
		}
		rpc.Answer(w, nil, err)
	})
	return mux
}

var directoryPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Showrunner edge</title></head>
<body><h1>{{if .Host}}Nothing is served at {{.Host}}{{else}}Showrunner{{end}}</h1>
{{if .Names}}<p>These are:</p><ul>{{range .Names}}<li><a href="http://{{.}}.{{$.Domain}}/">{{.}}</a></li>{{end}}</ul>
{{else}}<p>Nothing has been deployed yet. Try <code>showrunner demo</code>.</p>{{end}}</body></html>
`))

// directoryLimit bounds how long the page of an unknown host may take.
const directoryLimit = 2 * time.Second

// directory is the page at a host that no region serves: it lists the hosts that are served.
func (e *Edge) directory(r *http.Request) proxy.Answer {
	ctx, cancel := context.WithTimeout(r.Context(), directoryLimit)
	defer cancel()
	domain := "localhost"
	if _, port, err := net.SplitHostPort(e.config.Listen); err == nil {
		domain += ":" + port
	}
	host, _, _ := strings.Cut(r.Host, ":")
	status := http.StatusNotFound
	if host == "localhost" || net.ParseIP(host) != nil {
		host, status = "", http.StatusOK
	}
	var page strings.Builder
	if err := directoryPage.Execute(&page, map[string]any{"Host": host, "Names": e.names(ctx), "Domain": domain}); err != nil {
		e.config.Log.Error("the page of all names", "error", err)
	}
	return proxy.Answer{Status: status, Text: page.String(), Header: http.Header{
		"Content-Type": {"text/html; charset=utf-8"}, "Content-Security-Policy": {"default-src 'none'"}, "Cache-Control": {"no-store"}}}
}

// names lists the sites and clusters of all regions that answer.
func (e *Edge) names(ctx context.Context) []string {
	var names []string
	for _, r := range e.table.snapshot() {
		if !r.Healthy {
			continue
		}
		if sites, err := e.config.Cloud.ListSites(ctx, r.Name); err == nil {
			for _, s := range sites {
				names = append(names, s.Name)
			}
		}
		if groups, err := e.config.Cloud.ServerGroups(ctx, r.Name, ""); err == nil {
			for _, g := range groups {
				names = append(names, g.Spec.Cluster)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
