package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/control"
	"showrunner/secret"
	"showrunner/store/record"
)

// Version is what the control plane is.
type Version struct {
	Version string `json:"version"`
	Edge    string `json:"edge" doc:"where people find sites and services"`
}

// SignInLink is a link that works once.
type SignInLink struct {
	Path string `json:"path" doc:"relative to the control plane's address"`
}

// EventPage is a stretch of the event log.
type EventPage struct {
	Events []record.Event `json:"events"`
	Next   int64          `json:"next" doc:"the position to read from next time"`
	Reset  bool           `json:"reset,omitempty" doc:"events after the position asked for have been archived: take a fresh picture"`
}

func (s *Server) operations() {
	c := s.Control
	huma.Register(s.api, operation(http.MethodGet, "/version", "get-version", "What this control plane is", 200),
		func(context.Context, *struct{}) (*body[Version], error) {
			return answer(Version{s.Version, s.Edge}, nil)
		})
	huma.Register(s.api, operation(http.MethodPost, "/sign-in-links", "make-link", "A link that signs a browser in, once", 201),
		func(ctx context.Context, _ *struct{}) (*body[SignInLink], error) {
			path, err := c.SignInLink(ctx, principal(ctx), func() string { return "/login?ticket=" + s.Auth.Ticket() })
			return answer(SignInLink{path}, err)
		})
	huma.Register(s.api, operation(http.MethodGet, "/secrets", "list-secrets", "List secrets by name", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]secret.Info], error) {
			return answer(c.ListSecrets(ctx, principal(ctx)))
		})
	type SecretPath struct {
		Name string `query:"name" required:"true"`
	}
	huma.Register(s.api, operation(http.MethodPut, "/secrets", "set-secrets", "Create or replace a secret", 204),
		func(ctx context.Context, in *struct {
			SecretPath
			RawBody []byte `contentType:"application/octet-stream"`
		}) (*none, error) {
			return done(c.SetSecret(ctx, principal(ctx), in.Name, in.RawBody))
		})
	huma.Register(s.api, operation(http.MethodDelete, "/secrets", "delete-secrets", "Delete a secret", 204),
		func(ctx context.Context, in *SecretPath) (*none, error) {
			return done(c.DeleteSecret(ctx, principal(ctx), in.Name))
		})
	s.freezes(c)
	s.awsSettings(c)
	huma.Register(s.api, operation(http.MethodGet, "/events", "list-events", "Read the event log", 200),
		func(ctx context.Context, in *struct {
			From        int64    `query:"from" doc:"events after this position; -1 asks for the end of the log alone"`
			Application string   `query:"application"`
			Pipeline    string   `query:"pipeline"`
			Execution   string   `query:"execution"`
			Types       []string `query:"type" doc:"exact types, or prefixes that end with a dot"`
			Limit       int      `query:"limit" minimum:"1" maximum:"1000" default:"200"`
		}) (*body[EventPage], error) {
			if in.From < 0 {
				end, err := c.End(ctx)
				return answer(EventPage{Events: []record.Event{}, Next: end}, err)
			}
			slice, err := c.Events(ctx, principal(ctx), in.From, record.Filter{Application: in.Application, Pipeline: in.Pipeline, Execution: in.Execution, Types: in.Types}, in.Limit)
			return answer(EventPage{append([]record.Event{}, slice.Events...), slice.Next, slice.Reset}, err)
		})
	huma.Register(s.api, operation(http.MethodGet, "/triggers", "list-triggers", "What starts pipelines, when next, and why it does not work", 200),
		func(ctx context.Context, in *struct {
			Application string `query:"application"`
			Pipeline    string `query:"pipeline" doc:"of this pipeline of the application"`
		}) (*body[[]control.TriggerStatus], error) {
			return answer(c.Triggers(ctx, principal(ctx), in.Application, in.Pipeline))
		})
	huma.Register(s.api, operation(http.MethodGet, "/deliveries", "list-deliveries", "What webhooks delivered, newest first, and why each did or did not start something", 200),
		func(ctx context.Context, in *struct {
			Application string `query:"application"`
			Limit       int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
		}) (*body[json.RawMessage], error) {
			return answer(c.Deliveries(ctx, principal(ctx), in.Application, in.Limit))
		})
	huma.Register(s.api, operation(http.MethodPost, "/deliveries/{id}/redeliver", "redeliver-deliveries", "Handle what a webhook delivered again", 200),
		func(ctx context.Context, in *struct {
			ID string `path:"id"`
		}) (*body[json.RawMessage], error) {
			return answer(c.Redeliver(ctx, principal(ctx), in.ID))
		})
}

func (s *Server) freezes(c *control.Service) {
	huma.Register(s.api, operation(http.MethodGet, "/freezes", "list-freezes", "List freezes", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]control.Freeze], error) {
			return answer(c.Freezes(ctx, principal(ctx)))
		})
	type FreezePath struct {
		Name string `path:"name"`
	}
	huma.Register(s.api, operation(http.MethodPut, "/freezes/{name}", "put-freezes", "Hold deployments back", 200),
		func(ctx context.Context, in *struct {
			FreezePath
			Force bool `query:"force" doc:"also for applications that are not there yet"`
			Body  control.Freeze
		}) (*body[control.Freeze], error) {
			f := in.Body
			f.Name = in.Name
			return answer(c.PutFreeze(ctx, principal(ctx), f, in.Force))
		})
	huma.Register(s.api, operation(http.MethodDelete, "/freezes/{name}", "delete-freezes", "End a freeze", 204),
		func(ctx context.Context, in *FreezePath) (*none, error) {
			return done(c.DeleteFreeze(ctx, principal(ctx), in.Name))
		})
}

// heartbeat is how often a stream that has nothing to say shows that it lives.
const heartbeat = 15 * time.Second
