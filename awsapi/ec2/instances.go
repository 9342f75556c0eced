package ec2

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

// states are the states of an instance with AWS's codes.
var states = map[string]int{"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

func stateOf(name string) object { return object{"Name": name, "Code": states[name]} }

// lifecycle is the state of an instance by its lifecycle.
func lifecycle(i cloud.Instance) string {
	switch i.Lifecycle {
	case cloud.Pending:
		return "pending"
	case cloud.Terminating:
		return "shutting-down"
	case cloud.Terminated:
		return "terminated"
	}
	return "running" // it waits in a hook, serves, or is in standby
}

// state is a machine's, by what is wanted of it and what its group has.
func (m machine) state(g *cloud.ServerGroup) string {
	running := g != nil && len(g.Instances) > 0
	switch m.Want {
	case wantTerminate:
		if !m.Ended.IsZero() || g == nil && m.Done {
			return "terminated"
		}
		return "shutting-down"
	case wantStop:
		if running || !m.Done {
			return "stopping"
		}
		return "stopped"
	}
	if running && slices.ContainsFunc(g.Instances, func(i cloud.Instance) bool { return lifecycle(i) == "running" }) {
		return "running"
	}
	return "pending"
}

// current is the process that a machine is now.
func current(g *cloud.ServerGroup) (cloud.Instance, bool) {
	if g == nil || len(g.Instances) == 0 {
		return cloud.Instance{}, false
	}
	at := max(0, slices.IndexFunc(g.Instances, func(i cloud.Instance) bool { return lifecycle(i) == "running" }))
	return g.Instances[at], true
}

// about is what an instance is told with, whatever it belongs to.
type about struct {
	id, reservation, zone, subnet, vpc, state string
	data                                      object
	launched                                  time.Time
	address                                   string
	tags                                      map[string]string
}

// tell is an instance as it is described.
func (s *Service) tell(region string, a about) object {
	kind := cmp.Or(a.data.Text("InstanceType"), defaultType)
	o := object{
		"InstanceId": a.id, "ImageId": a.data.Text("ImageId"), "InstanceType": kind, "KeyName": a.data.Text("KeyName"), "LaunchTime": a.launched.UTC().Truncate(time.Second),
		"State": stateOf(a.state), "Placement": object{"AvailabilityZone": a.zone, "GroupName": "", "Tenancy": "default"}, "Monitoring": object{"State": monitored(a.data)},
		"SubnetId": a.subnet, "VpcId": a.vpc, "Architecture": architecture(), "AmiLaunchIndex": 0, "Hypervisor": "xen", "VirtualizationType": "hvm", "RootDeviceType": "ebs", "RootDeviceName": "/dev/xvda",
		"BlockDeviceMappings": []any{}, "NetworkInterfaces": []any{}, "ProductCodes": []any{}, "EbsOptimized": a.data.Is("EbsOptimized"), "EnaSupport": true, "SourceDestCheck": true, "PlatformDetails": "Linux/UNIX", "UsageOperation": "RunInstances",
		"SecurityGroups": securityGroups(a), "Tags": tagList(a.tags), "ReservationId": a.reservation,
	}
	if arn := a.data.Inner("IamInstanceProfile"); arn != nil {
		name := cmp.Or(arn.Text("Arn"), "arn:aws:iam::"+s.Account+":instance-profile/"+arn.Text("Name"))
		o["IamInstanceProfile"] = object{"Arn": name, "Id": derivedID("AIPA", name)}
	}
	if host, _, err := net.SplitHostPort(a.address); err == nil && a.state != "terminated" && a.state != "stopped" {
		o = o.With(object{"PrivateIpAddress": host, "PublicIpAddress": host, "PublicDnsName": a.address,
			"PrivateDnsName": "ip-" + strings.ReplaceAll(host, ".", "-") + "." + region + ".compute.internal"})
	}
	o["StateTransitionReason"] = ""
	return o
}

func monitored(data object) string {
	if data.Inner("Monitoring").Is("Enabled") {
		return "enabled"
	}
	return "disabled"
}

// securityGroups are an instance's, by identifier: nameGroups names them.
func securityGroups(a about) []any {
	out := []any{}
	for _, id := range groupsOf(a.data) {
		out = append(out, object{"GroupId": id})
	}
	if len(out) == 0 && a.vpc != "" {
		out = append(out, object{"GroupId": defaultGroup(a.vpc)})
	}
	return out
}

// tellMachine is an instance that is run by itself.
func (s *Service) tellMachine(_ context.Context, region string, m machine, g *cloud.ServerGroup, tags map[string]string) object {
	i, _ := current(g)
	state := m.state(g)
	o := s.tell(region, about{m.ID, m.Reservation, m.Zone, m.Subnet, m.VPC, state, m.Data, m.Launched, i.Address, tags})
	o["AmiLaunchIndex"], o["ClientToken"] = m.Index, m.Token
	if m.Reason != "" && (state == "stopping" || state == "stopped" || state == "shutting-down" || state == "terminated") {
		o["StateReason"] = object{"Code": m.Reason, "Message": m.Reason + ": " + m.Why}
		if strings.HasPrefix(m.Reason, "Client.User") {
			o["StateTransitionReason"] = "User initiated (" + m.Changed.UTC().Format("2006-01-02 15:04:05 GMT") + ")"
		}
	}
	return o
}

// tellMember is an instance of a server group that is not an instance by itself.
func (s *Service) tellMember(region string, zones []string, g *cloud.ServerGroup, i cloud.Instance, m Member, tags map[string]string) object {
	state := lifecycle(i)
	subnet := m.Subnets[i.Zone]
	if subnet == "" {
		if at := slices.Index(zones, i.Zone); at >= 0 {
			subnet = DefaultSubnet(region, at)
		}
	}
	data := m.Launch
	if data == nil {
		data = object{}
		if g != nil && g.Spec.Workload.Process != nil {
			data["ImageId"] = imageID(g.Spec.Workload.Process.Artifact, g.Spec.Workload.Process.Command)
		}
	}
	all := map[string]string{}
	if m.Group == "" { // of a pipeline: what it is called on our own side
		all["showrunner:server-group"], all["showrunner:version"] = i.ServerGroup, i.Version
	}
	for _, t := range []map[string]string{m.Tags, tags} {
		for k, v := range t {
			all[k] = v
		}
	}
	o := s.tell(region, about{i.ID, reservationOf(i.ID), i.Zone, subnet, defaultVPC(region), state, data, i.Launched, i.Address, all})
	switch {
	case state == "running" || state == "pending":
	case i.Why != "":
		o["StateReason"] = object{"Code": "Client.UserInitiatedShutdown", "Message": "Client.UserInitiatedShutdown: " + i.Why}
	case i.Failure != nil:
		o["StateReason"] = object{"Code": "Client.InstanceInitiatedShutdown", "Message": "Client.InstanceInitiatedShutdown: " + i.Failure.Cause}
	}
	return o
}

// observe are all instances of a region as they are described, by identifier.
func (s *Service) observe(ctx context.Context, region string) ([]object, error) {
	groups, err := s.Groups.List(ctx, region, "")
	if err != nil {
		return nil, err
	}
	zones, _, err := s.zones(ctx, region)
	if err != nil {
		return nil, err
	}
	tags, err := s.allTags(ctx, region)
	if err != nil {
		return nil, err
	}
	subnets, err := s.subnetVPCs(ctx, region)
	if err != nil {
		return nil, err
	}
	names, err := s.groupNames(ctx, region)
	if err != nil {
		return nil, err
	}
	member := func(string, string) (Member, bool) { return Member{}, false }
	if s.members != nil {
		if member, err = s.members.Members(ctx, region); err != nil {
			return nil, err
		}
	}
	seen, own := map[string]object{}, map[string]*cloud.ServerGroup{}
	for n := range groups {
		if id, ok := instanceOf(groups[n]); ok {
			own[id] = &groups[n]
		}
	}
	for e, err := range s.machines.All(ctx, region+"/") {
		if err != nil {
			return nil, err
		}
		seen[e.Doc.ID] = s.tellMachine(ctx, region, e.Doc, own[e.Doc.ID], tags[e.Doc.ID])
	}
	add := func(g *cloud.ServerGroup, cluster string, i cloud.Instance) {
		if _, known := seen[i.ID]; known || strings.HasPrefix(cluster, clusterPrefix) || i.Lifecycle == cloud.Terminated && s.Now().Sub(i.Ended) > endedKept {
			return
		}
		m, _ := member(cluster, i.Version)
		o := s.tellMember(region, zones, g, i, m, tags[i.ID])
		if vpc := subnets[o.Text("SubnetId")]; vpc != "" {
			o["VpcId"] = vpc
		}
		seen[i.ID] = o
	}
	for n := range groups {
		g := &groups[n]
		for _, i := range slices.Concat(g.Instances, g.Ended) {
			add(g, g.Spec.Cluster, i)
		}
	}
	past, err := s.Groups.Ended(ctx, region)
	if err != nil {
		return nil, err
	}
	for _, i := range past {
		cluster, _, _ := cloud.ParseServerGroup(i.ServerGroup)
		add(nil, cluster, i)
	}
	out := make([]object, 0, len(seen))
	for _, o := range seen {
		nameGroups(o, names)
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b object) int { return cmp.Compare(a.Text("InstanceId"), b.Text("InstanceId")) })
	return out, nil
}

