package elbv2

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/ec2"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/control"
	"showrunner/problem"
)

type object = wire.Object

// Attached are the clusters whose instances are a target group's without being
// registered one by one, such as those of an Auto Scaling group.
type Attached func(ctx context.Context, region, targetGroup string) (clusters []string, err error)

// Config is what the service needs.
type Config struct {
	Records  state.Records
	Groups   *control.Groups
	EC2      *ec2.Service
	Attached []Attached
	Regions  []string
	Account  string
	// Edge is where people reach the regions, host:port.
	Edge string
	Log  *slog.Logger
	Now  func() time.Time
}

// Service is Elastic Load Balancing.
type Service struct {
	Config
	balancers state.Collection[balancer]
	targets   state.Collection[targetGroup]
}

// New makes the service.
func New(c Config) *Service {
	return &Service{Config: c, balancers: state.New[balancer](c.Records, "aws.elbv2.balancers"), targets: state.New[targetGroup](c.Records, "aws.elbv2.targets")}
}

// Service is the operations of Elastic Load Balancing that are served.
func (s *Service) Service() wire.Service {
	o := map[string]wire.Handler{}
	for name, f := range map[string]wire.ObjectFunc{
		"CreateLoadBalancer": s.createBalancer, "DescribeLoadBalancers": s.describeBalancers, "DeleteLoadBalancer": s.deleteBalancer,
		"DescribeLoadBalancerAttributes": s.describeBalancerAttributes, "ModifyLoadBalancerAttributes": s.modifyBalancerAttributes,
		"SetSecurityGroups": s.setSecurityGroups, "SetSubnets": s.setSubnets, "SetIpAddressType": s.setAddressType,
		"CreateListener": s.createListener, "DescribeListeners": s.describeListeners, "ModifyListener": s.modifyListener, "DeleteListener": s.deleteListener,
		"CreateRule": s.createRule, "DescribeRules": s.describeRules, "ModifyRule": s.modifyRule, "DeleteRule": s.deleteRule, "SetRulePriorities": s.setPriorities,
		"CreateTargetGroup": s.createTargets, "DescribeTargetGroups": s.describeTargets, "ModifyTargetGroup": s.modifyTargets, "DeleteTargetGroup": s.deleteTargets,
		"DescribeTargetGroupAttributes": s.describeTargetAttributes, "ModifyTargetGroupAttributes": s.modifyTargetAttributes,
		"RegisterTargets": s.register, "DeregisterTargets": s.deregister, "DescribeTargetHealth": s.describeHealth,
		"AddTags": s.addTags, "RemoveTags": s.removeTags, "DescribeTags": s.describeTags, "DescribeAccountLimits": limits,
	} {
		o[name] = wire.HandleObject(f)
	}
	// Listeners with certificates cannot be made here.
	o["DescribeSSLPolicies"] = wire.Always(object{"SslPolicies": []any{}})
	o["DescribeListenerCertificates"] = wire.Always(object{"Certificates": []any{}})
	o["DescribeTrustStores"] = wire.Always(object{"TrustStores": []any{}})
	return wire.Service{Name: "elasticloadbalancingv2", Invalid: "ValidationError", Operations: o}
}

func invalid(format string, args ...any) error {
	return wire.Errorf("ValidationError", format, args...)
}

func unsupported(what string) error {
	return invalid("This cannot be had here: %s", what)
}

func newHex() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

func (s *Service) arn(region, rest string) string {
	return "arn:aws:elasticloadbalancing:" + region + ":" + s.Account + ":" + rest
}

// answer is one page of a list as an answer's member.
func answer(in object, member string, all []object, key func(object) string) (object, error) {
	paging := wire.Paging{Token: "Marker", Most: "PageSize", Least: 1, Greatest: 400,
		BadToken: func(string) error { return invalid("Invalid marker") },
		BadCount: func(v string) error { return invalid("Page size '%s' must be between 1 and 400", v) }}
	out, next, err := wire.Cut(paging, in, all, key)
	return object{member: wire.List(out)}.With(object{"NextMarker": next}), err
}

func by(member string) func(object) string { return func(o object) string { return o.Text(member) } }

// attribute is the value of an attribute, as it was set or by default.
func attributes(set, otherwise map[string]string) []any {
	all := maps.Clone(otherwise)
	maps.Copy(all, set)
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, object{"Key": k, "Value": all[k]})
	}
	return out
}

// setAttributes are the attributes of a request; those that are not known are refused.
func setAttributes(in object, have, known map[string]string) (map[string]string, error) {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	for _, a := range in.Objects("Attributes") {
		if _, ok := known[a.Text("Key")]; !ok {
			return nil, wire.Errorf("InvalidConfigurationRequest", "The attribute %s is not known here", a.Text("Key"))
		}
		out[a.Text("Key")] = a.Text("Value")
	}
	return out, nil
}

// tagsIn are the tags of a request.
func tagsIn(in object) map[string]string {
	out := map[string]string{}
	for _, t := range in.Objects("Tags") {
		out[t.Text("Key")] = t.Text("Value")
	}
	return out
}

func tagList(tags map[string]string) []any {
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, object{"Key": k, "Value": tags[k]})
	}
	return out
}

