package api

import (
	"context"
	"net/http"

	"showrunner/control"
	"showrunner/pipeline"

	"github.com/danielgtaylor/huma/v2"
)

// ApplyRequest is a pipeline file.
type ApplyRequest struct {
	Name    string `json:"name,omitempty" doc:"what findings call the file" default:"showrunner.yaml"`
	Source  string `json:"source" doc:"the file's text"`
	Base    string `json:"base,omitempty" doc:"absolute folder that relative repository paths in the file are relative to"`
	Version int64  `json:"version,omitempty" doc:"the version that is being replaced; 0 replaces any"`
}

// ValidateAnswer is what checking a file found.
type ValidateAnswer struct {
	Valid       bool                 `json:"valid"`
	Diagnostics pipeline.Diagnostics `json:"diagnostics"`
}

func (s *Server) applications() {
	c := s.Control
	huma.Register(s.api, operation(http.MethodGet, "/applications", "list-applications", "List applications", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]control.Application], error) {
			return answer(c.Applications(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodGet, "/applications/{application}", "get-application", "One application with its file and pipelines", 200),
		func(ctx context.Context, in *struct {
			Application string `path:"application"`
		}) (*body[control.Application], error) {
			return answer(c.Application(ctx, principal(ctx), in.Application))
		})
	huma.Register(s.api, operation(http.MethodPost, "/apply", "apply-applications", "Hand a pipeline file over", 200),
		func(ctx context.Context, in *struct{ Body ApplyRequest }) (*body[control.Applied], error) {
			return answer(c.Apply(ctx, principal(ctx), control.File{Name: in.Body.Name, Source: []byte(in.Body.Source), Base: in.Body.Base}, in.Body.Version))
		})
	huma.Register(s.api, operation(http.MethodDelete, "/applications/{application}", "delete-application", "Forget an application's pipelines", 204),
		func(ctx context.Context, in *struct {
			Application string `path:"application"`
		}) (*none, error) {
			return done(c.DeleteApplication(ctx, principal(ctx), in.Application))
		})
	huma.Register(s.api, operation(http.MethodPost, "/validate", "validate-applications", "Check a pipeline file", 200),
		func(ctx context.Context, in *struct{ Body ApplyRequest }) (*body[ValidateAnswer], error) {
			_, found := c.Check(ctx, control.File{Name: in.Body.Name, Source: []byte(in.Body.Source)})
			if found == nil {
				found = pipeline.Diagnostics{}
			}
			return answer(ValidateAnswer{Valid: !found.HasErrors(), Diagnostics: found}, nil)
		})
}
