package applicationautoscaling

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

const (
	ecsNamespace = "ecs"
	desiredCount = "ecs:service:DesiredCount"
)

// target is a scalable target: a service of ECS, and between which bounds it is scaled.
type target struct {
	Namespace string            `json:"namespace"`
	Resource  string            `json:"resource"` // service/CLUSTER/NAME
	Dimension string            `json:"dimension"`
	ARN       string            `json:"arn"`
	Role      string            `json:"role"`
	Min       int               `json:"min"`
	Max       int               `json:"max"`
	Suspended object            `json:"suspended,omitempty"`
	Created   time.Time         `json:"created"` // tells it from an earlier one of its name
	Tags      map[string]string `json:"tags,omitempty"`

	Policies   []policy    `json:"policies,omitempty"`
	Schedule   []scheduled `json:"schedule,omitempty"`
	Activities []activity  `json:"activities,omitempty"` // the newest first
	Began      int         `json:"began"`                // how many activities there have been
}

// names are the cluster and the name of the service.
func (t target) names() (cluster, service string) {
	_, rest, _ := strings.Cut(t.Resource, "/")
	cluster, service, _ = strings.Cut(rest, "/")
	return cluster, service
}

// is says whether one kind of scaling is suspended.
func (t target) is(suspended string) bool { return t.Suspended.Is(suspended) }

func targetKey(region, resource string) string {
	return region + "/" + ecsNamespace + "/" + resource + "/" + desiredCount
}

// checkNames refuses what is no service of ECS.
func checkNames(in object) error {
	namespace, dimension, resource := in.Text("ServiceNamespace"), in.Text("ScalableDimension"), in.Text("ResourceId")
	switch {
	case namespace != ecsNamespace:
		return invalid("This cannot be had here: the service namespace %s; services of ecs are scaled", namespace)
	case dimension != "" && dimension != desiredCount:
		return invalid("Unsupported service namespace, resource type or scalable dimension: %s of %s", dimension, namespace)
	case resource != "" && (strings.Count(resource, "/") != 2 || !strings.HasPrefix(resource, "service/")):
		return invalid("Unsupported service namespace, resource type or scalable dimension: the resource ID of a service is service/CLUSTER/NAME, not %s", resource)
	}
	return nil
}

func noTarget(resource string) error {
	return wire.Errorf("ObjectNotFoundException", "No scalable target registered for service namespace: %s, resource ID: %s, scalable dimension: %s", ecsNamespace, resource, desiredCount)
}

// change changes a target that is there.
func (s *Service) change(ctx context.Context, region, resource string, how func(*target) error) (target, error) {
	t, err := s.targets.Update(ctx, targetKey(region, resource), how)
	if problem.CodeOf(err) == problem.NotFound {
		err = noTarget(resource)
	}
	return t, err
}

// capacity is what ECS has of a service now.
func (s *Service) capacity(ctx context.Context, c wire.Call, t target) (desired, running int, err error) {
	cluster, name := t.names()
	out, err := s.Services.Call(ctx, c, "ecs", "DescribeServices", map[string]any{"cluster": cluster, "services": []any{name}})
	if err != nil && wire.CodeOf(err) != "ClusterNotFoundException" {
		return 0, 0, err
	}
	for _, v := range object(out).Objects("services") {
		if v.Text("status") == "ACTIVE" {
			return v.Number("desiredCount", 0), v.Number("runningCount", 0), nil
		}
	}
	return 0, 0, invalid("ECS service doesn't exist: %s", t.Resource)
}

