package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/delivery/deliverytest"
	"showrunner/pipeline"
)

// projects are build projects by name.
type projects map[string]delivery.Object

func (p projects) Project(_ context.Context, _, name string) (delivery.Object, error) {
	return p[name], nil
}

func structure(source, build delivery.Object) delivery.Object {
	return delivery.Object{"name": "shop", "pipelineType": "V2", "stages": []any{
		delivery.Object{"name": "Source", "actions": []any{source}}, delivery.Object{"name": "Build", "actions": []any{build}}}}
}

func action(category, provider, name string, configuration delivery.Object, in, out string) delivery.Object {
	named := func(n string) []any {
		if n == "" {
			return []any{}
		}
		return []any{delivery.Object{"name": n}}
	}
	return delivery.Object{"name": name, "actionTypeId": delivery.Object{"category": category, "owner": "AWS", "provider": provider, "version": "1"},
		"configuration": configuration, "inputArtifacts": named(in), "outputArtifacts": named(out)}
}

var (
	gitHub  = action("Source", "CodeStarSourceConnection", "Git", delivery.Object{"FullRepositoryId": "acme/shop", "BranchName": "main", "ConnectionArn": "arn:aws:codestar-connections:::c"}, "", "src")
	compile = action("Build", "CodeBuild", "Make", delivery.Object{"ProjectName": "make"}, "src", "out")
)

func (p projects) renderer(c *deliverytest.Control) delivery.Renderer {
	return delivery.Renderer{Buckets: c, Repositories: c, Secrets: c, Projects: p, Endpoint: func() string { return "http://127.0.0.1:4566" }}
}

func buildOf(t *testing.T, r delivery.Rendered) (b pipeline.Build) {
	t.Helper()
	for _, st := range r.Pipeline().Stages {
		if st.Kind == "build" {
			if err := json.Unmarshal(st.With, &b); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b
}

// A build's clients of AWS are led to the endpoint, but for what its project says itself.
func TestBuildsReachTheEndpoint(t *testing.T) {
	t.Parallel()
	c := deliverytest.New(nil)
	c.Names["acme/shop"] = "/srv/shop.git"
	p := projects{"make": {"name": "make", "source": delivery.Object{"type": "CODEPIPELINE"},
		"environment": delivery.Object{"image": "aws/codebuild/standard:7.0", "environmentVariables": []any{delivery.Object{"name": "AWS_REGION", "value": "eu-west-1", "type": "PLAINTEXT"}}}}}
	r, err := p.renderer(c).Render(t.Context(), "us-east-1", "shop", "The shop", structure(gitHub, compile))
	if err != nil {
		t.Fatal(err)
	}
	env := buildOf(t, r).Env
	for name, want := range map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "${{ secrets.aws.endpoint.access-key }}", "AWS_SECRET_ACCESS_KEY": "${{ secrets.aws.endpoint.secret-key }}"} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	if r.Pipeline().Description != "The shop" || !strings.Contains(string(r.YAML), "/srv/shop.git") || strings.Contains(string(r.YAML), "secret set") {
		t.Errorf("the file is\n%s", r.YAML)
	}
	if _, ds := pipeline.Parse("made.yaml", r.YAML); ds.HasErrors() {
		t.Errorf("the file is not valid:\n%s", ds.Text())
	}
}

// A project that is not there fails its build, and says so, as on AWS.
func TestAMissingProjectFailsItsBuild(t *testing.T) {
	t.Parallel()
	c := deliverytest.New(nil)
	c.Names["acme/shop"] = "/srv/shop.git"
	r, err := projects{}.renderer(c).Render(t.Context(), "us-east-1", "shop", "", structure(gitHub, compile))
	if err != nil {
		t.Fatal(err)
	}
	if b := buildOf(t, r); !strings.Contains(b.Inline, "There is no CodeBuild project make in us-east-1") || !strings.Contains(b.Inline, "exit 1") || b.Project != "make" {
		t.Errorf("the build is %+v", b)
	}
}

// GitHub itself is read with a token alone.
func TestGitHubNeedsATokenOrASetting(t *testing.T) {
	t.Parallel()
	c := deliverytest.New(nil)
	r := projects{}.renderer(c)
	_, err := r.Render(t.Context(), "us-east-1", "shop", "", structure(gitHub, compile))
	var refusal *delivery.Refusal
	if !errors.As(err, &refusal) || refusal.Action != "Git" || !strings.Contains(refusal.Why, "showrunner aws repository acme/shop=PATH-OR-URL") {
		t.Fatalf("without both: %v", err)
	}
	c.Secrets[delivery.TokenSecret] = "ghp"
	made, err := r.Render(t.Context(), "us-east-1", "shop", "", structure(gitHub, compile))
	if err != nil || !strings.Contains(string(made.YAML), "https://github.com/acme/shop.git") {
		t.Errorf("with a token: %v\n%s", err, made.YAML)
	}
}
