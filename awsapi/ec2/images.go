package ec2

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"showrunner/artifact"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
)

// image is an artifact with the command that runs it.
type image struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Artifact    artifact.Ref    `json:"artifact"`
	Command     []string        `json:"command"`
	Health      pipeline.Health `json:"health"`
	Created     time.Time       `json:"created"`
	// Owner is who made it: amazon for the built-in one.
	Owner string `json:"owner,omitempty"`
}

// sampleName is the built-in image's.
const sampleName = "showrunner-sample"

// sampleCreated is when the built-in image says it was made.
var sampleCreated = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// sampleText is the artifact of the built-in image.
const sampleText = "The program of this image is a part of showrunner: it answers HTTP with the instance that it runs as.\n"

// SampleImage is the identifier of the built-in image.
var SampleImage = derivedID("ami-", sampleName)

// sample is the built-in image. Its artifact is made when it is not there.
func (s *Service) sample(ctx context.Context) (image, error) {
	dir, err := os.MkdirTemp("", "showrunner-sample-")
	if err != nil {
		return image{}, problem.Wrap(err, problem.Unavailable, "ec2.image", "making the files of the built-in image")
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "README"), []byte(sampleText), 0o644); err != nil {
		return image{}, problem.Wrap(err, problem.Unavailable, "ec2.image", "making the files of the built-in image")
	}
	ref, _, err := s.Artifacts.PutDir(ctx, dir, nil)
	return image{ID: SampleImage, Name: sampleName, Description: "answers HTTP with the instance that it runs as", Artifact: ref, Command: s.Sample,
		Health: pipeline.Health{Path: "/healthz"}, Created: sampleCreated, Owner: "amazon"}, err
}

// Images are the images of a region: the built-in one, those that were registered,
// and what runs in server groups that pipelines made.
func (s *Service) allImages(ctx context.Context, region string) ([]image, error) {
	first, err := s.sample(ctx)
	if err != nil {
		return nil, err
	}
	all := []image{first}
	for e, err := range s.images.All(ctx, region+"/") {
		if err != nil {
			return nil, err
		}
		all = append(all, e.Doc)
	}
	groups, err := s.Groups.List(ctx, region, "")
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if made, ok := imageOf(g); ok && !slices.ContainsFunc(all, func(i image) bool { return i.ID == made.ID }) {
			all = append(all, made)
		}
	}
	return all, nil
}

// imageOf is the image of a server group that a pipeline made.
func imageOf(g cloud.ServerGroup) (image, bool) {
	p := g.Spec.Workload.Process
	if p == nil || g.Spec.Application == Application {
		return image{}, false
	}
	return image{ID: imageID(p.Artifact, p.Command), Name: g.Spec.Cluster + "-" + p.Artifact.Hex()[:min(12, len(p.Artifact.Hex()))], Description: "deployed as " + g.Name + ", version " + g.Spec.Version,
		Artifact: p.Artifact, Command: p.Command, Health: g.Spec.Health, Created: g.Created}, true
}

// imageID is the identifier of an artifact with a command.
func imageID(ref artifact.Ref, command []string) string {
	return derivedID("ami-", append([]string{string(ref)}, command...)...)
}

var imageIDs = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)

func malformedImage(id string) error {
	return wire.Errorf("InvalidAMIID.Malformed", "Invalid id: \"%s\" (expecting \"ami-...\")", id)
}

// Image finds an image. Errors: InvalidAMIID.Malformed, InvalidAMIID.NotFound.
func (s *Service) Image(ctx context.Context, region, id string) (image, error) {
	if id == SampleImage {
		return s.sample(ctx)
	}
	if !imageIDs.MatchString(id) {
		return image{}, malformedImage(id)
	}
	i, err := s.images.Get(ctx, region+"/"+id)
	if problem.CodeOf(err) != problem.NotFound {
		return i, err
	}
	all, err := s.allImages(ctx, region)
	if err != nil {
		return image{}, err
	}
	if at := slices.IndexFunc(all, func(i image) bool { return i.ID == id }); at >= 0 {
		return all[at], nil
	}
	return image{}, wire.Errorf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
}

func (i image) told(account string, tags map[string]string) object {
	owner := cmp.Or(i.Owner, account)
	o := object{
		"ImageId": i.ID, "Name": i.Name, "Description": i.Description, "ImageLocation": owner + "/" + i.Name, "OwnerId": owner,
		"State": "available", "Architecture": architecture(), "ImageType": "machine", "Public": i.Owner != "", "CreationDate": i.Created.UTC().Format("2006-01-02T15:04:05.000Z"),
		"Hypervisor": "xen", "VirtualizationType": "hvm", "RootDeviceType": "ebs", "RootDeviceName": "/dev/xvda", "EnaSupport": true, "PlatformDetails": "Linux/UNIX",
		"UsageOperation": "RunInstances", "BlockDeviceMappings": []any{}, "Tags": tagList(tags),
	}
	if i.Owner != "" {
		o["ImageOwnerAlias"] = i.Owner
	}
	return o
}

