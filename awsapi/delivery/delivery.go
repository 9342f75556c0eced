// Package delivery turns what clients of AWS declare, pipelines and build projects,
// into pipelines of ours. Package importer reads them; this package says what it
// has to know of this machine: which region has a bucket, which repository stands
// for one on GitHub, which projects there are. It refuses to make anything: what
// cannot be carried out is named in a Refusal before there is something to undo.
package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"showrunner/control"
	"showrunner/importer"
	"showrunner/internal/execid"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Object is a decoded JSON object.
type Object = map[string]any

// Buckets finds the regions' buckets. Errors: not_found, unavailable.
type Buckets interface {
	BucketRegion(ctx context.Context, bucket string) (string, error)
}

// Repositories lists which repository stands for which.
type Repositories interface {
	AWSRepositories(ctx context.Context, p control.Principal) ([]control.AWSRepository, error)
}

// Secrets finds the value of a secret. Errors: not_found.
type Secrets interface {
	Resolve(ctx context.Context, name string) (string, error)
}

// Projects finds build projects by name.
type Projects interface {
	// Project is a project of a region as batch-get-projects prints it; nil when
	// there is none.
	Project(ctx context.Context, region, name string) (Object, error)
}

// TokenSecret is the secret with which GitHub itself is read.
const TokenSecret = "github-token"

// Renderer makes pipelines.
type Renderer struct {
	Principal    control.Principal
	Buckets      Buckets
	Repositories Repositories
	Secrets      Secrets
	Projects     Projects
	// Endpoint is where builds reach the endpoint; nil or "": they do not.
	Endpoint func() string
}

// The secrets that hold the endpoint's key, for builds.
const (
	KeySecret    = "aws.endpoint.access-key"
	SecretSecret = "aws.endpoint.secret-key"
)

// Refusal says what of a declaration cannot be carried out, and why.
type Refusal struct {
	// Stage and Action are where it stands; empty for the whole.
	Stage, Action string
	Why           string
}

// Error implements error.
func (r *Refusal) Error() string {
	switch {
	case r.Action != "":
		return fmt.Sprintf("Action %s of stage %s: %s", r.Action, r.Stage, r.Why)
	case r.Stage != "":
		return fmt.Sprintf("Stage %s: %s", r.Stage, r.Why)
	}
	return r.Why
}

// Rendered is a declaration as a pipeline file.
type Rendered struct {
	Document *pipeline.Document
	YAML     []byte
	// Parameters are our parameters by the names of the declaration's variables.
	Parameters map[string]string
}

// Pipeline is the one pipeline of the file.
func (r Rendered) Pipeline() pipeline.Pipeline { return r.Document.Pipelines[0] }

// Render makes a pipeline of a CodePipeline structure. It fails with a *Refusal for
// what cannot be carried out.
func (r Renderer) Render(ctx context.Context, region, application, description string, structure Object) (Rendered, error) {
	structure, err := copied(structure)
	if err != nil {
		return Rendered{}, err
	}
	options := importer.Options{File: "pipeline " + Text(structure["name"]) + " of " + region, Application: application, Description: description, Here: true,
		SourceOverrides: map[string]string{}, Projects: map[string][]byte{}}
	repositories, err := r.repositories(ctx)
	if err != nil {
		return Rendered{}, err
	}
	for _, a := range Actions(structure) {
		if err := r.prepare(ctx, region, a, repositories, &options); err != nil {
			return Rendered{}, err
		}
	}
	source, err := json.Marshal(Object{"pipeline": structure})
	if err != nil {
		return Rendered{}, problem.Wrap(err, problem.Internal, "delivery.render", "writing the structure")
	}
	result, err := importer.CodePipeline(source, options)
	if err != nil {
		return Rendered{}, &Refusal{Why: err.Error()}
	}
	for _, n := range result.NotCarried {
		if n.Severity == importer.Error {
			return Rendered{}, refused(structure, n)
		}
	}
	out := Rendered{Document: result.Document, YAML: result.YAML, Parameters: map[string]string{}}
	variables := Objects(structure["variables"])
	for _, c := range result.Carried {
		name, isParameter := strings.CutPrefix(c.To, "parameters/")
		if at := numbers(c.Path); isParameter && len(at) == 1 && at[0] < len(variables) {
			out.Parameters[Text(variables[at[0]]["name"])] = name
		}
	}
	return out, nil
}

