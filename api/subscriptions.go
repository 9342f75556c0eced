package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/subscription"
)

// SubscriptionRequest is a subscription to be kept.
type SubscriptionRequest struct {
	URL         string   `json:"url" doc:"http or https, or kinesis://REGION/STREAM"`
	Secret      string   `json:"secret,omitempty" doc:"name of the secret that messages are signed with (Standard Webhooks); of a stream, of the one that holds the keys of AWS as JSON, or none for those of the environment; of otlp, of the one that holds headers, or none"`
	Types       []string `json:"types,omitempty" doc:"exact types, or prefixes that end with a dot; none is all but stage.progress"`
	Application string   `json:"application,omitempty"`
	Pipeline    string   `json:"pipeline,omitempty"`
	Format      string   `json:"format,omitempty" enum:"cloudevents,event,otlp" doc:"default cloudevents: CloudEvents 1.0, structured; otlp: runs as OpenTelemetry traces, url is the collector's"`
	From        *int64   `json:"from,omitempty" doc:"a new one begins after this position; default now"`
}

func (s *Server) subscriptions() {
	c := s.Control
	type Path struct {
		Name string `path:"name"`
	}
	huma.Register(s.api, operation(http.MethodGet, "/subscriptions", "list-subscriptions", "Who has events sent, and how far each is", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]subscription.Subscription], error) {
			return answer(c.Subscriptions(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodPut, "/subscriptions/{name}", "put-subscriptions", "Have events sent as signed webhooks, in order, at least once", 204),
		func(ctx context.Context, in *struct {
			Path
			Body SubscriptionRequest
		}) (*none, error) {
			r := in.Body
			return done(c.PutSubscription(ctx, principal(ctx), subscription.Subscription{Name: in.Name, URL: r.URL, Secret: r.Secret, Types: r.Types,
				Application: r.Application, Pipeline: r.Pipeline, Format: r.Format}, r.From))
		})
	huma.Register(s.api, operation(http.MethodPost, "/subscriptions/{name}/resume", "resume-subscriptions", "Try a failing or parked one again at once", 204),
		func(ctx context.Context, in *Path) (*none, error) {
			return done(c.ResumeSubscription(ctx, principal(ctx), in.Name))
		})
	huma.Register(s.api, operation(http.MethodDelete, "/subscriptions/{name}", "delete-subscriptions", "Send no more events", 204),
		func(ctx context.Context, in *Path) (*none, error) {
			return done(c.DeleteSubscription(ctx, principal(ctx), in.Name))
		})
}
