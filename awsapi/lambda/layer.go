package lambda

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// layer is one version of a layer: files that functions find beside their own.
type layer struct {
	Name     string       `json:"name"`
	Version  int          `json:"version"`
	Settings object       `json:"settings"`
	Code     artifact.Ref `json:"code"`
	Zip      artifact.Ref `json:"zip"`
	SHA256   string       `json:"sha256"`
	Size     int64        `json:"size"`
	Created  time.Time    `json:"created"`
	Deleted  bool         `json:"deleted,omitempty"` // its number is not used again
	Policy   policy       `json:"policy,omitzero"`
}

func layerKey(region, name string, version int) string {
	return fmt.Sprintf("%s/%s/%012d", region, name, version)
}

func (s *Service) layerARN(region, name string) string {
	return "arn:aws:lambda:" + region + ":" + s.Account + ":layer:" + name
}

// layerName is the name in a layer's name or ARN.
func layerName(name string) string { return name[strings.LastIndexByte(name, ':')+1:] }

// layerVersions are the versions of a layer, the oldest first, those that were deleted too.
func (s *Service) layerVersions(ctx context.Context, region, name string) ([]layer, error) {
	list, err := s.layers.List(ctx, region+"/"+name+"/")
	out := make([]layer, len(list))
	for n, e := range list {
		out[n] = e.Doc
	}
	return out, err
}

func (s *Service) publishLayer(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	name := layerName(in.Text("LayerName"))
	raw, err := s.zipOf(ctx, c, in.Inner("Content"))
	if err != nil {
		return nil, err
	}
	l := layer{Name: name, Settings: in.Only("Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"), SHA256: codeSum(raw), Size: int64(len(raw)), Created: s.Now().UTC()}
	if l.Code, l.Zip, err = s.keep(ctx, raw); err != nil {
		return nil, err
	}
	for {
		list, err := s.layerVersions(ctx, c.Region, name)
		if err != nil {
			return nil, err
		}
		l.Version = len(list) + 1
		err = s.layers.Create(ctx, layerKey(c.Region, name, l.Version), l)
		if problem.CodeOf(err) == problem.Conflict && ctx.Err() == nil {
			continue // another one was published meanwhile
		}
		if err != nil {
			return nil, err
		}
		return s.wholeLayer(c.Region, l), nil
	}
}

// wholeLayer is a version of a layer with its content.
func (s *Service) wholeLayer(region string, l layer) *object {
	out := s.toldLayer(region, l)
	out["Content"] = s.layerContent(l)
	return &out
}

func (s *Service) layerContent(l layer) object {
	return object{"Location": s.codeURL(string(l.Zip)), "CodeSha256": l.SHA256, "CodeSize": l.Size}
}

// toldLayer is a version of a layer as lists have it.
func (s *Service) toldLayer(region string, l layer) object {
	arn := s.layerARN(region, l.Name)
	out := object{"Description": ""}
	maps.Copy(out, l.Settings)
	maps.Copy(out, object{"LayerArn": arn, "LayerVersionArn": arn + ":" + strconv.Itoa(l.Version), "Version": l.Version, "CreatedDate": modified(l.Created)})
	return out
}

// layerByARN is a version of a layer by its ARN.
func (s *Service) layerByARN(ctx context.Context, c *wire.Call, arn string) (layer, error) {
	if parts := strings.Split(arn, ":"); len(parts) > 3 && parts[3] != c.Region {
		return layer{}, invalid("Layers are not in the same region as the function. Layers are expected to be in region %s.", c.Region)
	}
	rest, ok := strings.CutPrefix(arn, "arn:aws:lambda:"+c.Region+":"+s.Account+":layer:")
	name, number, numbered := strings.Cut(rest, ":")
	version, err := strconv.Atoi(number)
	if !ok || !numbered || err != nil {
		return layer{}, invalid("Layer version %s does not exist: layers of this account and region can be used here, and no others.", arn)
	}
	l, err := s.layers.Get(ctx, layerKey(c.Region, name, version))
	if problem.CodeOf(err) == problem.NotFound || err == nil && l.Deleted {
		return l, invalid("Layer version %s does not exist.", arn)
	}
	return l, err
}

