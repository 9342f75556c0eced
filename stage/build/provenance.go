package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

	"showrunner/artifact"
	"showrunner/build"
	"showrunner/stage"
)

// attest writes down where the artifacts come from.
func (k buildKind) attest(ctx context.Context, in *stage.Input) (stage.Result, error) {
	r, err := k.result(ctx, in.Key)
	if err != nil {
		return stage.Result{}, err
	}
	job, _, err := k.job(ctx, in)
	if err != nil {
		return stage.Result{}, err
	}
	for _, a := range r.Artifacts {
		if a.Ref == "" {
			continue
		}
		name := in.Key.Stage
		if a.ID != "" {
			name += "." + a.ID
		}
		if err := k.Artifacts.Attest(ctx, a.Ref, artifact.NewStatement(name, a.Ref, provenance(in, job, r))); err != nil {
			return stage.Result{}, err
		}
	}
	return stage.Result{Outcome: stage.Done}, nil
}

// BuildType names, in a provenance, what external parameters mean: spec and its
// digest, source, environment names, image.
const BuildType = "https://showrunner.dev/build/buildspec/v1"

// resourceURI is a repository's address as a URI, as a provenance names what it
// depends on: git also reads plain paths and HOST:PATH.
func resourceURI(address string) string {
	if strings.HasPrefix(address, "/") {
		return (&url.URL{Scheme: "file", Path: address}).String()
	}
	host, path, ok := strings.Cut(address, ":")
	if ok && !strings.HasPrefix(path, "//") && !strings.Contains(host, "/") {
		user, name, named := strings.Cut(host, "@")
		u := url.URL{Scheme: "ssh", Host: user, Path: "/" + strings.TrimPrefix(path, "/")}
		if named {
			u.Host, u.User = name, url.User(user)
		}
		return u.String()
	}
	return address
}

// provenance says how a build's artifacts were made. Values of variables stay
// out: a plain one may still be private.
func provenance(in *stage.Input, job build.Job, r build.Result) artifact.Provenance {
	sum := sha256.Sum256([]byte(job.Spec))
	var names []string
	for name := range job.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	var deps []artifact.Resource
	if job.ResolvedVersion != "" {
		deps = append(deps, artifact.Resource{URI: resourceURI(job.RepositoryURL), Digest: map[string]string{"gitCommit": job.ResolvedVersion}})
	}
	if job.Source != "" {
		deps = append(deps, artifact.Resource{Name: "source", Digest: map[string]string{"sha256": job.Source.Hex()}})
	}
	for _, id := range job.Inputs {
		deps = append(deps, artifact.Resource{Name: id, Digest: map[string]string{"sha256": job.Sources[id].Hex()}})
	}
	deps = append(deps, artifact.Resource{Name: job.SpecName, Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}})
	return artifact.Provenance{
		BuildDefinition: artifact.BuildDefinition{
			BuildType: BuildType,
			ExternalParameters: map[string]any{"application": in.Application, "pipeline": in.Pipeline, "stage": in.Key.Stage,
				"spec": job.SpecName, "specDigest": "sha256:" + hex.EncodeToString(sum[:]), "image": job.Image, "variables": names},
			ResolvedDependencies: deps,
		},
		RunDetails: artifact.RunDetails{
			Builder:  artifact.Builder{ID: "https://showrunner.dev/builder/local/v1"},
			Metadata: artifact.Metadata{InvocationID: r.ID, StartedOn: r.StartedAt.UTC(), FinishedOn: r.EndedAt.UTC()},
		},
	}
}
