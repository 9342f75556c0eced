package ecs

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

// fleetPrefix is what the clusters of services' server groups are called.
const fleetPrefix = "aws-ecs-"

func serviceKey(region string, v service) string { return region + "/" + v.Cluster + "/" + v.Name }

func noService() error { return wire.Errorf("ServiceNotFoundException", "Service not found.") }

// list are the services of a cluster by name, or those of all clusters.
func (s *Service) list(ctx context.Context, region, cluster string) ([]service, error) {
	prefix := region + "/"
	if cluster != "" {
		prefix += cluster + "/"
	}
	var out []service
	for e, err := range s.services.All(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Doc)
	}
	return out, nil
}

// groups are the region's server groups, which are not asked for where there are no services.
func (s *Service) groups(ctx context.Context, region string, services int) ([]cloud.ServerGroup, error) {
	if services == 0 {
		return nil, nil
	}
	return s.Groups.List(ctx, region, "")
}

// launchable is a definition that may be run, with what overrides says, and what it runs now.
func (s *Service) launchable(ctx context.Context, region, name string, network, overrides object) (definition, launch, error) {
	d, err := s.definition(ctx, region, name)
	switch {
	case problem.CodeOf(err) == problem.NotFound:
		return d, launch{}, refusal("TaskDefinition not found.")
	case err != nil:
		return d, launch{}, err
	case d.Status != active:
		return d, launch{}, refusal("TaskDefinition is inactive")
	case d.Data.Text("networkMode") == "awsvpc" && network.Inner("awsvpcConfiguration") == nil:
		return d, launch{}, invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	case d.Data.Text("networkMode") != "awsvpc" && network.Inner("awsvpcConfiguration") != nil:
		return d, launch{}, invalid("Network Configuration is not valid for the given networkMode of this task definition.")
	}
	if d, err = override(d, overrides); err != nil {
		return d, launch{}, err
	}
	l, err := s.resolve(ctx, region, d, network)
	return d, l, err
}

// configure sets what a request says of how a service is deployed.
func (v *service) configure(in object) error {
	c := in.Inner("deploymentConfiguration")
	v.Least, v.Most = c.Number("minimumHealthyPercent", v.Least), c.Number("maximumPercent", v.Most)
	if c.Has("deploymentCircuitBreaker") {
		v.Breaker, v.Rollback = c.Inner("deploymentCircuitBreaker").Is("enable"), c.Inner("deploymentCircuitBreaker").Is("rollback")
	}
	switch {
	case v.Least < 0 || v.Least > 100:
		return invalid("minimumHealthyPercent must be between 0 and 100.")
	case v.Most < 100:
		return invalid("maximumPercent must be at least 100.")
	case v.Least == 100 && v.Most == 100:
		return invalid("Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.")
	case v.Rollback && !v.Breaker:
		return invalid("Rollback cannot be enabled if deploymentCircuitBreaker is not enabled.")
	}
	v.Kept = v.Kept.With(in.Only(keptMembers...).Clone())
	v.Desired = in.Number("desiredCount", v.Desired)
	if v.Desired < 0 || v.Desired > mostTasks {
		return invalid("desiredCount must be between 0 and %d.", mostTasks)
	}
	return nil
}

// mostTasks is how many tasks a service may have, as at AWS.
const mostTasks = 5000

// keptMembers are members of a service that are returned as they were given.
var keptMembers = []string{"launchType", "platformVersion", "networkConfiguration", "placementStrategy", "healthCheckGracePeriodSeconds", "enableECSManagedTags", "propagateTags", "capacityProviderStrategy", "loadBalancers"}

