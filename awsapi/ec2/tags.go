package ec2

import (
	"context"
	"maps"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// tagged is the tags of one resource.
type tagged struct {
	Tags map[string]string `json:"tags"`
}

// mostTags is how many tags a resource may have.
const mostTags = 50

// prefixes are the kinds of resources by what their identifiers begin with.
var prefixes = map[string]string{
	"i": "instance", "ami": "image", "lt": "launch-template", "vpc": "vpc", "subnet": "subnet", "sg": "security-group", "rtb": "route-table",
	"igw": "internet-gateway", "nat": "natgateway", "eipalloc": "elastic-ip", "eni": "network-interface", "vpce": "vpc-endpoint", "key": "key-pair",
	"vgw": "vpn-gateway", "acl": "network-acl", "dopt": "dhcp-options", "sgr": "security-group-rule", "r": "reservation", "vol": "volume",
}

func kindOf(id string) string {
	prefix, _, _ := strings.Cut(id, "-")
	return prefixes[prefix]
}

func (s *Service) createTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.setTags(ctx, c.Region, in.Texts("Resources"), in, func(tags map[string]string, t object) {
		tags[t.Text("Key")] = t.Text("Value")
	})
}

func (s *Service) deleteTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	if _, given := (in)["Tags"]; !given {
		for _, id := range in.Texts("Resources") {
			if err := s.tags.Delete(ctx, c.Region+"/"+id, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
				return nil, err
			}
		}
		return object{}, nil
	}
	return object{}, s.setTags(ctx, c.Region, in.Texts("Resources"), in, func(tags map[string]string, t object) {
		if v, given := t["Value"]; !given || v == tags[t.Text("Key")] {
			delete(tags, t.Text("Key"))
		}
	})
}

// setTags changes the tags of resources that are there.
func (s *Service) setTags(ctx context.Context, region string, ids []string, in object, change func(map[string]string, object)) error {
	for _, t := range in.Objects("Tags") {
		if strings.HasPrefix(t.Text("Key"), "aws:") && !wire.IsInside(ctx) {
			return wire.Errorf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		}
	}
	for _, id := range ids {
		if err := s.exists(ctx, region, id); err != nil {
			return err
		}
	}
	for _, id := range ids {
		_, err := s.tags.Put(ctx, region+"/"+id, func(d *tagged) error {
			d.Tags = maps.Clone(d.Tags)
			if d.Tags == nil {
				d.Tags = map[string]string{}
			}
			for _, t := range in.Objects("Tags") {
				change(d.Tags, t)
			}
			if len(d.Tags) > mostTags {
				return wire.Errorf("TagLimitExceeded", "The maximum number of tags for a resource has been reached.")
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// exists refuses an identifier of no resource.
func (s *Service) exists(ctx context.Context, region, id string) error {
	switch kind := kindOf(id); kind {
	case "instance":
		_, err := s.instance(ctx, region, id)
		return err
	case "launch-template":
		_, _, err := s.template(ctx, region, object{"LaunchTemplateId": id})
		return err
	case "image":
		_, err := s.Image(ctx, region, id)
		return err
	case "":
		return wire.Errorf("InvalidID", "The ID '%s' is not valid", id)
	default:
		_, err := s.keptResource(ctx, region, kind, id)
		return err
	}
}

// tagsFor are the tags that a request gives to resources of a kind it makes.
func tagsFor(in object, kind string) map[string]string {
	tags := map[string]string{}
	for _, spec := range in.Objects("TagSpecifications") {
		if spec.Text("ResourceType") == kind {
			for _, t := range spec.Objects("Tags") {
				tags[t.Text("Key")] = t.Text("Value")
			}
		}
	}
	return tags
}

// keepTags keeps the first tags of a resource.
func (s *Service) keepTags(ctx context.Context, region, id string, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	_, err := s.tags.Put(ctx, region+"/"+id, func(d *tagged) error { d.Tags = tags; return nil })
	return err
}

// tagList is tags as the model has them, by key.
func tagList(tags map[string]string) []any {
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, object{"Key": k, "Value": tags[k]})
	}
	return out
}

// allTags are the tags of a region's resources by identifier.
func (s *Service) allTags(ctx context.Context, region string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for e, err := range s.tags.All(ctx, region+"/") {
		if err != nil {
			return nil, err
		}
		out[strings.TrimPrefix(e.Key, region+"/")] = e.Doc.Tags
	}
	return out, nil
}

func (s *Service) tagsOf(ctx context.Context, region, id string) (map[string]string, error) {
	d, err := s.tags.Get(ctx, region+"/"+id)
	if problem.CodeOf(err) == problem.NotFound {
		err = nil
	}
	return d.Tags, err
}

func (s *Service) describeTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	tags, err := s.allTags(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, id := range slices.Sorted(maps.Keys(tags)) {
		for _, k := range slices.Sorted(maps.Keys(tags[id])) {
			all = append(all, object{"ResourceId": id, "ResourceType": kindOf(id), "Key": k, "Value": tags[id][k]})
		}
	}
	// Here the tag itself is what is described.
	all, err = filters(in, named("Key", "Value", "ResourceId", "ResourceType"), all)
	if err != nil {
		return nil, err
	}
	return answer(in, "Tags", all, func(t object) string { return t.Text("ResourceId") + "/" + t.Text("Key") })
}