// nameGroups completes an instance's security groups with their names.
func nameGroups(o object, names map[string]string) {
	for _, g := range o.Objects("SecurityGroups") {
		g["GroupName"] = names[g.Text("GroupId")]
	}
}

// subnetVPCs are the VPCs of a region's subnets.
func (s *Service) subnetVPCs(ctx context.Context, region string) (map[string]string, error) {
	out := map[string]string{}
	for e, err := range s.kept.All(ctx, keptKey(region, "subnet", "")) {
		if err != nil {
			return nil, err
		}
		out[e.Doc.Data.Text("SubnetId")] = e.Doc.Data.Text("VpcId")
	}
	return out, nil
}

// groupNames are the names of a region's security groups.
func (s *Service) groupNames(ctx context.Context, region string) (map[string]string, error) {
	out := map[string]string{}
	for e, err := range s.kept.All(ctx, keptKey(region, "security-group", "")) {
		if err != nil {
			return nil, err
		}
		out[e.Doc.Data.Text("GroupId")] = e.Doc.Data.Text("GroupName")
	}
	return out, nil
}

// instance finds one instance as it is described.
func (s *Service) instance(ctx context.Context, region, id string) (object, error) {
	found, err := s.named(ctx, region, []string{id})
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// named finds instances by their identifiers. Errors: InvalidInstanceID.NotFound and .Malformed.
func (s *Service) named(ctx context.Context, region string, ids []string) ([]object, error) {
	for _, id := range ids {
		if rest, ok := strings.CutPrefix(id, "i-"); !ok || rest == "" || strings.Trim(rest, "0123456789abcdef") != "" {
			return nil, wire.Errorf("InvalidInstanceID.Malformed", "Invalid id: \"%s\"", id)
		}
	}
	all, err := s.observe(ctx, region)
	if err != nil {
		return nil, err
	}
	var out []object
	var missing []string
	for _, id := range ids {
		at, ok := slices.BinarySearchFunc(all, id, func(o object, id string) int { return cmp.Compare(o.Text("InstanceId"), id) })
		switch {
		case !ok:
			missing = append(missing, id)
		case !slices.ContainsFunc(out, func(o object) bool { return o.Text("InstanceId") == id }):
			out = append(out, all[at])
		}
	}
	switch len(missing) {
	case 0:
		return out, nil
	case 1:
		return nil, wire.Errorf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", missing[0])
	}
	return nil, wire.Errorf("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist", strings.Join(missing, ", "))
}

// machine finds the record of an instance that is run by itself; false for one that is not.
func (s *Service) machine(ctx context.Context, region, id string) (machine, bool, error) {
	m, err := s.machines.Get(ctx, region+"/"+id)
	if problem.CodeOf(err) == problem.NotFound {
		return m, false, nil
	}
	return m, err == nil, err
}
