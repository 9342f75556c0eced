package resource

import (
	"context"
	"strings"

	"showrunner/awsapi/wire"
)

func containerTypes() []*Type {
	return []*Type{{
		Name:       "AWS::ECS::Cluster",
		Properties: []string{"CapacityProviders", "ClusterName", "ClusterSettings", "Configuration", "DefaultCapacityProviderStrategy", "ServiceConnectDefaults", "Tags"},
		Kept:       []string{"ClusterSettings", "Configuration", "ServiceConnectDefaults"},
		Replace:    []string{"ClusterName"}, Attributes: []string{"Arn"}, Named: "ClusterName", Identifiers: []string{"ClusterName"}, Tagged: true,
		Needs: [2]string{"ecs", "CreateCluster"}, Handler: ecsCluster{},
	}, {
		Name: "AWS::ECS::TaskDefinition",
		Properties: []string{"ContainerDefinitions", "Cpu", "EnableFaultInjection", "EphemeralStorage", "ExecutionRoleArn", "Family", "InferenceAccelerators", "IpcMode", "Memory", "NetworkMode", "PidMode", "PlacementConstraints",
			"ProxyConfiguration", "RequiresCompatibilities", "RuntimePlatform", "Tags", "TaskRoleArn", "Volumes"},
		Kept: []string{"EnableFaultInjection"}, Required: []string{"ContainerDefinitions"},
		Replace: []string{"ContainerDefinitions", "Cpu", "EphemeralStorage", "ExecutionRoleArn", "Family", "InferenceAccelerators", "IpcMode", "Memory", "NetworkMode", "PidMode", "PlacementConstraints", "ProxyConfiguration",
			"RequiresCompatibilities", "RuntimePlatform", "TaskRoleArn", "Volumes"},
		Attributes: []string{"TaskDefinitionArn"}, Identifiers: []string{"TaskDefinitionArn"}, Assigned: true, Tagged: true,
		Needs: [2]string{"ecs", "RegisterTaskDefinition"}, Handler: ecsDefinition{},
	}, {
		Name: "AWS::ECS::Service",
		Properties: []string{"AvailabilityZoneRebalancing", "CapacityProviderStrategy", "Cluster", "DeploymentConfiguration", "DeploymentController", "DesiredCount", "EnableECSManagedTags", "EnableExecuteCommand", "HealthCheckGracePeriodSeconds",
			"LaunchType", "LoadBalancers", "NetworkConfiguration", "PlacementConstraints", "PlacementStrategies", "PlatformVersion", "PropagateTags", "Role", "SchedulingStrategy", "ServiceConnectConfiguration", "ServiceName", "ServiceRegistries",
			"Tags", "TaskDefinition", "VolumeConfigurations"},
		Kept:       []string{"AvailabilityZoneRebalancing", "HealthCheckGracePeriodSeconds", "PlatformVersion", "PropagateTags", "EnableECSManagedTags", "PlacementStrategies", "Role"},
		Replace:    []string{"Cluster", "DeploymentController", "LaunchType", "Role", "SchedulingStrategy", "ServiceName"},
		Attributes: []string{"Name", "ServiceArn"}, Identifiers: []string{"ServiceArn", "Cluster"}, Tagged: true,
		Identify: func(r *Request, random string) string {
			if name := r.Text("ServiceName"); name != "" {
				return name
			}
			return shortened(r, 64, random)
		},
		Needs: [2]string{"ecs", "CreateService"}, Handler: ecsService{},
	}}
}

// ecsCluster acts for AWS::ECS::Cluster.
type ecsCluster struct{}

func (ecsCluster) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Arn": "arn:aws:ecs:" + r.Region + ":" + r.Account + ":cluster/" + r.Physical}}
}

func (h ecsCluster) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"CapacityProviders": "capacityProviders", "ClusterSettings": "settings", "Configuration": "configuration", "DefaultCapacityProviderStrategy": "defaultCapacityProviderStrategy", "ServiceConnectDefaults": "serviceConnectDefaults"})
	in["clusterName"], in["tags"] = r.Physical, r.tagList()
	_, err := r.call(ctx, "ecs", "CreateCluster", in)
	return h.made(r), err
}

