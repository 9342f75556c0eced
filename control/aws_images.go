package control

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/problem"
)

// awsImages is the collection of the settings that say which artifact stands for a
// container image that clients of AWS name.
const awsImages = "aws.images"

// SampleImage is what stands for an image when it is the built-in sample program.
const SampleImage = "sample"

// AWSImage says which artifact runs where clients of AWS name a container image.
type AWSImage struct {
	Name     string    `json:"name"`              // as a task definition names it, without a tag: every tag
	Artifact string    `json:"artifact"`          // sha256:…, or sample: the built-in program
	Command  []string  `json:"command,omitempty"` // that runs the artifact
	Health   string    `json:"health,omitempty"`  // path of the health check; empty: the port is connected to
	By       string    `json:"by,omitempty"`      // empty for what stands for an image from the start
	Updated  time.Time `json:"updated,omitzero"`
}

// firstImages are the images that the built-in sample stands for from the start.
var firstImages = []string{"amazon/amazon-ecs-sample", "nginx", "showrunner-sample"}

var imageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]+)?(/[A-Za-z0-9._-]+)*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]{64})?$`)

func (i AWSImage) check(has func(artifact.Ref) bool) error {
	bad := func(format string, args ...any) *problem.Error {
		return problem.New(problem.Invalid, opImage, format, args...)
	}
	if !imageName.MatchString(i.Name) {
		return bad("%q is no image's name", i.Name).WithHelp("write it as the task definition does: nginx, or HOST/NAME:TAG")
	}
	if i.Artifact == SampleImage {
		if len(i.Command) > 0 || i.Health != "" {
			return bad("the built-in sample has a command and a health check of its own")
		}
		return nil
	}
	ref, err := artifact.ParseRef(i.Artifact)
	switch {
	case err != nil:
		return bad("%q is no artifact", i.Artifact).WithHelp("give sha256:… as a build's result names it, or sample for the built-in program")
	case !has(ref):
		return bad("there is no artifact %s", ref).WithHelp("showrunner executions show RUN names the artifacts of a run")
	case len(i.Command) == 0 || i.Command[0] == "":
		return bad("nothing says which command runs %s", ref).WithHelp("showrunner aws image %s=%s -- ./PROGRAM", i.Name, ref)
	case i.Health != "" && !strings.HasPrefix(i.Health, "/"):
		return bad("the health check %q is no path", i.Health).WithHelp("give a path such as /healthz")
	}
	return nil
}

// SetAWSImage keeps which artifact stands for an image. Errors: invalid, denied.
func (s *Service) SetAWSImage(ctx context.Context, p Principal, i AWSImage) (AWSImage, error) {
	i.By, i.Updated = p.Name, s.Now().UTC()
	details := map[string]any{"artifact": i.Artifact, "command": i.Command}
	return i, setAWS(ctx, s, p, opImage, awsImages, i.Name, details, i, func() error { return i.check(s.Artifacts.Has) })
}

// DeleteAWSImage forgets what stands for an image. What stood for it from the start,
// if anything did, stands for it again. Errors: not_found, denied.
func (s *Service) DeleteAWSImage(ctx context.Context, p Principal, name string) error {
	return deleteAWS(ctx, s, p, opNoImage, awsImages, "image", name)
}

// AWSImages lists by name which artifact stands for which image.
func (s *Service) AWSImages(ctx context.Context, p Principal) ([]AWSImage, error) {
	list, err := listAWS[AWSImage](ctx, s, p, awsImages, "image")
	if err != nil {
		return nil, err
	}
	for _, name := range firstImages {
		if !slices.ContainsFunc(list, func(i AWSImage) bool { return i.Name == name }) {
			list = append(list, AWSImage{Name: name, Artifact: SampleImage})
		}
	}
	slices.SortFunc(list, func(a, b AWSImage) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// AWSImage finds what stands for an image as a task definition names it: with its tag
// or digest, otherwise without; the name of Docker's own registry may be left out.
// Errors: not_found.
func (s *Service) AWSImage(ctx context.Context, p Principal, name string) (AWSImage, error) {
	list, err := s.AWSImages(ctx, p)
	if err != nil {
		return AWSImage{}, err
	}
	if i, ok := standing(list, name); ok {
		return i, nil
	}
	return AWSImage{}, problem.New(problem.NotFound, "aws.image", "nothing stands for the image %s here", name).
		WithHelp("showrunner aws image %s=ARTIFACT -- COMMAND, or %s=sample for the built-in program", untagged(name), untagged(name))
}

// standing is what stands for an image of a list.
func standing(list []AWSImage, name string) (AWSImage, bool) {
	plain := strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/")
	for _, wanted := range []string{name, plain, untagged(name), untagged(plain)} {
		if at := slices.IndexFunc(list, func(i AWSImage) bool { return i.Name == wanted }); at >= 0 {
			return list[at], true
		}
	}
	return AWSImage{}, false
}

// untagged is an image's name without its tag and its digest.
func untagged(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name = name[:at]
	}
	return name
}
