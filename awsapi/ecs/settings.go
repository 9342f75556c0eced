package ecs

import (
	"context"
	"maps"
	"slices"

	"showrunner/awsapi/wire"
)

// settings are an account's, which are kept and returned: nothing here follows them.
type settings struct {
	Values map[string]string `json:"values"`
}

// defaultSettings are the settings that there are, as AWS has them from the start.
var defaultSettings = map[string]string{
	"awsvpcTrunking": "disabled", "containerInsights": "disabled", "containerInstanceLongArnFormat": "enabled", "dualStackIPv6": "enabled", "fargateFIPSMode": "disabled",
	"fargateTaskRetirementWaitPeriod": "7", "guardDutyActivate": "on", "serviceLongArnFormat": "enabled", "tagResourceAuthorization": "off", "taskLongArnFormat": "enabled",
}

func (s *Service) setting(name, value string) object {
	return object{"name": name, "value": value, "principalArn": "arn:aws:iam::" + s.Account + ":root", "type": "user"}
}

func (s *Service) settingsOf(ctx context.Context, region string) (map[string]string, error) {
	for e, err := range s.settings.All(ctx, region) {
		return e.Doc.Values, err
	}
	return nil, nil
}

func (s *Service) listSettings(ctx context.Context, c *wire.Call, in object) (object, error) {
	set, err := s.settingsOf(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	if in.Is("effectiveSettings") {
		all := maps.Clone(defaultSettings)
		maps.Copy(all, set)
		set = all
	}
	name, value := in.Text("name"), in.Text("value")
	var all []object
	for _, n := range slices.Sorted(maps.Keys(set)) {
		if (name == "" || name == n) && (value == "" || value == set[n]) {
			all = append(all, s.setting(n, set[n]))
		}
	}
	p := wire.Paging{Token: "nextToken", Most: "maxResults", Least: 1, Greatest: 100, Otherwise: 100,
		BadToken: func(string) error { return invalid("Invalid token.") },
		BadCount: func(string) error { return invalid("maxResults must be between 1 and 100.") }}
	out, next, err := wire.Cut(p, in, all, func(o object) string { return o.Text("name") })
	return object{"settings": wire.List(out)}.With(object{"nextToken": next}), err
}

func (s *Service) putSetting(ctx context.Context, c *wire.Call, in object) (object, error) {
	name, value := in.Text("name"), in.Text("value")
	if _, known := defaultSettings[name]; !known {
		return nil, invalid("Invalid setting name %s.", name)
	}
	_, err := s.settings.Put(ctx, c.Region, func(have *settings) error {
		if have.Values == nil {
			have.Values = map[string]string{}
		}
		have.Values[name] = value
		return nil
	})
	return object{"setting": s.setting(name, value)}, err
}

func (s *Service) deleteSetting(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := in.Text("name")
	_, err := s.settings.Put(ctx, c.Region, func(have *settings) error { delete(have.Values, name); return nil })
	return object{"setting": s.setting(name, "")}, err
}

// describeProviders describes the capacity providers that every cluster may have: tasks
// run in the region, whichever is named.
func (s *Service) describeProviders(_ context.Context, c *wire.Call, in object) (object, error) {
	found, failures := []any{}, []any{}
	names := in.Texts("capacityProviders")
	if len(names) == 0 {
		names = []string{"FARGATE", "FARGATE_SPOT"}
	}
	for _, name := range names {
		arn := s.arn(c.Region, "capacity-provider/"+last(name))
		if n := last(name); n != "FARGATE" && n != "FARGATE_SPOT" {
			failures = append(failures, missing(arn))
			continue
		}
		found = append(found, object{"capacityProviderArn": arn, "name": last(name), "status": active, "tags": []any{}})
	}
	return object{"capacityProviders": found, "failures": failures}, nil
}

// putProviders sets the capacity providers of a cluster.
func (s *Service) putProviders(ctx context.Context, c *wire.Call, in object) (object, error) {
	strategy := in.Objects("defaultCapacityProviderStrategy")
	names := in.Texts("capacityProviders")
	for _, p := range strategy {
		if !slices.Contains(names, p.Text("capacityProvider")) {
			return nil, invalid("The specified capacity provider strategy contains a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.")
		}
	}
	if err := checkProviders(names); err != nil {
		return nil, err
	}
	return s.changeCluster(ctx, c, in, "capacityProviders", "defaultCapacityProviderStrategy")
}

func checkProviders(names []string) error {
	for _, p := range names {
		if p != "FARGATE" && p != "FARGATE_SPOT" {
			return unsupported("the capacity provider " + p + ": tasks run in the region, without instances of the caller's")
		}
	}
	return nil
}

// describeContainerInstances answers for instances that no cluster has.
func (s *Service) describeContainerInstances(ctx context.Context, c *wire.Call, in object) (object, error) {
	cluster := clusterOf(in, "cluster")
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	failures := []any{}
	for _, name := range in.Texts("containerInstances") {
		failures = append(failures, missing(s.arn(c.Region, "container-instance/"+cluster+"/"+last(name))))
	}
	return object{"containerInstances": []any{}, "failures": failures}, nil
}

func (s *Service) listAttributes(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.cluster(ctx, c.Region, clusterOf(in, "cluster"))
	return object{"attributes": []any{}}, err
}