// tagged finds the tags of a resource, and changes them with change when that is not nil.
func (s *Service) tagged(ctx context.Context, region, arn string, change func(map[string]string)) (tags map[string]string, err error) {
	edit := func(have map[string]string) map[string]string {
		out := maps.Clone(have)
		if out == nil {
			out = map[string]string{}
		}
		if change != nil {
			change(out)
		}
		return out
	}
	if strings.Contains(arn, ":targetgroup/") {
		t, err := s.changeTargets(ctx, region, arn, func(t *targetGroup) error { t.Tags = edit(t.Tags); return nil })
		return t.Tags, err
	}
	b, err := s.changeBalancer(ctx, region, arn, func(b *balancer) error {
		l, r := b.find(arn)
		switch {
		case r != nil:
			r.Tags = edit(r.Tags)
			tags = r.Tags
		case l != nil:
			l.Tags = edit(l.Tags)
			tags = l.Tags
		case b.ARN == arn:
			b.Tags = edit(b.Tags)
			tags = b.Tags
		default:
			return missing(arn)
		}
		return nil
	})
	_ = b
	return tags, err
}

func (s *Service) addTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	for _, arn := range in.Texts("ResourceArns") {
		if _, err := s.tagged(ctx, c.Region, arn, func(tags map[string]string) { maps.Copy(tags, tagsIn(in)) }); err != nil {
			return nil, err
		}
	}
	return object{}, nil
}

func (s *Service) removeTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	for _, arn := range in.Texts("ResourceArns") {
		_, err := s.tagged(ctx, c.Region, arn, func(tags map[string]string) {
			for _, k := range in.Texts("TagKeys") {
				delete(tags, k)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return object{}, nil
}

func (s *Service) describeTags(ctx context.Context, c *wire.Call, in object) (object, error) {
	out := []any{}
	for _, arn := range in.Texts("ResourceArns") {
		tags, err := s.tagged(ctx, c.Region, arn, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, object{"ResourceArn": arn, "Tags": tagList(tags)})
	}
	return object{"TagDescriptions": out}, nil
}

// groupsPerRule is how many target groups a rule may forward to.
const groupsPerRule = 5

func limits(context.Context, *wire.Call, object) (object, error) {
	out := []any{}
	for _, l := range []struct {
		name string
		most int
	}{{"application-load-balancers", 50}, {"target-groups", 3000}, {"listeners-per-application-load-balancer", 50}, {"rules-per-application-load-balancer", 100}, {"target-groups-per-action-on-application-load-balancer", groupsPerRule}} {
		out = append(out, object{"Name": l.name, "Max": fmt.Sprint(l.most)})
	}
	return object{"Limits": out}, nil
}

// missing is the error of an ARN of nothing.
func missing(arn string) error {
	switch {
	case strings.Contains(arn, ":targetgroup/"):
		return wire.Errorf("TargetGroupNotFound", "One or more target groups not found")
	case strings.Contains(arn, ":listener/"):
		return wire.Errorf("ListenerNotFound", "One or more listeners not found")
	case strings.Contains(arn, ":listener-rule/"):
		return wire.Errorf("RuleNotFound", "One or more rules not found")
	}
	return wire.Errorf("LoadBalancerNotFound", "One or more load balancers not found")
}

// edgePort is the port at which people reach the regions.
func (s *Service) edgePort() string {
	_, port, err := net.SplitHostPort(s.Edge)
	if err != nil {
		return "80"
	}
	return port
}

// Run has the regions told what is recorded and was not told, every so often until
// ctx ends.
func (s *Service) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := s.Carry(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("carrying on with load balancers", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Carry does once what Run does.
func (s *Service) Carry(ctx context.Context) error {
	var failed error
	for e, err := range s.balancers.All(ctx, "") {
		if err != nil {
			return err
		}
		region, _, _ := strings.Cut(e.Key, "/")
		if err := s.carry(ctx, region, e.Doc); err != nil {
			failed = err
		}
	}
	return failed
}

// carry tells the region what a load balancer is, when that is not told yet.
func (s *Service) carry(ctx context.Context, region string, b balancer) error {
	for b.Told < b.Generation || b.Deleting {
		key := fmt.Sprintf("aws.elbv2/%s/%d", b.Host, b.Generation)
		var err error
		if b.Deleting {
			err = s.Groups.RemoveLoadBalancer(ctx, region, b.Host, key+"/remove")
		} else {
			err = s.tell(ctx, region, b, key)
		}
		if problem.CodeOf(err) == problem.Conflict { // what was asked for under the key before a crash was another thing
			if b, err = s.balancers.Update(ctx, region+"/"+b.ARN, func(b *balancer) error { b.Generation++; return nil }); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if b.Deleting {
			err := s.balancers.Delete(ctx, region+"/"+b.ARN, nil)
			if problem.CodeOf(err) == problem.NotFound {
				err = nil
			}
			return err
		}
		told := b.Generation
		if b, err = s.balancers.Update(ctx, region+"/"+b.ARN, func(b *balancer) error { b.Told = max(b.Told, told); return nil }); err != nil {
			if problem.CodeOf(err) == problem.NotFound {
				return nil
			}
			return err
		}
	}
	return nil
}

// later has what cannot be told now told later.
func later(err error) error {
	if problem.CodeOf(err) == problem.Unavailable {
		return nil
	}
	return err
}

// CheckTargetGroup refuses a target group that is not there.
func (s *Service) CheckTargetGroup(ctx context.Context, region, arn string) error {
	_, err := s.target(ctx, region, arn)
	return err
}

// Changed has the regions told what is a target group's by now.
func (s *Service) Changed(ctx context.Context, region string, arns []string) error {
	for e, err := range s.balancers.All(ctx, region+"/") {
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(arns, e.Doc.uses) || e.Doc.Deleting {
			continue
		}
		b, err := s.balancers.Update(ctx, e.Key, func(b *balancer) error { b.Generation++; return nil })
		if err == nil {
			err = later(s.carry(ctx, region, b))
		}
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}

func first[T cmp.Ordered](values ...T) T { return cmp.Or(values...) }
