package elbv2

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// balancer is a load balancer with its listeners: one record, so that the region is
// told of it as a whole.
type balancer struct {
	ARN        string            `json:"arn"`
	Name       string            `json:"name"`
	Host       string            `json:"host"` // its first label and the rest, without .localhost
	Scheme     string            `json:"scheme"`
	VPC        string            `json:"vpc"`
	Subnets    []place           `json:"subnets"`
	Groups     []string          `json:"groups"` // security groups
	Created    time.Time         `json:"created"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Listeners  []*listener       `json:"listeners,omitempty"`
	// Generation counts the changes that the region has to know of, Told those that it does.
	Generation int  `json:"generation"`
	Told       int  `json:"told"`
	Deleting   bool `json:"deleting,omitempty"`
}

// place is a subnet with its zone.
type place struct {
	Subnet string `json:"subnet"`
	Zone   string `json:"zone"`
}

// listener is a port of a load balancer.
type listener struct {
	ARN     string            `json:"arn"`
	Port    int               `json:"port"`
	Default []object          `json:"default"` // actions
	Rules   []*rule           `json:"rules,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
}

// rule is one of a listener's, beside its default.
type rule struct {
	ARN        string            `json:"arn"`
	Priority   int               `json:"priority"`
	Conditions []object          `json:"conditions"`
	Actions    []object          `json:"actions"`
	Tags       map[string]string `json:"tags,omitempty"`
}

// find is the listener, or the listener and the rule, of an ARN.
func (b *balancer) find(arn string) (*listener, *rule) {
	for _, l := range b.Listeners {
		if l.ARN == arn {
			return l, nil
		}
		for _, r := range l.Rules {
			if r.ARN == arn {
				return l, r
			}
		}
		if l.defaultRule() == arn {
			return l, nil
		}
	}
	return nil, nil
}

// defaultRule is the ARN of a listener's default rule.
func (l *listener) defaultRule() string {
	return strings.Replace(l.ARN, ":listener/", ":listener-rule/", 1) + "/default"
}

// uses says whether a rule of the load balancer forwards to a target group.
func (b balancer) uses(targetGroup string) bool {
	return slices.Contains(b.groups(), targetGroup)
}

// groups are the target groups that the load balancer forwards to.
func (b balancer) groups() []string {
	var out []string
	for _, l := range b.Listeners {
		actions := slices.Clone(l.Default)
		for _, r := range l.Rules {
			actions = append(actions, r.Actions...)
		}
		for _, a := range actions {
			for _, share := range shares(a) {
				if !slices.Contains(out, share.Text("TargetGroupArn")) {
					out = append(out, share.Text("TargetGroupArn"))
				}
			}
		}
	}
	return out
}

// balancerAttributes are the attributes of a load balancer that are kept; none of
// them changes anything here.
var balancerAttributes = map[string]string{
	"access_logs.s3.enabled": "false", "access_logs.s3.bucket": "", "access_logs.s3.prefix": "", "connection_logs.s3.enabled": "false", "connection_logs.s3.bucket": "", "connection_logs.s3.prefix": "",
	"deletion_protection.enabled": "false", "idle_timeout.timeout_seconds": "60", "client_keep_alive.seconds": "3600", "routing.http.desync_mitigation_mode": "defensive", "routing.http.drop_invalid_header_fields.enabled": "false",
	"routing.http.preserve_host_header.enabled": "true", "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false", "routing.http.xff_client_port.enabled": "false",
	"routing.http.xff_header_processing.mode": "append", "routing.http2.enabled": "true", "waf.fail_open.enabled": "false", "load_balancing.cross_zone.enabled": "true", "zonal_shift.config.enabled": "false",
}

