package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/control"
)

// regions are the operations on regions and on the edge before them.
func (s *Server) regions(c *control.Service) {
	type RegionPath struct {
		Region string `path:"region"`
	}
	huma.Register(s.api, operation(http.MethodGet, "/regions", "list-regions", "List the regions of every account", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]control.RegionStatus], error) {
			return answer(c.Regions(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodPost, "/regions/{region}/stop", "stop-region", "Take a region of the local cloud down until it is started", 204),
		func(ctx context.Context, in *struct {
			RegionPath
			Body control.RegionStop
		}) (*none, error) {
			return done(c.StopRegion(ctx, principal(ctx), in.Region, in.Body))
		})
	huma.Register(s.api, operation(http.MethodPost, "/regions/{region}/start", "start-region", "Bring a region back that was taken down", 202),
		func(ctx context.Context, in *RegionPath) (*none, error) {
			return done(c.StartRegion(ctx, principal(ctx), in.Region))
		})
	huma.Register(s.api, operation(http.MethodGet, "/edge/regions", "list-edge", "How the edge spreads requests over regions", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]control.EdgeRegion], error) {
			return answer(c.EdgeRegions(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodPatch, "/edge/weights", "change-edge", "Change how the edge spreads requests: a weight by region, null for none", 200),
		func(ctx context.Context, in *struct{ Body map[string]*float64 }) (*body[[]control.EdgeRegion], error) {
			return answer(c.SetEdgeWeights(ctx, principal(ctx), in.Body))
		})
}
