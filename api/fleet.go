package api

import (
	"context"
	"crypto/rand"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/execution"
)

// ChangeAnswer says what a change did.
type ChangeAnswer struct {
	Done []string `json:"done"`
}

// keyOr makes a request that names no key one of its own.
func keyOr(key string) string {
	if key == "" {
		return "request/" + rand.Text()
	}
	return "request/" + key
}

func (s *Server) fleet() {
	c := s.Control
	s.regions(c)
	huma.Register(s.api, operation(http.MethodGet, "/clusters", "list-clusters", "Observe clusters", 200),
		func(ctx context.Context, in *struct {
			Account     string `query:"account"`
			Application string `query:"application"`
		}) (*body[[]control.Cluster], error) {
			return answer(c.Clusters(ctx, principal(ctx), in.Account, in.Application, ""))
		})
	huma.Register(s.api, operation(http.MethodGet, "/clean-ups", "list-clean-ups", "What rollouts have replaced and is not removed yet", 200),
		func(ctx context.Context, in *struct {
			Account     string `query:"account"`
			Application string `query:"application"`
			Cluster     string `query:"cluster"`
			Execution   string `query:"execution"`
		}) (*body[[]control.CleanUp], error) {
			return answer(c.ListCleanUps(ctx, principal(ctx), control.CleanUpQuery{Account: in.Account, Application: in.Application, Cluster: in.Cluster, Execution: in.Execution}))
		})
	type ClusterPath struct {
		Cluster string `path:"cluster"`
	}
	huma.Register(s.api, operation(http.MethodGet, "/clusters/{cluster}", "get-cluster", "One cluster with the load balancers' counts", 200),
		func(ctx context.Context, in *struct {
			ClusterPath
			Account string `query:"account"`
		}) (*body[control.Cluster], error) {
			return answer(c.Cluster(ctx, principal(ctx), in.Account, in.Cluster))
		})
	huma.Register(s.api, operation(http.MethodPatch, "/clusters/{cluster}", "change-cluster", "Resize, shift, enable, disable, destroy, suspend or resume by hand", 200),
		func(ctx context.Context, in *struct {
			ClusterPath
			Key  string `header:"Idempotency-Key"`
			Body control.ClusterChange
		}) (*body[ChangeAnswer], error) {
			ch := in.Body
			ch.Cluster, ch.Key = in.Cluster, keyOr(in.Key)
			did, err := c.ChangeCluster(ctx, principal(ctx), ch)
			return answer(ChangeAnswer{Done: append([]string{}, did...)}, err)
		})
	huma.Register(s.api, operation(http.MethodGet, "/instances", "list-instances", "List instances, or those that ended lately and why", 200),
		func(ctx context.Context, in *struct {
			Application string `query:"application"`
			Ended       bool   `query:"ended"`
		}) (*body[[]cloud.Instance], error) {
			return answer(c.Instances(ctx, principal(ctx), in.Application, in.Ended))
		})
	huma.Register(s.api, operation(http.MethodPatch, "/instances/{id}", "change-instance", "Terminate, protect, set in standby, say that it is unhealthy, or answer its lifecycle hook", 202),
		func(ctx context.Context, in *struct {
			ID   string `path:"id"`
			Key  string `header:"Idempotency-Key"`
			Body control.InstanceChange
		}) (*none, error) {
			ch := in.Body
			ch.Key = keyOr(in.Key)
			return done(c.ChangeInstance(ctx, principal(ctx), in.ID, ch))
		})
	huma.Register(s.api, operation(http.MethodGet, "/sites", "list-sites", "List websites", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]control.SiteStatus], error) {
			return answer(c.Sites(ctx, principal(ctx)))
		})
	huma.Register(s.api, operation(http.MethodGet, "/sites/{site}/deployments", "list-deployments", "What a website has been, newest first", 200),
		func(ctx context.Context, in *struct {
			Site    string `path:"site"`
			Account string `query:"account"`
		}) (*body[[]cloud.SiteDeployment], error) {
			return answer(c.SiteDeployments(ctx, principal(ctx), in.Account, in.Site))
		})
	huma.Register(s.api, operation(http.MethodGet, "/drift", "list-drift", "What runs against what was last deployed", 200),
		func(ctx context.Context, in *struct {
			Account     string `query:"account"`
			Application string `query:"application"`
			Cluster     string `query:"cluster"`
			Site        string `query:"site"`
		}) (*body[[]control.Drift], error) {
			return answer(c.Drift(ctx, principal(ctx), in.Account, in.Application, in.Cluster, in.Site))
		})
	huma.Register(s.api, operation(http.MethodGet, "/missing", "list-missing", "What should be there and is not: regions, clusters and websites", 200),
		func(ctx context.Context, in *struct {
			Application string `query:"application"`
		}) (*body[[]control.Missing], error) {
			return answer(c.Missing(ctx, principal(ctx), in.Application))
		})
	huma.Register(s.api, operation(http.MethodPost, "/forget", "forget-missing", "Say that what is missing of a cluster or a website is gone on purpose", 200),
		func(ctx context.Context, in *struct{ Body control.ForgetRequest }) (*body[ChangeAnswer], error) {
			did, err := c.Forget(ctx, principal(ctx), in.Body)
			return answer(ChangeAnswer{Done: append([]string{}, did...)}, err)
		})
	huma.Register(s.api, operation(http.MethodPost, "/repairs", "start-repairs", "Put a cluster or a website back to what was last deployed", 201),
		func(ctx context.Context, in *struct {
			Key  string `header:"Idempotency-Key"`
			Body control.RepairRequest
		}) (*body[control.Repaired], error) {
			r := in.Body
			r.Key = keyOr(in.Key)
			return answer(c.Repair(ctx, principal(ctx), r))
		})
	huma.Register(s.api, operation(http.MethodGet, "/kept-versions", "list-kept", "The versions that a rollback can return to, of one cluster or website or of each", 200),
		func(ctx context.Context, in *struct {
			Account string `query:"account"`
			Name    string `query:"name" doc:"of the cluster or website"`
		}) (*body[[]control.Kept], error) {
			return answer(c.ListKept(ctx, principal(ctx), in.Account, in.Name))
		})
	huma.Register(s.api, operation(http.MethodPost, "/rollbacks", "start-rollbacks", "Return a cluster or a site to an earlier version", 201),
		func(ctx context.Context, in *struct {
			Key  string `header:"Idempotency-Key"`
			Body control.RollbackRequest
		}) (*body[execution.Execution], error) {
			r := in.Body
			r.Key = in.Key
			return answer(c.Rollback(ctx, principal(ctx), r))
		})
}