var imageFilters = documented("DescribeImages", named("Architecture", "CreationDate", "Description", "Hypervisor", "ImageId", "ImageType", "is-public=Public", "Name", "OwnerId", "owner-alias=ImageOwnerAlias",
	"RootDeviceName", "RootDeviceType", "State", "VirtualizationType", "manifest-location=ImageLocation", "ena-support=EnaSupport", "Platform", "block-device-mapping.device-name=BlockDeviceMappings.DeviceName",
	"block-device-mapping.volume-type=BlockDeviceMappings.Ebs.VolumeType", "block-device-mapping.volume-size=BlockDeviceMappings.Ebs.VolumeSize"))

func (s *Service) describeImages(ctx context.Context, c *wire.Call, in object) (object, error) {
	all, err := s.allImages(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	tags, err := s.allTags(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	ids, owners := in.Texts("ImageIds"), in.Texts("Owners")
	var out []object
	for _, i := range all {
		o := i.told(c.Account, tags[i.ID])
		owned := len(owners) == 0 || slices.Contains(owners, o.Text("OwnerId")) || slices.Contains(owners, i.Owner) && i.Owner != "" || slices.Contains(owners, "self") && i.Owner == ""
		if owned && (len(ids) == 0 || slices.Contains(ids, i.ID)) {
			out = append(out, o)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(i image) bool { return i.ID == id }) {
			if !imageIDs.MatchString(id) {
				return nil, malformedImage(id)
			}
			return nil, wire.Errorf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
		}
	}
	if out, err = filters(in, imageFilters, out); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b object) int { return cmp.Compare(a.Text("ImageId"), b.Text("ImageId")) })
	return answer(in, "Images", out, by("ImageId"))
}

// location is where an image is registered from: an artifact, then, as JSON, what runs it.
type location struct {
	Artifact string   `json:"artifact"`
	Command  []string `json:"command"`
	Health   string   `json:"health"` // path
}

// registerImage makes an image of an artifact: ImageLocation is JSON with the
// artifact, its command and the path of its health check.
func (s *Service) registerImage(ctx context.Context, c *wire.Call, in object) (object, error) {
	const how = `ImageLocation is {"artifact": "sha256:…", "command": ["./program"], "health": "/healthz"} here: an image is an artifact with its command`
	var l location
	if err := json.Unmarshal([]byte(in.Text("ImageLocation")), &l); err != nil || len(l.Command) == 0 || l.Command[0] == "" {
		return nil, wire.Errorf("InvalidManifest", "%s", how)
	}
	ref, err := artifact.ParseRef(l.Artifact)
	if err != nil || !s.Artifacts.Has(ref) {
		return nil, wire.Errorf("InvalidManifest", "There is no artifact %s; %s", l.Artifact, how)
	}
	health := pipeline.Health{TCP: true}
	if l.Health != "" {
		health = pipeline.Health{Path: l.Health}
	}
	i := image{ID: derivedID("ami-", c.Region, in.Text("Name"), string(ref)), Name: in.Text("Name"), Description: in.Text("Description"), Artifact: ref, Command: l.Command, Health: health, Created: s.Now().UTC()}
	for e, err := range s.images.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Name == i.Name {
			return nil, wire.Errorf("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", i.Name, e.Doc.ID)
		}
	}
	if err := s.images.Create(ctx, c.Region+"/"+i.ID, i); err != nil && problem.CodeOf(err) != problem.Conflict {
		return nil, err
	}
	return object{"ImageId": i.ID}, s.keepTags(ctx, c.Region, i.ID, tagsFor(in, "image"))
}

func (s *Service) deregisterImage(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("ImageId")
	err := s.images.Delete(ctx, c.Region+"/"+id, nil)
	if problem.CodeOf(err) == problem.NotFound {
		if _, err := s.Image(ctx, c.Region, id); err != nil {
			return nil, err
		}
		return nil, wire.Errorf("AuthFailure", "The image %s was not registered, so that it cannot be deregistered", id)
	}
	return object{}, err
}

// Artifacts are the artifacts of the images that are registered: they are not removed.
func (s *Service) ImageArtifacts(ctx context.Context) ([]artifact.Ref, error) {
	var out []artifact.Ref
	for e, err := range s.images.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Doc.Artifact)
	}
	return out, nil
}