// retagECS makes the tags of something what the properties say.
func retagECS(ctx context.Context, r *Request, arn string) error {
	if keys := r.oldTagKeys(); len(keys) > 0 {
		if _, err := r.call(ctx, "ecs", "UntagResource", map[string]any{"resourceArn": arn, "tagKeys": keys}); err != nil {
			return err
		}
	}
	_, err := r.call(ctx, "ecs", "TagResource", map[string]any{"resourceArn": arn, "tags": r.tagList()})
	return err
}

func (h ecsCluster) Update(ctx context.Context, r *Request) (Made, error) {
	for _, name := range []string{"CapacityProviders", "DefaultCapacityProviderStrategy"} {
		if !Same(r.Old[name], r.Properties[name]) {
			return Made{}, wire.Errorf("InvalidRequest", "%s of a cluster cannot be changed here", name)
		}
	}
	made := h.made(r)
	return made, retagECS(ctx, r, textAt(made.Attributes, "Arn"))
}

func (ecsCluster) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "ecs", "DeleteCluster", map[string]any{"cluster": r.Physical})
	return gone(err, "ClusterNotFoundException")
}

func (h ecsCluster) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "ecs", "DescribeClusters", map[string]any{"clusters": []any{r.Physical}})
	return h.made(r), textAt(first(out["clusters"]), "status") == "ACTIVE", err
}

// ecsDefinition acts for AWS::ECS::TaskDefinition, whose identifier is its ARN.
type ecsDefinition struct{}

func definitionMade(arn string) Made {
	return Made{Physical: arn, Attributes: map[string]any{"TaskDefinitionArn": arn}}
}

// family is what a definition's revisions are called.
func (ecsDefinition) family(r *Request) string {
	if name := r.Text("Family"); name != "" {
		return name
	}
	return shortened(r, 255, Random(12, false, r.StackID, r.Logical))
}

func (h ecsDefinition) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties, "EnableFaultInjection", "Tags", "Family")
	in["family"], in["tags"] = h.family(r), r.tagList()
	out, err := r.call(ctx, "ecs", "RegisterTaskDefinition", in)
	return definitionMade(textAt(out, "taskDefinition", "taskDefinitionArn")), err
}

func (ecsDefinition) Update(ctx context.Context, r *Request) (Made, error) {
	return definitionMade(r.Physical), retagECS(ctx, r, r.Physical)
}

func (ecsDefinition) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "ecs", "DeregisterTaskDefinition", map[string]any{"taskDefinition": r.Physical})
	return gone(err, "ClientException")
}

// Find is the newest revision, if this stack's resource has registered it and it is not
// the one that is replaced.
func (h ecsDefinition) Find(ctx context.Context, r *Request) (Made, bool, error) {
	name := r.Physical
	if name == "" {
		name = h.family(r)
	}
	out, err := r.call(ctx, "ecs", "DescribeTaskDefinition", map[string]any{"taskDefinition": name, "include": []any{"TAGS"}})
	if err != nil {
		return absent(Made{}, err, "ClientException")
	}
	arn, own := textAt(out, "taskDefinition", "taskDefinitionArn"), 0
	list, _ := out["tags"].([]any)
	for _, t := range list {
		switch textAt(t, "key") + " " + textAt(t, "value") {
		case "aws:cloudformation:stack-id " + r.StackID, "aws:cloudformation:logical-id " + r.Logical:
			own++
		}
	}
	found := own == 2 && arn != r.Replaced && textAt(out, "taskDefinition", "status") == "ACTIVE"
	return definitionMade(arn), found, nil
}

// ecsService acts for AWS::ECS::Service. Its identifier is the ARN; before it is made,
// its name.
type ecsService struct{}

func serviceMade(s any) Made {
	arn := textAt(s, "serviceArn")
	return Made{Physical: arn, Attributes: map[string]any{"ServiceArn": arn, "Name": textAt(s, "serviceName")}}
}