// layerNumber is the version that a request names.
func layerNumber(in object) (int, error) {
	number := in.Number("VersionNumber", 0)
	if number < 1 {
		return 0, invalid("Layer Version Cannot be less than 1")
	}
	return number, nil
}

func (s *Service) getLayer(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	number, err := layerNumber(*in)
	if err != nil {
		return nil, err
	}
	l, err := s.layers.Get(ctx, layerKey(c.Region, layerName(in.Text("LayerName")), number))
	if problem.CodeOf(err) == problem.NotFound || err == nil && l.Deleted {
		return nil, missing(noSuchResource)
	}
	if err != nil {
		return nil, err
	}
	return s.wholeLayer(c.Region, l), nil
}

func (s *Service) listLayerVersions(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	list, err := s.layerVersions(ctx, c.Region, layerName(in.Text("LayerName")))
	if err != nil {
		return nil, err
	}
	out := []object{}
	for _, l := range slices.Backward(list) {
		if !l.Deleted && fits(l, *in) {
			one := s.toldLayer(c.Region, l)
			delete(one, "LayerArn")
			one["place"] = fmt.Sprintf("%012d", math.MaxInt32-l.Version) // the newest first
			out = append(out, one)
		}
	}
	answer, err := page(*in, "LayerVersions", out, "place")
	if err != nil {
		return nil, err
	}
	for _, one := range answer.Objects("LayerVersions") {
		delete(one, "place")
	}
	return answer, nil
}

// fits says whether a layer is for the runtime and the architecture that a request names.
func fits(l layer, in object) bool {
	runtime, machine := in.Text("CompatibleRuntime"), in.Text("CompatibleArchitecture")
	return (runtime == "" || slices.Contains(l.Settings.Texts("CompatibleRuntimes"), runtime)) &&
		(machine == "" || slices.Contains(l.Settings.Texts("CompatibleArchitectures"), machine))
}

func (s *Service) listLayers(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	newest := map[string]layer{}
	for e, err := range s.layers.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if !e.Doc.Deleted && fits(e.Doc, *in) {
			newest[e.Doc.Name] = e.Doc
		}
	}
	var list []object
	for name, l := range newest {
		one := s.toldLayer(c.Region, l)
		delete(one, "LayerArn")
		list = append(list, object{"LayerName": name, "LayerArn": s.layerARN(c.Region, name), "LatestMatchingVersion": one})
	}
	return page(*in, "Layers", sorted(list, "LayerName"), "LayerName")
}

// sorted is a list by one of its members.
func sorted(list []object, member string) []object {
	slices.SortFunc(list, func(a, b object) int { return strings.Compare(a.Text(member), b.Text(member)) })
	return list
}

// deleteLayer hides a version: functions that use it go on with it.
func (s *Service) deleteLayer(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	number, err := layerNumber(*in)
	if err != nil {
		return nil, err
	}
	_, err = s.layers.Update(ctx, layerKey(c.Region, layerName(in.Text("LayerName")), number), func(l *layer) error { l.Deleted = true; return nil })
	if problem.CodeOf(err) == problem.NotFound {
		err = nil
	}
	return &struct{}{}, err
}

// readZip is a zip file of code.
func (s *Service) readZip(ctx context.Context, ref string) ([]byte, error) {
	return s.Artifacts.ReadFile(ctx, artifact.Ref(ref), archive, 4*mostZipped)
}

// Code is every artifact that a function or a layer is made of.
func (s *Service) Code(ctx context.Context) (list []artifact.Ref, err error) {
	for e, err := range s.docs.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		for _, v := range append([]version{e.Doc.Latest}, e.Doc.Versions...) {
			list = append(list, v.Code, v.Zip)
			for _, l := range v.Layers {
				list = append(list, l.Code)
			}
		}
	}
	for e, err := range s.layers.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		if !e.Doc.Deleted {
			list = append(list, e.Doc.Code, e.Doc.Zip)
		}
	}
	return list, nil
}