func (s *Service) register(ctx context.Context, c *wire.Call, in object) (object, error) {
	if err := checkNames(in); err != nil {
		return nil, err
	}
	resource := in.Text("ResourceId")
	made := target{Namespace: ecsNamespace, Resource: resource, Dimension: desiredCount, Created: s.Now().UTC(), Tags: tagsOf(in.Inner("Tags")),
		ARN:  "arn:aws:application-autoscaling:" + c.Region + ":" + c.Account + ":scalable-target/" + "0ec5" + strings.ReplaceAll(derived(c.Region, resource), "-", "")[:28],
		Role: "arn:aws:iam::" + c.Account + ":role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"}
	if _, _, err := s.capacity(ctx, *c, made); err != nil {
		return nil, err
	}
	t, err := s.targets.Put(ctx, targetKey(c.Region, resource), func(t *target) error {
		if t.Resource == "" {
			if !in.Has("MinCapacity") || !in.Has("MaxCapacity") {
				return invalid("Both MinCapacity and MaxCapacity must be provided when registering a new scalable target")
			}
			*t = made
		}
		t.Min, t.Max = in.Number("MinCapacity", t.Min), in.Number("MaxCapacity", t.Max)
		if in.Has("SuspendedState") {
			t.Suspended = t.Suspended.With(in.Inner("SuspendedState").Clone())
		}
		switch {
		case t.Min < 0 || t.Max < 0:
			return invalid("Capacity must not be negative")
		case t.Min > t.Max:
			return invalid("Maximum capacity cannot be less than minimum capacity")
		}
		return nil
	})
	return object{"ScalableTargetARN": t.ARN}, err
}

func (t target) told() object {
	suspended := object{"DynamicScalingInSuspended": false, "DynamicScalingOutSuspended": false, "ScheduledScalingSuspended": false}.With(t.Suspended)
	return object{"ServiceNamespace": t.Namespace, "ResourceId": t.Resource, "ScalableDimension": t.Dimension, "MinCapacity": t.Min, "MaxCapacity": t.Max, "RoleARN": t.Role, "CreationTime": t.Created,
		"SuspendedState": suspended, "ScalableTargetARN": t.ARN}
}

// list are the targets that a request may mean, by name.
func (s *Service) list(ctx context.Context, c *wire.Call, in object) ([]target, error) {
	if err := checkNames(in); err != nil {
		return nil, err
	}
	var out []target
	for e, err := range s.targets.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if id := in.Text("ResourceId"); id == "" || id == e.Doc.Resource {
			out = append(out, e.Doc)
		}
	}
	return out, nil
}

func (s *Service) describeTargets(ctx context.Context, c *wire.Call, in object) (object, error) {
	list, err := s.list(ctx, c, in)
	if err != nil {
		return nil, err
	}
	var all []object
	ids := in.Texts("ResourceIds")
	for _, t := range list {
		if len(ids) == 0 || slices.Contains(ids, t.Resource) {
			all = append(all, t.told())
		}
	}
	return page(in, "ScalableTargets", all, func(o object) string { return o.Text("ResourceId") })
}

func (s *Service) deregister(ctx context.Context, c *wire.Call, in object) (object, error) {
	if err := checkNames(in); err != nil {
		return nil, err
	}
	err := s.targets.Delete(ctx, targetKey(c.Region, in.Text("ResourceId")), nil)
	if problem.CodeOf(err) == problem.NotFound {
		err = noTarget(in.Text("ResourceId"))
	}
	return object{}, err
}

// tagsOf are tags as a request has them.
func tagsOf(in object) map[string]string {
	out := map[string]string{}
	for key := range in {
		out[key] = in.Text(key)
	}
	return out
}

// tagged is the target of an ARN, changed.
func (s *Service) tagged(ctx context.Context, region, arn string, how func(map[string]string)) (map[string]string, error) {
	for e, err := range s.targets.All(ctx, region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.ARN != arn {
			continue
		}
		t, err := s.change(ctx, region, e.Doc.Resource, func(t *target) error {
			if t.Tags == nil {
				t.Tags = map[string]string{}
			}
			how(t.Tags)
			return nil
		})
		return t.Tags, err
	}
	return nil, &wire.Error{Code: "ResourceNotFoundException", Message: "The specified resource doesn't exist: " + arn}
}

func (s *Service) tag(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.tagged(ctx, c.Region, in.Text("ResourceARN"), func(tags map[string]string) { maps.Copy(tags, tagsOf(in.Inner("Tags"))) })
	return object{}, err
}

func (s *Service) untag(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.tagged(ctx, c.Region, in.Text("ResourceARN"), func(tags map[string]string) {
		for _, key := range in.Texts("TagKeys") {
			delete(tags, key)
		}
	})
	return object{}, err
}

func (s *Service) listTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	tags, err := s.tagged(ctx, c.Region, in.Text("ResourceARN"), func(map[string]string) {})
	told := object{}
	for key, value := range tags {
		told[key] = value
	}
	return object{"Tags": told}, err
}
