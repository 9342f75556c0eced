package ecs

import (
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

func tagsOf(in object) []object {
	var out []object
	for _, t := range in.Objects("tags") {
		out = append(out, t.Clone())
	}
	return out
}

// mostTags is how many tags a resource may have.
const mostTags = 50

// changeTags changes the tags of the resource of an ARN, or just reads them.
func (s *Service) changeTags(ctx context.Context, c *wire.Call, arn string, change func([]object) ([]object, error)) ([]object, error) {
	kind, name, _ := strings.Cut(strings.TrimPrefix(arn, s.arn(c.Region, "")), "/")
	var tags []object
	set := func(have *[]object) (err error) {
		tags, err = change(*have)
		*have = tags
		return err
	}
	var err error
	switch kind {
	case "cluster":
		_, err = s.clusters.Update(ctx, c.Region+"/"+name, func(d *cluster) error {
			if d.Status != active {
				return noCluster()
			}
			return set(&d.Tags)
		})
		if problem.CodeOf(err) == problem.NotFound {
			return nil, noCluster()
		}
	case "service":
		if !strings.Contains(name, "/") {
			name = defaultCluster + "/" + name
		}
		_, err = s.services.Update(ctx, c.Region+"/"+name, func(d *service) error {
			if d.Status == inactive {
				return noService()
			}
			return set(&d.Tags)
		})
		if problem.CodeOf(err) == problem.NotFound {
			return nil, noService()
		}
	case "task-definition":
		d, err := s.definition(ctx, c.Region, name)
		if err != nil {
			return nil, invalid("The specified task definition is inactive. Specify an active task definition and try again.")
		}
		_, err = s.definitions.Update(ctx, definitionKey(c.Region, d.Family, d.Revision), func(d *definition) error { return set(&d.Tags) })
		return tags, err
	default:
		return nil, invalid("The resource %s has no tags here: clusters, services and task definitions have.", arn)
	}
	return tags, err
}

func (s *Service) tag(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.changeTags(ctx, c, in.Text("resourceArn"), func(have []object) ([]object, error) {
		for _, t := range tagsOf(in) {
			have = append(slices.DeleteFunc(have, func(h object) bool { return h.Text("key") == t.Text("key") }), t)
		}
		if len(have) > mostTags {
			return nil, invalid("The maximum number of tags for a resource is %d.", mostTags)
		}
		return have, nil
	})
	return object{}, err
}

func (s *Service) untag(ctx context.Context, c *wire.Call, in object) (object, error) {
	keys := in.Texts("tagKeys")
	_, err := s.changeTags(ctx, c, in.Text("resourceArn"), func(have []object) ([]object, error) {
		return slices.DeleteFunc(have, func(h object) bool { return slices.Contains(keys, h.Text("key")) }), nil
	})
	return object{}, err
}

func (s *Service) listTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	tags, err := s.changeTags(ctx, c, in.Text("resourceArn"), func(have []object) ([]object, error) { return have, nil })
	return object{"tags": wire.List(tags)}, err
}
