package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/notification"
)

func (s *Server) notifications() {
	c := s.Control
	huma.Register(s.api, operation(http.MethodGet, "/notifications", "list-notifications", "What people could not be told of runs yet, or at all", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]notification.Status], error) {
			return answer(c.Unsent(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodPost, "/applications/{application}/pipelines/{pipeline}/notifications/test", "test-notifications", "Send a message to each channel of a pipeline", 200),
		func(ctx context.Context, in *struct {
			Application string `path:"application"`
			Pipeline    string `path:"pipeline"`
		}) (*body[[]notification.Tried], error) {
			return answer(c.TryNotifications(ctx, principal(ctx), in.Application, in.Pipeline))
		})
}
