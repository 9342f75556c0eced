package api

import (
	"net/http"
	"slices"
	"strings"

	"showrunner/pipeline"
	"showrunner/problem"
)

// route is the mux with answers of ours where it has no operation: which path
// or method was probably meant.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.mux.Handler(r); pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		p := problemOf(problem.New(problem.Invalid, "api", "%s cannot be asked with %s", r.URL.Path, r.Method).WithHelp("it takes %s", strings.Join(allowed, ", ")))
		p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeProblem(w, p)
		return
	}
	help := "every operation is described at /openapi.json"
	if near := pipeline.Nearest(r.URL.Path, s.paths()); near != "" {
		help = "did you mean " + near + "? " + help
	}
	writeProblem(w, problemOf(problem.New(problem.NotFound, "api", "there is no operation at %s", r.URL.Path).WithHelp("%s", help)))
}

// paths are the operations' paths, sorted.
func (s *Server) paths() []string {
	var list []string
	for path := range s.api.OpenAPI().Paths {
		list = append(list, path)
	}
	slices.Sort(list)
	return list
}
