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
	s.awsImages(c)
}

// awsImages are the settings that say which artifact stands for which container image.
func (s *Server) awsImages(c *control.Service) {
	huma.Register(s.api, operation(http.MethodGet, "/aws/images", "list-aws-images", "List which artifacts stand for container images that clients of AWS name", 200),
		func(ctx context.Context, _ *struct{}) (*body[[]control.AWSImage], error) {
			return answer(c.AWSImages(ctx, principal(ctx)))
		})
	type ImagePath struct {
		Name string `query:"name" required:"true" doc:"as a task definition names it; without a tag: every tag"`
	}
	huma.Register(s.api, operation(http.MethodPut, "/aws/images", "set-aws-images", "Say which artifact stands for a container image", 200),
		func(ctx context.Context, in *struct {
			ImagePath
			Body struct {
				Artifact string   `json:"artifact" doc:"sha256:…, or sample for the built-in program"`
				Command  []string `json:"command,omitempty" doc:"what runs the artifact"`
				Health   string   `json:"health,omitempty" doc:"path of the health check; without one the port is connected to"`
			}
		}) (*body[control.AWSImage], error) {
			return answer(c.SetAWSImage(ctx, principal(ctx), control.AWSImage{Name: in.Name, Artifact: in.Body.Artifact, Command: in.Body.Command, Health: in.Body.Health}))
		})
	huma.Register(s.api, operation(http.MethodDelete, "/aws/images", "delete-aws-images", "Forget which artifact stands for a container image", 204),
		func(ctx context.Context, in *ImagePath) (*none, error) {
			return done(c.DeleteAWSImage(ctx, principal(ctx), in.Name))
		})
}