// Action is one action of a structure.
type Action struct {
	Object
	Stage      string
	at, within int // of the stage, and of the action in it
}

// Config is a value of the action's configuration.
func (a Action) Config(key string) string {
	c, _ := a.Object["configuration"].(Object)
	return Text(c[key])
}

// Name is the action's name.
func (a Action) Name() string { return Text(a.Object["name"]) }

// Type is the category and the provider of an action: Build/CodeBuild.
func (a Action) Type() string {
	t, _ := a.Object["actionTypeId"].(Object)
	return Text(t["category"]) + "/" + Text(t["provider"])
}

// Actions are the actions of a structure in its order.
func Actions(structure Object) []Action {
	var list []Action
	for i, s := range Objects(structure["stages"]) {
		for j, a := range Objects(s["actions"]) {
			list = append(list, Action{a, Text(s["name"]), i, j})
		}
	}
	return list
}

// prepare checks what an action names, and adds what the importer has to know of it.
func (r Renderer) prepare(ctx context.Context, region string, a Action, repositories map[string]string, options *importer.Options) error {
	switch a.Type() {
	case "Deploy/S3":
		return r.bucket(ctx, region, a, "BucketName")
	case "Source/S3":
		return r.bucket(ctx, region, a, "S3Bucket")
	case "Source/GitHub":
		return r.repository(ctx, a, a.Config("Owner")+"/"+a.Config("Repo"), repositories, options)
	case "Source/CodeStarSourceConnection":
		return r.repository(ctx, a, a.Config("FullRepositoryId"), repositories, options)
	case "Source/CodeCommit":
		return a.refuse("there is no CodeCommit here: use a GitHub source, and say which repository stands for it: showrunner aws repository OWNER/NAME=PATH-OR-URL")
	case "Build/CodeBuild", "Test/CodeBuild":
		return r.project(ctx, cmp.Or(Text(a.Object["region"]), region), a, options)
	}
	return nil
}

func (a Action) refuse(format string, args ...any) *Refusal {
	return &Refusal{Stage: a.Stage, Action: a.Name(), Why: fmt.Sprintf(format, args...)}
}

// bucket sets the region of the action to the one that has its bucket.
func (r Renderer) bucket(ctx context.Context, region string, a Action, key string) error {
	name := a.Config(key)
	switch {
	case name == "":
		return nil // the importer says what is missing
	case strings.Contains(name, "#{"):
		return a.refuse("%s is %s: a bucket that is known only in a run is not served here", key, name)
	case key == "BucketName" && strings.Contains(name, "."):
		return a.refuse("the bucket %s has a dot in its name: what an artifact is deployed to is a website here, and its name a part of a host's", name)
	}
	home, err := r.Buckets.BucketRegion(ctx, name)
	switch asked := Text(a.Object["region"]); {
	case problem.CodeOf(err) == problem.NotFound:
		return a.refuse("there is no bucket %s; make it first", name)
	case err != nil:
		return err
	case asked != "" && asked != home:
		return a.refuse("the bucket %s is in %s, not in %s", name, home, asked)
	}
	a.Object["region"] = home
	return nil
}

// repository adds what stands for a repository. Without anything, GitHub itself is
// read, with a token.
func (r Renderer) repository(ctx context.Context, a Action, name string, repositories map[string]string, options *importer.Options) error {
	if url, ok := repositories[name]; ok {
		options.SourceOverrides[name] = url
		return nil
	}
	config, _ := a.Object["configuration"].(Object)
	if secret := Text(config["OAuthToken"]); secret != "" {
		return nil // the caller has kept the token, and refers to it
	}
	_, err := r.Secrets.Resolve(ctx, TokenSecret)
	if problem.CodeOf(err) == problem.NotFound {
		return a.refuse("nothing stands for the repository %s here: showrunner aws repository %s=PATH-OR-URL; or, for GitHub itself, showrunner secret set %s", name, name, TokenSecret)
	}
	return err
}

