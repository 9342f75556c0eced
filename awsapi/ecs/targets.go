package ecs

import (
	"context"
	"slices"

	"showrunner/awsapi/wire"
)

// targetGroups are the target groups that a service's tasks are registered with.
func targetGroups(of object) []string {
	var out []string
	for _, b := range of.Objects("loadBalancers") {
		out = append(out, b.Text("targetGroupArn"))
	}
	return out
}

// mostTargetGroups is how many target groups a service may be registered with, as at AWS.
const mostTargetGroups = 5

// checkBalancers refuses target groups that are not there, and ports that the container
// of the task definition does not name.
func (s *Service) checkBalancers(ctx context.Context, region string, in object, d definition) error {
	list := in.Objects("loadBalancers")
	if len(list) > mostTargetGroups {
		return invalid("A service can have at most %d target groups.", mostTargetGroups)
	}
	container := d.Data.Objects("containerDefinitions")[0]
	for _, b := range list {
		arn, name, port := b.Text("targetGroupArn"), b.Text("containerName"), b.Number("containerPort", 0)
		switch {
		case b.Text("loadBalancerName") != "":
			return unsupported("loadBalancerName (classic load balancers): name target groups")
		case arn == "":
			return invalid("targetGroupArn cannot be empty.")
		case name != container.Text("name"):
			return invalid("The container %s does not exist in the task definition.", name)
		case !slices.ContainsFunc(container.Objects("portMappings"), func(p object) bool { return p.Number("containerPort", 0) == port }):
			return invalid("The container %s did not have a container port %d defined.", name, port)
		}
		if err := s.targets.CheckTargetGroup(ctx, region, arn); err != nil {
			if wire.CodeOf(err) == "InternalFailure" {
				return err
			}
			return invalid("The target group %s does not exist.", arn)
		}
	}
	return nil
}

// tellTargets has the load balancers look at what has changed of a service, and strikes
// it out of its record.
func (s *Service) tellTargets(ctx context.Context, region string, v service) (service, error) {
	if len(v.Untold) == 0 {
		return v, nil
	}
	if err := s.targets.Changed(ctx, region, v.Untold); err != nil {
		return v, err
	}
	told := len(v.Untold)
	return s.services.Update(ctx, serviceKey(region, v), func(now *service) error {
		if now.Created.Equal(v.Created) {
			now.Untold = now.Untold[min(told, len(now.Untold)):]
		}
		return nil
	})
}

// Clusters are the clusters of the services that are registered with a target group.
func (s *Service) Clusters(ctx context.Context, region, targetGroup string) ([]string, error) {
	list, err := s.list(ctx, region, "")
	var out []string
	for _, v := range list {
		if v.Status == active && slices.Contains(targetGroups(v.Kept), targetGroup) {
			out = append(out, v.Fleet)
		}
	}
	return out, err
}