var balancerName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$`)

func (s *Service) told(b balancer) object {
	zones := []any{}
	for _, p := range b.Subnets {
		zones = append(zones, object{"ZoneName": p.Zone, "SubnetId": p.Subnet, "LoadBalancerAddresses": []any{}})
	}
	return object{"LoadBalancerArn": b.ARN, "LoadBalancerName": b.Name, "DNSName": b.Host + ".localhost:" + s.edgePort(), "CanonicalHostedZoneId": "Z35SXDOTRQ7X7K", "CreatedTime": b.Created, "Scheme": b.Scheme,
		"VpcId": b.VPC, "State": object{"Code": "active"}, "Type": "application", "AvailabilityZones": zones, "SecurityGroups": wire.List(b.Groups), "IpAddressType": "ipv4"}
}

// balancer finds a load balancer by an ARN of it, its listeners or rules.
func (s *Service) balancer(ctx context.Context, region, arn string) (balancer, error) {
	id := arn
	for _, kind := range []string{":listener/", ":listener-rule/"} {
		if prefix, rest, found := strings.Cut(arn, kind); found {
			parts := strings.Split(rest, "/")
			if len(parts) < 3 {
				return balancer{}, missing(arn)
			}
			id = prefix + ":loadbalancer/" + strings.Join(parts[:3], "/")
		}
	}
	b, err := s.balancers.Get(ctx, region+"/"+id)
	if problem.CodeOf(err) == problem.NotFound || err == nil && b.Deleting {
		return b, missing(arn)
	}
	return b, err
}

// changeBalancer updates the load balancer of an ARN.
func (s *Service) changeBalancer(ctx context.Context, region, arn string, change func(*balancer) error) (balancer, error) {
	b, err := s.balancer(ctx, region, arn)
	if err != nil {
		return b, err
	}
	b, err = s.balancers.Update(ctx, region+"/"+b.ARN, func(b *balancer) error {
		if b.Deleting {
			return missing(arn)
		}
		return change(b)
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = missing(arn)
	}
	return b, err
}

// reroute is changeBalancer for a change that the region has to know of.
func (s *Service) reroute(ctx context.Context, region, arn string, change func(*balancer) error) (balancer, error) {
	b, err := s.changeBalancer(ctx, region, arn, func(b *balancer) error {
		b.Generation++
		return change(b)
	})
	if err != nil {
		return b, err
	}
	return b, later(s.carry(ctx, region, b))
}

func (s *Service) createBalancer(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := in.Text("Name")
	scheme := first(in.Text("Scheme"), "internet-facing")
	switch kind := first(in.Text("Type"), "application"); {
	case kind != "application":
		return nil, unsupported("a load balancer of the type " + kind + ": the region's load balancer carries HTTP")
	case !balancerName.MatchString(name) || strings.HasPrefix(name, "internal-"):
		return nil, invalid("The load balancer name '%s' can only contain characters that are alphanumeric characters and hyphens(-), and must not begin with 'internal-'", name)
	case in.Text("IpAddressType") != "" && in.Text("IpAddressType") != "ipv4":
		return nil, unsupported("the address type " + in.Text("IpAddressType"))
	}
	vpc, places, err := s.places(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	if len(places) < 2 {
		return nil, invalid("At least two subnets in two different Availability Zones must be specified")
	}
	if err := s.checkGroups(ctx, c.Region, in); err != nil {
		return nil, err
	}
	id := newHex()
	b := balancer{Name: name, ARN: s.arn(c.Region, "loadbalancer/app/"+name+"/"+id), Scheme: scheme, VPC: vpc, Subnets: places, Groups: in.Texts("SecurityGroups"), Created: s.Now().UTC(), Tags: tagsIn(in), Generation: 1,
		Host: strings.ToLower(name) + "-" + id[:10] + "." + c.Region + ".elb"}
	if scheme == "internal" {
		b.Host = "internal-" + b.Host
	}
	for e, err := range s.balancers.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Name != name || e.Doc.Deleting {
			continue
		}
		if e.Doc.Scheme == scheme && slices.Equal(e.Doc.Subnets, places) { // the same again is the same one
			return object{"LoadBalancers": []any{s.told(e.Doc)}}, nil
		}
		return nil, wire.Errorf("DuplicateLoadBalancerName", "A load balancer with the same name '%s' exists, but with different settings", name)
	}
	if err := s.balancers.Create(ctx, c.Region+"/"+b.ARN, b); err != nil {
		return nil, err
	}
	o := s.told(b)
	o["State"] = object{"Code": "provisioning"}
	return object{"LoadBalancers": []any{o}}, later(s.carry(ctx, c.Region, b))
}

// places are the subnets of a request, in different zones of one VPC.
func (s *Service) places(ctx context.Context, region string, in object) (vpc string, out []place, err error) {
	ids := in.Texts("Subnets")
	for _, m := range in.Objects("SubnetMappings") {
		ids = append(ids, m.Text("SubnetId"))
	}
	for _, id := range ids {
		zone, in, err := s.EC2.Subnet(ctx, region, id)
		var e *wire.Error
		if errors.As(err, &e) {
			return "", nil, wire.Errorf("SubnetNotFound", "%s", e.Message)
		}
		if err != nil {
			return "", nil, err
		}
		switch {
		case vpc != "" && vpc != in:
			return "", nil, wire.Errorf("InvalidSubnet", "The subnets are of different VPCs")
		case slices.ContainsFunc(out, func(p place) bool { return p.Zone == zone }):
			return "", nil, wire.Errorf("InvalidConfigurationRequest", "A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		}
		vpc = in
		out = append(out, place{id, zone})
	}
	slices.SortFunc(out, func(a, b place) int { return strings.Compare(a.Zone, b.Zone) })
	return vpc, out, nil
}

func (s *Service) describeBalancers(ctx context.Context, c *wire.Call, in object) (object, error) {
	arns, names := in.Texts("LoadBalancerArns"), in.Texts("Names")
	var all []object
	for e, err := range s.balancers.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		b := e.Doc
		if !b.Deleting && (len(arns)+len(names) == 0 || slices.Contains(arns, b.ARN) || slices.Contains(names, b.Name)) {
			all = append(all, s.told(b))
		}
	}
	for _, arn := range arns {
		if !slices.ContainsFunc(all, func(o object) bool { return o.Text("LoadBalancerArn") == arn }) {
			return nil, wire.Errorf("LoadBalancerNotFound", "Load balancer '%s' not found", arn)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(o object) bool { return o.Text("LoadBalancerName") == name }) {
			return nil, wire.Errorf("LoadBalancerNotFound", "Load balancers '[%s]' not found", name)
		}
	}
	return answer(in, "LoadBalancers", all, by("LoadBalancerArn"))
}

func (s *Service) deleteBalancer(ctx context.Context, c *wire.Call, in object) (object, error) {
	b, err := s.balancers.Update(ctx, c.Region+"/"+in.Text("LoadBalancerArn"), func(b *balancer) error {
		if b.Attributes["deletion_protection.enabled"] == "true" {
			return wire.Errorf("OperationNotPermitted", "Load balancer '%s' cannot be deleted because deletion protection is enabled", b.ARN)
		}
		b.Deleting = true
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		return object{}, nil // as AWS: what is not there is deleted
	}
	if err != nil {
		return nil, err
	}
	return object{}, later(s.carry(ctx, c.Region, b))
}

func (s *Service) describeBalancerAttributes(ctx context.Context, c *wire.Call, in object) (object, error) {
	b, err := s.balancer(ctx, c.Region, in.Text("LoadBalancerArn"))
	return object{"Attributes": attributes(b.Attributes, balancerAttributes)}, err
}

func (s *Service) modifyBalancerAttributes(ctx context.Context, c *wire.Call, in object) (object, error) {
	b, err := s.changeBalancer(ctx, c.Region, in.Text("LoadBalancerArn"), func(b *balancer) (err error) {
		b.Attributes, err = setAttributes(in, b.Attributes, balancerAttributes)
		return err
	})
	return object{"Attributes": attributes(b.Attributes, balancerAttributes)}, err
}

// checkGroups refuses security groups that are not there.
func (s *Service) checkGroups(ctx context.Context, region string, in object) error {
	for _, id := range in.Texts("SecurityGroups") {
		switch err := s.EC2.SecurityGroup(ctx, region, id); {
		case strings.HasPrefix(wire.CodeOf(err), "InvalidGroup"):
			return wire.Errorf("InvalidSecurityGroup", "The security group '%s' does not exist", id)
		case err != nil:
			return err
		}
	}
	return nil
}

// setAddressType takes the one type of addresses that there is here.
func (s *Service) setAddressType(ctx context.Context, c *wire.Call, in object) (object, error) {
	if kind := in.Text("IpAddressType"); kind != "ipv4" {
		return nil, unsupported("the address type " + kind + "; there is ipv4")
	}
	_, err := s.changeBalancer(ctx, c.Region, in.Text("LoadBalancerArn"), func(*balancer) error { return nil })
	return object{"IpAddressType": "ipv4"}, err
}

func (s *Service) setSecurityGroups(ctx context.Context, c *wire.Call, in object) (object, error) {
	if err := s.checkGroups(ctx, c.Region, in); err != nil {
		return nil, err
	}
	b, err := s.changeBalancer(ctx, c.Region, in.Text("LoadBalancerArn"), func(b *balancer) error {
		b.Groups = in.Texts("SecurityGroups")
		return nil
	})
	return object{"SecurityGroupIds": wire.List(b.Groups)}, err
}

func (s *Service) setSubnets(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, places, err := s.places(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	b, err := s.changeBalancer(ctx, c.Region, in.Text("LoadBalancerArn"), func(b *balancer) error {
		b.Subnets = places
		return nil
	})
	return s.told(b).Only("AvailabilityZones", "IpAddressType"), err
}
