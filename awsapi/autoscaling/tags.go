package autoscaling

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// newTags are a group's tags with others added.
func newTags(ctx context.Context, have, more []object) ([]object, error) {
	out := slices.Clone(have)
	for _, t := range more {
		key := t.Text("Key")
		if strings.HasPrefix(key, "aws:") && !wire.IsInside(ctx) {
			return nil, invalid("The tag key %s begins with aws:, which is reserved", key)
		}
		made := object{"Key": key, "Value": t.Text("Value"), "PropagateAtLaunch": !t.Has("PropagateAtLaunch") || t.Is("PropagateAtLaunch")}
		out = append(slices.DeleteFunc(out, func(o object) bool { return o.Text("Key") == key }), made)
	}
	if len(out) > 50 {
		return nil, wire.Errorf("LimitExceeded", "A group may have 50 tags")
	}
	return out, nil
}

// byGroup sorts the tags of a request by the groups that they are for.
func byGroup(in object) (map[string][]object, error) {
	out := map[string][]object{}
	for _, t := range in.Objects("Tags") {
		if kind := t.Text("ResourceType"); kind != "" && kind != "auto-scaling-group" {
			return nil, invalid("The resource type %s is not valid; it is auto-scaling-group", kind)
		}
		out[t.Text("ResourceId")] = append(out[t.Text("ResourceId")], t)
	}
	return out, nil
}

func (s *Service) putTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	groups, err := byGroup(in)
	if err != nil {
		return nil, err
	}
	for name, tags := range groups {
		_, err := s.change(ctx, c.Region, name, func(g *group) error {
			g.Tags, err = newTags(ctx, g.Tags, tags)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return object{}, nil
}

func (s *Service) deleteTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	groups, err := byGroup(in)
	if err != nil {
		return nil, err
	}
	for name, tags := range groups {
		_, err := s.change(ctx, c.Region, name, func(g *group) error {
			for _, t := range tags {
				g.Tags = slices.DeleteFunc(g.Tags, func(have object) bool {
					return have.Text("Key") == t.Text("Key") && (!t.Has("Value") || t.Text("Value") == have.Text("Value"))
				})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return object{}, nil
}

func (s *Service) describeTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	groups, err := s.list(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, g := range groups {
		for _, t := range g.told() {
			o := t.(object)
			if wanted(in, o) {
				all = append(all, o)
			}
		}
	}
	key := func(o object) string { return o.Text("ResourceId") + "\x00" + o.Text("Key") }
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(key(a), key(b)) })
	return answer(in, "Tags", all, 50, key)
}

// wanted says whether a tag passes the filters of a request.
func wanted(in, tag object) bool {
	for _, f := range in.Objects("Filters") {
		member := map[string]string{"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}[f.Text("Name")]
		value := tag.Text(member)
		if f.Text("Name") == "propagate-at-launch" {
			value = map[bool]string{true: "true", false: "false"}[tag.Is("PropagateAtLaunch")]
		}
		if !slices.Contains(f.Texts("Values"), value) {
			return false
		}
	}
	return true
}

func (s *Service) enableMetrics(ctx context.Context, c *wire.Call, in object) (object, error) {
	if g := in.Text("Granularity"); g != "1Minute" {
		return nil, invalid("The granularity %s is not valid; it is 1Minute", g)
	}
	return s.setMetrics(ctx, c, in, true)
}

func (s *Service) disableMetrics(ctx context.Context, c *wire.Call, in object) (object, error) {
	return s.setMetrics(ctx, c, in, false)
}

// setMetrics keeps which metrics of a group are asked for.
func (s *Service) setMetrics(ctx context.Context, c *wire.Call, in object, enable bool) (object, error) {
	named := in.Texts("Metrics")
	if len(named) == 0 {
		named = metricNames
	}
	for _, m := range named {
		if !slices.Contains(metricNames, m) {
			return nil, invalid("%s is not a valid metric; they are %s", m, strings.Join(metricNames, ", "))
		}
	}
	_, err := s.change(ctx, c.Region, in.Text("AutoScalingGroupName"), func(g *group) error {
		g.Metrics = slices.DeleteFunc(g.Metrics, func(m string) bool { return slices.Contains(named, m) })
		if enable {
			g.Metrics = append(g.Metrics, named...)
		}
		slices.Sort(g.Metrics)
		return nil
	})
	return object{}, err
}

func (g *group) metrics() []any {
	out := []any{}
	for _, m := range g.Metrics {
		out = append(out, object{"Metric": m, "Granularity": "1Minute"})
	}
	return out
}
