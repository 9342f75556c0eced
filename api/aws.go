package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/control"
)

// awsSettings are the settings of the AWS-compatible endpoint.
func (s *Server) awsSettings(c *control.Service) {
	huma.Register(s.api, operation(http.MethodGet, "/aws/repositories", "list-aws-repositories", "List which repositories stand for those that clients of AWS name", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]control.AWSRepository], error) {
			return answer(c.AWSRepositories(ctx, principal(ctx)))
		})
	type RepositoryPath struct {
		Name string `query:"name" required:"true" doc:"OWNER/NAME"`
	}
	huma.Register(s.api, operation(http.MethodPut, "/aws/repositories", "set-aws-repositories", "Say which repository stands for one that clients of AWS name", 200),
		func(ctx context.Context, in *struct {
			RepositoryPath
			Body struct {
				URL string `json:"url" doc:"an absolute path, or what git fetches from"`
			}
		}) (*body[control.AWSRepository], error) {
			return answer(c.SetAWSRepository(ctx, principal(ctx), control.AWSRepository{Name: in.Name, URL: in.Body.URL}))
		})
	huma.Register(s.api, operation(http.MethodDelete, "/aws/repositories", "delete-aws-repositories", "Forget which repository stands for a name", 204),
		func(ctx context.Context, in *RepositoryPath) (*none, error) {
			return done(c.DeleteAWSRepository(ctx, principal(ctx), in.Name))
		})
}