// project adds a build project. One that is not there fails its build, as on AWS:
// the project may be made later.
func (r Renderer) project(ctx context.Context, region string, a Action, options *importer.Options) error {
	name := a.Config("ProjectName")
	if name == "" {
		return nil
	}
	p, err := r.Projects.Project(ctx, region, name)
	if err != nil {
		return err
	}
	if p == nil {
		p = missingProject(region, name)
	} else {
		r.lead(p, region)
	}
	data, err := json.Marshal(p)
	options.Projects[name] = data
	return err
}

// lead adds the variables that lead the clients of AWS in a build to the endpoint, as
// a build's role does on AWS. What the project sets itself stays.
func (r Renderer) lead(p Object, region string) {
	address := ""
	if r.Endpoint != nil {
		address = r.Endpoint()
	}
	environment, _ := p["environment"].(Object)
	if address == "" || environment == nil {
		return
	}
	given := map[string]bool{}
	list, _ := environment["environmentVariables"].([]any)
	for _, v := range Objects(environment["environmentVariables"]) {
		given[Text(v["name"])] = true
	}
	for _, v := range []struct{ name, value, kind string }{
		{"AWS_ENDPOINT_URL", address, "PLAINTEXT"}, {"AWS_ACCESS_KEY_ID", KeySecret, "SECRETS_MANAGER"}, {"AWS_SECRET_ACCESS_KEY", SecretSecret, "SECRETS_MANAGER"},
		{"AWS_REGION", region, "PLAINTEXT"}, {"AWS_DEFAULT_REGION", region, "PLAINTEXT"},
	} {
		if !given[v.name] {
			list = append(list, Object{"name": v.name, "value": v.value, "type": v.kind})
		}
	}
	environment["environmentVariables"] = list
}

func missingProject(region, name string) Object {
	spec, _ := json.Marshal(Object{"version": "0.2", "phases": Object{"build": Object{"commands": []string{ // texts always marshal
		fmt.Sprintf("echo 'There is no CodeBuild project %s in %s: make it, then run the pipeline again.' >&2; exit 1", name, region)}}}})
	return Object{"name": name, "source": Object{"type": "CODEPIPELINE", "buildspec": string(spec)}}
}

// repositories is what stands for each repository.
func (r Renderer) repositories(ctx context.Context) (map[string]string, error) {
	list, err := r.Repositories.AWSRepositories(ctx, r.Principal)
	out := map[string]string{}
	for _, one := range list {
		out[one.Name] = one.URL
	}
	return out, err
}

// refused is a note of the importer as a refusal.
func refused(structure Object, n importer.Note) *Refusal {
	why := n.What + ": " + n.Why
	for _, end := range []string{"; the stage is left out", ", so it is too"} {
		why = strings.TrimSuffix(why, end)
	}
	out := &Refusal{Why: why}
	at := numbers(n.Path)
	for _, a := range Actions(structure) {
		if len(at) > 0 && a.at == at[0] {
			out.Stage = a.Stage
			if len(at) > 1 && a.within == at[1] {
				out.Action = a.Name()
			}
		}
	}
	return out
}

// numbers are the positions in a JSON pointer into a structure.
func numbers(pointer string) []int {
	var list []int
	for part := range strings.SplitSeq(pointer, "/") {
		if n, err := strconv.Atoi(part); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// Text is a value that is a text, else "".
func Text(v any) string {
	s, _ := v.(string)
	return s
}

// Objects are the objects of a list.
func Objects(v any) []Object {
	list, _ := v.([]any)
	var out []Object
	for _, e := range list {
		if o, ok := e.(Object); ok {
			out = append(out, o)
		}
	}
	return out
}

// copied is a deep copy with nothing but what JSON has.
func copied(o Object) (Object, error) {
	data, err := json.Marshal(o)
	var out Object
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "delivery.render", "copying the structure")
	}
	return out, nil
}

// Marks are the marks of stages, in their order, for the UUIDs of what they execute.
func Marks(stages []pipeline.Stage) []uint32 {
	names := make([]string, len(stages))
	for i, st := range stages {
		names[i] = st.Name
	}
	return execid.Marks(names)
}