func (s *Service) createService(ctx context.Context, c *wire.Call, in object) (object, error) {
	name, cluster := in.Text("serviceName"), clusterOf(in, "cluster")
	if !plainName(name) {
		return nil, invalid("Service name contains invalid characters. It may hold up to 255 letters, digits, - and _.")
	}
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	if err := checkService(in); err != nil {
		return nil, err
	}
	if in.Text("taskDefinition") == "" {
		return nil, invalid("Task definition can not be blank.")
	}
	now := s.Now().UTC()
	v := service{Name: name, Cluster: cluster, Status: active, Created: now, By: c.Caller, Token: cmp.Or(in.Text("clientToken"), c.Token), Request: digest(in), Least: 100, Most: 200, Tags: tagsOf(in)}
	if err := v.configure(in); err != nil {
		return nil, err
	}
	d, l, err := s.launchable(ctx, c.Region, in.Text("taskDefinition"), in.Inner("networkConfiguration"), nil)
	if err == nil {
		err = s.checkBalancers(ctx, c.Region, in, d)
	}
	if err != nil {
		return nil, err
	}
	others, err := s.list(ctx, c.Region, "")
	if err != nil {
		return nil, err
	}
	v.Fleet = carry.ClusterName(fleetPrefix, cluster+"-"+name, func(fleet string) bool {
		return slices.ContainsFunc(others, func(o service) bool { return o.Fleet == fleet && (o.Cluster != cluster || o.Name != name) })
	})
	if _, err := s.Groups.List(ctx, c.Region, v.Fleet); err != nil { // a region that is unreachable makes nothing
		return nil, err
	}
	v.deploy(d.name(), l, now)
	v.Untold = targetGroups(v.Kept)
	made := false
	kept, err := s.services.Put(ctx, serviceKey(c.Region, v), func(have *service) error {
		made = false
		switch {
		case have.Status == draining:
			return invalid("Unable to Start a service that is still Draining.")
		case have.Status == active && v.Token != "" && have.Token == v.Token && have.Request == v.Request:
			return nil
		case have.Status == active:
			return invalid("Creation of service was not idempotent.")
		}
		*have, made = v, true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if kept, err = s.settle(ctx, c.Region, serviceKey(c.Region, kept)); err != nil {
		return nil, err
	}
	if first := kept.Deployments; made && len(first) == 1 && first[0].State == failed && first[0].Group == "" { // the region will never make it
		if err := s.services.Delete(ctx, serviceKey(c.Region, kept), kept.same); err != nil {
			return nil, err
		}
		return nil, refusal("%s", strings.TrimPrefix(first[0].Reason, "ECS deployment failed: "))
	}
	told, err := s.tellService(ctx, c.Region, kept, true)
	return object{"service": told}, err
}

// update changes a service that is active.
func (s *Service) update(ctx context.Context, region, cluster, name string, change func(*service) error) (service, error) {
	if _, err := s.cluster(ctx, region, cluster); err != nil {
		return service{}, err
	}
	v, err := s.services.Update(ctx, region+"/"+cluster+"/"+name, func(v *service) error {
		if v.Status != active {
			return wire.Errorf("ServiceNotActiveException", "Service was not ACTIVE.")
		}
		return change(v)
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = noService()
	}
	if err != nil {
		return v, err
	}
	return s.settle(ctx, region, serviceKey(region, v))
}

func (s *Service) updateService(ctx context.Context, c *wire.Call, in object) (object, error) {
	name, cluster := last(in.Text("service")), clusterOf(in, "cluster")
	if err := checkService(in); err != nil {
		return nil, err
	}
	have, err := s.services.Get(ctx, c.Region+"/"+cluster+"/"+name)
	if err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	network := in.Inner("networkConfiguration")
	if network == nil {
		network = have.Kept.Inner("networkConfiguration")
	}
	again := in.Is("forceNewDeployment") || in.Has("networkConfiguration") || in.Has("loadBalancers")
	named := in.Text("taskDefinition")
	var d definition
	var l launch
	if err == nil && (named != "" || again) { // of a service that is not there the update says so
		if d, l, err = s.launchable(ctx, c.Region, cmp.Or(named, have.Definition), network, nil); err == nil {
			err = s.checkBalancers(ctx, c.Region, have.Kept.With(in.Only("loadBalancers")), d)
		}
		if err != nil {
			return nil, err
		}
	}
	v, err := s.update(ctx, c.Region, cluster, name, func(v *service) error {
		before := targetGroups(v.Kept)
		if err := v.configure(in); err != nil {
			return err
		}
		if in.Has("loadBalancers") {
			v.Untold = slices.Concat(v.Untold, before, targetGroups(v.Kept))
		}
		if again || named != "" && d.name() != v.Definition {
			v.deploy(d.name(), l, s.Now())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	told, err := s.tellService(ctx, c.Region, v, true)
	return object{"service": told}, err
}

func (s *Service) deleteService(ctx context.Context, c *wire.Call, in object) (object, error) {
	name, cluster := last(in.Text("service")), clusterOf(in, "cluster")
	if v, err := s.services.Get(ctx, c.Region+"/"+cluster+"/"+name); err == nil && v.Status == draining { // it is being deleted
		told, err := s.tellService(ctx, c.Region, v, true)
		return object{"service": told}, err
	}
	v, err := s.update(ctx, c.Region, cluster, name, func(v *service) error {
		if v.Desired > 0 && !in.Is("force") {
			return invalid("The service cannot be stopped while it is scaled above 0.")
		}
		v.Status, v.Desired, v.Steady = draining, 0, false
		v.Untold = append(v.Untold, targetGroups(v.Kept)...)
		for n := range v.Deployments {
			if d := &v.Deployments[n]; !d.Ending {
				d.Ending = true
				v.ask("destroy", d, 0)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	told, err := s.tellService(ctx, c.Region, v, true)
	return object{"service": told}, err
}

func (s *Service) listServices(ctx context.Context, c *wire.Call, in object) (object, error) {
	cluster := clusterOf(in, "cluster")
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	list, err := s.list(ctx, c.Region, cluster)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, v := range list {
		kind := in.Text("launchType")
		if v.Status != inactive && (kind == "" || kind == v.launchType()) && in.Text("schedulingStrategy") != "DAEMON" {
			all = append(all, s.serviceARN(c.Region, v))
		}
	}
	slices.Sort(all)
	in = in.With(object{"maxResults": in.Number("maxResults", 10)})
	return page(in, "serviceArns", all)
}

func (s *Service) serviceARN(region string, v service) string {
	return s.arn(region, "service/"+v.Cluster+"/"+v.Name)
}

// launchType is the launch type of a service's tasks: EC2 where none was named, as at AWS.
func (v service) launchType() string {
	switch {
	case len(v.Kept.Objects("capacityProviderStrategy")) > 0:
		return "FARGATE"
	}
	return cmp.Or(v.Kept.Text("launchType"), "EC2")
}
