package server

import (
	"context"

	"showrunner/awsapi/codebuild"
	"showrunner/awsapi/delivery"
	"showrunner/control"
	"showrunner/stage"
	stagebuild "showrunner/stage/build"
)

// awsBuilds are the builds of the build stages, as CodeBuild tells of them.
type awsBuilds struct{ builder *stagebuild.Builder }

// ID implements codebuild.Builds.
func (awsBuilds) ID(project string, k stage.Key, mark uint32) string {
	return stagebuild.ID(project, k, mark)
}

// State implements codebuild.Builds.
func (b awsBuilds) State(ctx context.Context, k stage.Key) (codebuild.State, error) {
	r, err := b.builder.State(ctx, k)
	if err != nil {
		return codebuild.State{}, err
	}
	out := codebuild.State{Status: string(r.Status)}
	for _, p := range r.Phases {
		out.Phases = append(out.Phases, codebuild.Phase{Type: string(p.Name), Status: string(p.Status), Message: p.Message, Started: p.StartedAt, Ended: p.EndedAt})
	}
	return out, nil
}

// renderer makes pipelines of what clients of AWS declare.
func (c *controlPlane) renderer(p control.Principal) delivery.Renderer {
	return delivery.Renderer{Principal: p, Buckets: regionObjects{c}, Repositories: c.control, Secrets: allSecrets{c.secrets, c}, Projects: codebuild.NewProjects(c.store),
		Endpoint: func() string { return c.awsURL }}
}
