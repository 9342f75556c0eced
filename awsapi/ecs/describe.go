package ecs

import (
	"cmp"
	"context"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

// tellService is a service as it is described, with what the region has of it now.
func (s *Service) tellService(ctx context.Context, region string, v service, tags bool) (object, error) {
	groups, err := s.Groups.List(ctx, region, v.Fleet)
	if err != nil {
		return nil, err
	}
	return s.told(region, v, groups, tags), nil
}

func (s *Service) told(region string, v service, groups []cloud.ServerGroup, tags bool) object {
	tallies := v.tallies(groups)
	sum := total(tallies)
	deployments := []any{}
	for n, d := range v.Deployments {
		if d.Ending && v.Status == active && tallies[d.ID].present == 0 {
			continue // its last instance is gone: only the group's record is still to go
		}
		deployments = append(deployments, s.tellDeployment(region, v, d, tallies[d.ID], n == 0))
	}
	events := []any{}
	for _, e := range v.Events {
		events = append(events, object{"id": e.ID, "createdAt": e.At, "message": e.Message})
	}
	configuration := object{"deploymentCircuitBreaker": object{"enable": v.Breaker, "rollback": v.Rollback}, "minimumHealthyPercent": v.Least, "maximumPercent": v.Most}
	o := object{
		"serviceArn": s.serviceARN(region, v), "serviceName": v.Name, "clusterArn": s.clusterARN(region, v.Cluster), "status": v.Status, "desiredCount": v.Desired, "runningCount": sum.running, "pendingCount": sum.pending,
		"taskDefinition": s.definitionARN(region, v.Definition), "deploymentConfiguration": configuration, "deployments": deployments, "events": events,
		"loadBalancers": []any{}, "serviceRegistries": []any{}, "placementConstraints": []any{}, "placementStrategy": []any{}, "createdAt": v.Created, "createdBy": v.By,
		"schedulingStrategy": "REPLICA", "deploymentController": object{"type": "ECS"}, "enableECSManagedTags": false, "enableExecuteCommand": false, "propagateTags": "NONE",
	}.With(v.Kept).With(object{"launchType": v.toldLaunchType()})
	if v.launchType() == "FARGATE" {
		o["platformVersion"], o["platformFamily"] = cmp.Or(v.Kept.Text("platformVersion"), "LATEST"), "Linux"
	}
	if tags && len(v.Tags) > 0 {
		o["tags"] = wire.List(v.Tags)
	}
	return o
}

// toldLaunchType is nil for a service with a capacity provider strategy, as at AWS.
func (v service) toldLaunchType() any {
	if len(v.Kept.Objects("capacityProviderStrategy")) > 0 {
		return nil
	}
	return v.launchType()
}

func (s *Service) tellDeployment(region string, v service, d deployment, t tally, primary bool) object {
	status, desired := active, d.Asked
	if primary {
		status, desired = "PRIMARY", v.Desired
	}
	if v.Status != active || d.Ending {
		desired = 0
	}
	return object{"id": d.ID, "status": status, "taskDefinition": s.definitionARN(region, d.Definition), "desiredCount": desired, "runningCount": t.running, "pendingCount": t.pending, "failedTasks": d.Failed,
		"createdAt": d.Created, "updatedAt": d.Updated, "rolloutState": d.State, "rolloutStateReason": d.Reason}.With(v.Kept.Only("networkConfiguration", "capacityProviderStrategy")).With(object{"launchType": v.toldLaunchType()})
}

// mostServices is how many services may be described at once.
const mostServices = 10

func (s *Service) describeServices(ctx context.Context, c *wire.Call, in object) (object, error) {
	names, cluster := in.Texts("services"), clusterOf(in, "cluster")
	if len(names) == 0 {
		return nil, invalid("Services cannot be empty.")
	}
	if len(names) > mostServices {
		return nil, invalid("Services cannot have more than %d elements.", mostServices)
	}
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	found, failures := []any{}, []any{}
	for _, name := range names {
		v, err := s.services.Get(ctx, c.Region+"/"+cluster+"/"+last(name))
		if problem.CodeOf(err) == problem.NotFound {
			failures = append(failures, missing(s.arn(c.Region, "service/"+cluster+"/"+last(name))))
			continue
		}
		if err != nil {
			return nil, err
		}
		told, err := s.tellService(ctx, c.Region, v, includes(in, "TAGS"))
		if err != nil {
			return nil, err
		}
		found = append(found, told)
	}
	return object{"services": found, "failures": failures}, nil
}
