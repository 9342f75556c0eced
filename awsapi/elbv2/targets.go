package elbv2

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

// targetGroup is what rules forward to: instances that are registered, and those of
// clusters that are attached.
type targetGroup struct {
	ARN        string            `json:"arn"`
	Name       string            `json:"name"`
	Data       object            `json:"data"` // as it is described
	Attributes map[string]string `json:"attributes,omitempty"`
	Targets    []target          `json:"targets,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Created    time.Time         `json:"created"`
}

// target is one that is registered.
type target struct {
	ID   string `json:"id"` // an instance's identifier or address
	Port int    `json:"port"`
}

// targetAttributes are the attributes of a target group. Stickiness is carried out,
// the others are kept.
var targetAttributes = map[string]string{
	"deregistration_delay.timeout_seconds": "300", "stickiness.enabled": "false", "stickiness.type": "lb_cookie", "stickiness.lb_cookie.duration_seconds": "86400",
	"stickiness.app_cookie.cookie_name": "", "stickiness.app_cookie.duration_seconds": "86400", "slow_start.duration_seconds": "0", "load_balancing.algorithm.type": "round_robin",
	"load_balancing.algorithm.anomaly_mitigation": "off", "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
	"target_group_health.dns_failover.minimum_healthy_targets.count": "1", "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
	"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1", "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
}

func (s *Service) target(ctx context.Context, region, arn string) (targetGroup, error) {
	t, err := s.targets.Get(ctx, region+"/"+arn)
	if problem.CodeOf(err) == problem.NotFound {
		err = wire.Errorf("TargetGroupNotFound", "One or more target groups not found")
	}
	return t, err
}

func (s *Service) changeTargets(ctx context.Context, region, arn string, change func(*targetGroup) error) (targetGroup, error) {
	if _, err := s.target(ctx, region, arn); err != nil {
		return targetGroup{}, err
	}
	return s.targets.Update(ctx, region+"/"+arn, change)
}

// checks are the members of a health check, with their defaults.
var checks = object{"HealthCheckEnabled": true, "HealthCheckIntervalSeconds": 30, "HealthCheckPath": "/", "HealthCheckPort": "traffic-port", "HealthCheckProtocol": "HTTP", "HealthCheckTimeoutSeconds": 5,
	"HealthyThresholdCount": 5, "UnhealthyThresholdCount": 2}

func (s *Service) createTargets(ctx context.Context, c *wire.Call, in object) (object, error) {
	name, kind := in.Text("Name"), first(in.Text("TargetType"), "instance")
	switch protocol := first(in.Text("Protocol"), "HTTP"); {
	case !balancerName.MatchString(name):
		return nil, invalid("Target group name '%s' can only contain characters that are alphanumeric characters and hyphens(-)", name)
	case kind != "instance" && kind != "ip":
		return nil, unsupported("targets of the type " + kind + "; there are instance and ip")
	case protocol != "HTTP":
		return nil, wire.Errorf("UnsupportedProtocol", "This cannot be had here: the protocol %s of a target group; there is HTTP", protocol)
	case in.Text("ProtocolVersion") != "" && in.Text("ProtocolVersion") != "HTTP1":
		return nil, unsupported("the protocol version " + in.Text("ProtocolVersion") + ": instances are spoken to as they answer")
	case in.Number("Port", 0) < 1 || in.Number("Port", 0) > 65535:
		return nil, invalid("A port must be specified")
	case in.Text("VpcId") == "":
		return nil, invalid("A VPC ID must be specified")
	}
	switch err := s.EC2.VPC(ctx, c.Region, in.Text("VpcId")); {
	case strings.HasPrefix(wire.CodeOf(err), "InvalidVpcID"):
		return nil, invalid("The VPC ID '%s' is not found", in.Text("VpcId"))
	case err != nil:
		return nil, err
	}
	data := checks.Clone()
	for k, v := range in.Only("HealthCheckEnabled", "HealthCheckIntervalSeconds", "HealthCheckPath", "HealthCheckPort", "HealthCheckProtocol", "HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount", "Port", "VpcId") {
		data[k] = v
	}
	data["Matcher"] = object{"HttpCode": first(in.Inner("Matcher").Text("HttpCode"), "200")}
	data["Protocol"], data["ProtocolVersion"], data["TargetType"], data["IpAddressType"] = "HTTP", "HTTP1", kind, "ipv4"
	t := targetGroup{ARN: s.arn(c.Region, "targetgroup/"+name+"/"+newHex()), Name: name, Data: data.Clone(), Created: s.Now().UTC(), Tags: tagsIn(in)}
	for e, err := range s.targets.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Name != name {
			continue
		}
		for k, v := range t.Data {
			if string(mustJSON(e.Doc.Data[k])) != string(mustJSON(v)) {
				return nil, wire.Errorf("DuplicateTargetGroupName", "A target group with the same name '%s' exists, but with different settings", name)
			}
		}
		t = e.Doc
		return object{"TargetGroups": []any{t.told(nil)}}, nil
	}
	if err := s.targets.Create(ctx, c.Region+"/"+t.ARN, t); err != nil {
		return nil, err
	}
	return object{"TargetGroups": []any{t.told(nil)}}, nil
}

func (t targetGroup) told(balancers []string) object {
	return t.Data.With(object{"TargetGroupArn": t.ARN, "TargetGroupName": t.Name, "LoadBalancerArns": wire.List(balancers)})
}

// users are the load balancers that forward to each target group of a region.
func (s *Service) users(ctx context.Context, region string) (map[string][]string, error) {
	out := map[string][]string{}
	for e, err := range s.balancers.All(ctx, region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Deleting {
			continue
		}
		for _, arn := range e.Doc.groups() {
			out[arn] = append(out[arn], e.Doc.ARN)
		}
	}
	return out, nil
}

func (s *Service) describeTargets(ctx context.Context, c *wire.Call, in object) (object, error) {
	users, err := s.users(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	arns, names, balancer := in.Texts("TargetGroupArns"), in.Texts("Names"), in.Text("LoadBalancerArn")
	if balancer != "" {
		if _, err := s.balancer(ctx, c.Region, balancer); err != nil {
			return nil, err
		}
	}
	var all []object
	for e, err := range s.targets.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		t := e.Doc
		named := len(arns)+len(names) == 0 || slices.Contains(arns, t.ARN) || slices.Contains(names, t.Name)
		if named && (balancer == "" || slices.Contains(users[t.ARN], balancer)) {
			all = append(all, t.told(users[t.ARN]))
		}
	}
	if len(all) < len(arns)+len(names) {
		return nil, wire.Errorf("TargetGroupNotFound", "One or more target groups not found")
	}
	return answer(in, "TargetGroups", all, by("TargetGroupArn"))
}

func (s *Service) modifyTargets(ctx context.Context, c *wire.Call, in object) (object, error) {
	t, err := s.changeTargets(ctx, c.Region, in.Text("TargetGroupArn"), func(t *targetGroup) error {
		for k := range checks {
			if in.Has(k) {
				t.Data[k] = in[k]
			}
		}
		if m := in.Inner("Matcher"); m != nil {
			t.Data["Matcher"] = m
		}
		return nil
	})
	return object{"TargetGroups": []any{t.told(nil)}}, err
}

func (s *Service) deleteTargets(ctx context.Context, c *wire.Call, in object) (object, error) {
	arn := in.Text("TargetGroupArn")
	users, err := s.users(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	if len(users[arn]) > 0 {
		return nil, wire.Errorf("ResourceInUse", "Target group '%s' is currently in use by a listener or a rule", arn)
	}
	err = s.targets.Delete(ctx, c.Region+"/"+arn, nil)
	if problem.CodeOf(err) == problem.NotFound {
		err = nil // as AWS: what is not there is deleted
	}
	return object{}, err
}

func (s *Service) describeTargetAttributes(ctx context.Context, c *wire.Call, in object) (object, error) {
	t, err := s.target(ctx, c.Region, in.Text("TargetGroupArn"))
	return object{"Attributes": attributes(t.Attributes, targetAttributes)}, err
}

func (s *Service) modifyTargetAttributes(ctx context.Context, c *wire.Call, in object) (object, error) {
	t, err := s.changeTargets(ctx, c.Region, in.Text("TargetGroupArn"), func(t *targetGroup) (err error) {
		t.Attributes, err = setAttributes(in, t.Attributes, targetAttributes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return object{"Attributes": attributes(t.Attributes, targetAttributes)}, s.Changed(ctx, c.Region, []string{t.ARN})
}

// instances are the processes of a region by what they are registered as: the
// identifier that EC2 tells, or their address.
func (s *Service) instances(ctx context.Context, region string) (map[string]cloud.Instance, []cloud.ServerGroup, error) {
	groups, err := s.Groups.List(ctx, region, "")
	out := map[string]cloud.Instance{}
	for _, g := range groups {
		for _, i := range g.Instances {
			out[i.ID] = i
			if host, _, err := net.SplitHostPort(i.Address); err == nil && host != "127.0.0.1" {
				out[host] = i
			}
			if id, ok := strings.CutPrefix(g.Spec.Cluster, "aws-ec2-"); ok {
				out[id] = i
			}
		}
	}
	return out, groups, err
}

func (s *Service) register(ctx context.Context, c *wire.Call, in object) (object, error) {
	arn := in.Text("TargetGroupArn")
	t, err := s.target(ctx, c.Region, arn)
	if err != nil {
		return nil, err
	}
	known, _, err := s.instances(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for _, d := range in.Objects("Targets") {
		id := d.Text("Id")
		isAddress := net.ParseIP(id) != nil
		if _, there := known[id]; !there || isAddress != (t.Data.Text("TargetType") == "ip") {
			wrong = append(wrong, id)
		}
	}
	if len(wrong) > 0 {
		return nil, wire.Errorf("InvalidTarget", "The following targets are not in a running state and cannot be registered: '%s'", strings.Join(wrong, "', '"))
	}
	_, err = s.changeTargets(ctx, c.Region, arn, func(t *targetGroup) error {
		for _, d := range in.Objects("Targets") {
			made := target{d.Text("Id"), d.Number("Port", t.Data.Number("Port", 80))}
			if !slices.Contains(t.Targets, made) {
				t.Targets = append(t.Targets, made)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{}, s.Changed(ctx, c.Region, []string{arn})
}

func (s *Service) deregister(ctx context.Context, c *wire.Call, in object) (object, error) {
	arn := in.Text("TargetGroupArn")
	_, err := s.changeTargets(ctx, c.Region, arn, func(t *targetGroup) error {
		for _, d := range in.Objects("Targets") {
			t.Targets = slices.DeleteFunc(t.Targets, func(have target) bool {
				return have.ID == d.Text("Id") && (!d.Has("Port") || have.Port == d.Number("Port", 0))
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{}, s.Changed(ctx, c.Region, []string{arn})
}

// clusters are those that are attached to a target group.
func (s *Service) clusters(ctx context.Context, region, arn string) ([]string, error) {
	var out []string
	for _, f := range s.Attached {
		more, err := f(ctx, region, arn)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

func (s *Service) describeHealth(ctx context.Context, c *wire.Call, in object) (object, error) {
	arn := in.Text("TargetGroupArn")
	t, err := s.target(ctx, c.Region, arn)
	if err != nil {
		return nil, err
	}
	users, err := s.users(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	known, groups, err := s.instances(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	clusters, err := s.clusters(ctx, c.Region, arn)
	if err != nil {
		return nil, err
	}
	port := t.Data.Number("Port", 80)
	all := slices.Clone(t.Targets)
	for _, g := range groups {
		if !slices.Contains(clusters, g.Spec.Cluster) {
			continue
		}
		for _, i := range g.Instances {
			one := target{i.ID, port}
			if host, _, err := net.SplitHostPort(i.Address); err == nil && t.Data.Text("TargetType") == "ip" {
				one.ID = host
			}
			if !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	wanted := in.Objects("Targets")
	out := []any{}
	for _, one := range all {
		if len(wanted) > 0 && !slices.ContainsFunc(wanted, func(d object) bool { return d.Text("Id") == one.ID && d.Number("Port", one.Port) == one.Port }) {
			continue
		}
		i, there := known[one.ID]
		d := object{"Id": one.ID, "Port": one.Port, "AvailabilityZone": i.Zone}.With(nil)
		out = append(out, object{"Target": d, "HealthCheckPort": checkPort(t, i, one), "TargetHealth": health(i, there, len(users[arn]) > 0)})
	}
	for _, d := range wanted { // those that are not registered are told all the same
		if !slices.ContainsFunc(all, func(one target) bool { return one.ID == d.Text("Id") }) {
			out = append(out, object{"Target": d, "TargetHealth": object{"State": "unused", "Reason": "Target.NotRegistered", "Description": "Target is not registered to the target group"}})
		}
	}
	return object{"TargetHealthDescriptions": out}, nil
}

// checkPort is where the instance is really asked.
func checkPort(t targetGroup, i cloud.Instance, one target) string {
	if _, port, err := net.SplitHostPort(i.Address); err == nil {
		return port
	}
	return strconv.Itoa(one.Port)
}

// health is a target's: that of the instance, as its region checks it.
func health(i cloud.Instance, there, used bool) object {
	switch {
	case !used:
		return object{"State": "unused", "Reason": "Target.NotInUse", "Description": "Target group is not configured to receive traffic from the load balancer"}
	case !there:
		return object{"State": "unused", "Reason": "Target.InvalidState", "Description": "Target is in the terminated state"}
	case i.Lifecycle == cloud.Terminating || i.Lifecycle == cloud.TerminatingWait:
		return object{"State": "draining", "Reason": "Target.DeregistrationInProgress", "Description": "Target deregistration is in progress"}
	case i.Serving():
		return object{"State": "healthy"}
	case i.Lifecycle == cloud.Pending || i.Lifecycle == cloud.PendingWait:
		return object{"State": "initial", "Reason": "Elb.RegistrationInProgress", "Description": "Target registration is in progress"}
	case i.Lifecycle == cloud.Standby:
		return object{"State": "unused", "Reason": "Target.InvalidState", "Description": "Target is in standby"}
	}
	why := first(i.Probe, "it does not answer")
	return object{"State": "unhealthy", "Reason": "Target.FailedHealthChecks", "Description": "Health checks failed: " + why}
}