// in is a service as the operations take it.
func (ecsService) in(r *Request, more ...string) map[string]any {
	in := without(r.Properties, append([]string{"AvailabilityZoneRebalancing", "PlacementStrategies", "Tags"}, more...)...)
	if v, given := r.Properties["PlacementStrategies"]; given {
		in["placementStrategy"] = v
	}
	return in
}

func (h ecsService) Create(ctx context.Context, r *Request) (Made, error) {
	in := h.in(r)
	delete(in, "ServiceName")
	in["serviceName"], in["tags"] = r.Physical, r.tagList()
	if in["DesiredCount"] == nil && in["SchedulingStrategy"] != "DAEMON" {
		in["DesiredCount"] = 1
	}
	out, err := r.call(ctx, "ecs", "CreateService", in)
	m := serviceMade(out["service"])
	m.Settling = true
	return m, err
}

func (h ecsService) Update(ctx context.Context, r *Request) (Made, error) {
	in := h.in(r, "Cluster", "DeploymentController", "LaunchType", "Role", "SchedulingStrategy", "ServiceName")
	in["service"], in["cluster"] = r.Physical, h.cluster(r)
	out, err := r.call(ctx, "ecs", "UpdateService", in)
	if err == nil {
		err = retagECS(ctx, r, r.Physical)
	}
	m := serviceMade(out["service"])
	m.Settling = true
	return m, err
}

func (ecsService) cluster(r *Request) string {
	if name := r.Text("Cluster"); name != "" {
		return name
	}
	return "default"
}

// describe is the service as it is; nil when it is not there.
func (h ecsService) describe(ctx context.Context, r *Request) (any, error) {
	out, err := r.call(ctx, "ecs", "DescribeServices", map[string]any{"cluster": h.cluster(r), "services": []any{r.Physical[strings.LastIndexByte(r.Physical, '/')+1:]}})
	if wire.CodeOf(err) == "ClusterNotFoundException" {
		return nil, nil
	}
	return first(out["services"]), err
}

// Settled waits until the service's one deployment has completed.
func (h ecsService) Settled(ctx context.Context, r *Request) (Made, error) {
	s, err := h.describe(ctx, r)
	if err != nil {
		return Made{}, err
	}
	m := serviceMade(s)
	list, _ := at(s, "deployments").([]any)
	for _, d := range list {
		if textAt(d, "status") == "PRIMARY" && textAt(d, "rolloutState") == "FAILED" {
			return m, wire.Errorf("ValidationError", "Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'. %s", textAt(d, "rolloutStateReason"))
		}
	}
	done := len(list) == 1 && textAt(list[0], "rolloutState") == "COMPLETED" && at(s, "runningCount") == at(s, "desiredCount")
	if done && r.Text("TaskDefinition") != "" && !sameDefinition(textAt(list[0], "taskDefinition"), r.Text("TaskDefinition")) {
		return m, wire.Errorf("ValidationError", "Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'.")
	}
	m.Settling = !done
	return m, nil
}

// sameDefinition says whether a service runs the revision that a property names; a name
// without a revision is the newest one.
func sameDefinition(runs, wanted string) bool {
	short := func(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
	return short(runs) == short(wanted) || !strings.Contains(short(wanted), ":")
}

// Delete ends the service's tasks and waits until they are gone.
func (h ecsService) Delete(ctx context.Context, r *Request) error {
	s, err := h.describe(ctx, r)
	if err != nil {
		return err
	}
	switch textAt(s, "status") {
	case "ACTIVE":
		if _, err := r.call(ctx, "ecs", "DeleteService", map[string]any{"cluster": h.cluster(r), "service": r.Physical, "force": true}); err != nil {
			return gone(err, "ServiceNotFoundException", "ClusterNotFoundException")
		}
		return &Later{"the service's tasks are ending"}
	case "DRAINING":
		return &Later{"the service's tasks are ending"}
	}
	return nil
}

func (h ecsService) Find(ctx context.Context, r *Request) (Made, bool, error) {
	s, err := h.describe(ctx, r)
	m := serviceMade(s)
	m.Settling = true
	return m, textAt(s, "status") == "ACTIVE", err
}
