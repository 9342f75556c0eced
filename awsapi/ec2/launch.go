package ec2

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/pipeline"
)

// Application is what the server groups of AWS's services belong to.
const Application = "aws"

// refuse names what an instance cannot have here, before anything is made.
func refuse(data object) error {
	for _, no := range []struct {
		asked bool
		what  string
	}{
		{data.Has("InstanceMarketOptions"), "InstanceMarketOptions (spot instances)"},
		{data.Inner("HibernationOptions").Is("Configured"), "HibernationOptions"},
		{data.Inner("EnclaveOptions").Is("Enabled"), "EnclaveOptions"},
		{len(data.Objects("ElasticGpuSpecifications"))+len(data.Objects("ElasticGpuSpecification")) > 0, "ElasticGpuSpecification"},
		{len(data.Objects("ElasticInferenceAccelerators")) > 0, "ElasticInferenceAccelerators"},
		{data.Has("InstanceRequirements"), "InstanceRequirements (types chosen by attributes)"},
		{data.Has("KernelId") || data.Has("RamDiskId") || data.Has("RamdiskId"), "KernelId and RamdiskId"},
		{data.Inner("Placement").Text("Tenancy") == "host" || data.Inner("Placement").Text("Tenancy") == "dedicated", "a dedicated tenancy"},
		{data.Number("Ipv6AddressCount", 0) > 0 || len(data.Objects("Ipv6Addresses")) > 0, "IPv6 of an instance"},
		{data.Has("PrivateIpAddress"), "PrivateIpAddress: instances get an address of their zone, and one"},
	} {
		if no.asked {
			return unsupported(no.what)
		}
	}
	if t := data.Text("InstanceType"); t != "" {
		if _, err := findType(t); err != nil {
			return err
		}
	}
	return nil
}

// CheckLaunch refuses launch data that could not be launched: what cannot be had, an
// image, key pair or security group that is not there.
func (s *Service) CheckLaunch(ctx context.Context, region string, data object) error {
	if err := refuse(data); err != nil {
		return err
	}
	if data.Text("ImageId") == "" {
		return missingParameter("ImageId")
	}
	if _, err := s.Image(ctx, region, data.Text("ImageId")); err != nil {
		return err
	}
	if name := data.Text("KeyName"); name != "" {
		if _, err := s.keyNamed(ctx, region, name); err != nil {
			return err
		}
	}
	for _, id := range groupsOf(data) {
		if _, err := s.keptResource(ctx, region, "security-group", id); err != nil {
			return err
		}
	}
	for _, name := range data.Texts("SecurityGroups") {
		if _, err := s.groupID(ctx, region, object{"GroupName": name}); err != nil {
			return err
		}
	}
	return nil
}

// groupsOf are the identifiers of the security groups that launch data names.
func groupsOf(data object) []string {
	ids := data.Texts("SecurityGroupIds")
	for _, n := range data.Objects("NetworkInterfaces") {
		ids = append(ids, n.Texts("Groups")...)
	}
	return ids
}

// UserDataVariable is where an instance finds its user data, in base64 as it was
// sent. It is not run: a program decides what it means.
const UserDataVariable = "EC2_USER_DATA"

// healthGrace is how long a program may take to start, where nothing else is said.
const healthGrace = 30 * time.Second

// Spec is the server group that runs launch data. The cluster, the version and the
// capacity are the caller's.
func (s *Service) Spec(ctx context.Context, region string, data object) (cloud.ServerGroupSpec, error) {
	i, err := s.Image(ctx, region, data.Text("ImageId"))
	if err != nil {
		return cloud.ServerGroupSpec{}, err
	}
	name := data.Text("InstanceType")
	if name == "" {
		name = defaultType
	}
	t, err := findType(name)
	if err != nil {
		return cloud.ServerGroupSpec{}, err
	}
	spec := cloud.ServerGroupSpec{
		Application: Application, Workload: cloud.Workload{Process: &cloud.Process{Artifact: i.Artifact, Command: i.Command}},
		Env: map[string]cloud.EnvValue{}, Health: i.Health, Weight: 100, Limits: &pipeline.Limits{Memory: memoryText(t.memory)},
	}
	if spec.Health.Grace == 0 {
		spec.Health.Grace = pipeline.Duration(healthGrace)
	}
	if raw := data.Text("UserData"); raw != "" {
		if _, err := base64.StdEncoding.DecodeString(raw); err != nil {
			return spec, wire.Errorf("InvalidParameterValue", "Invalid BASE64 encoding of user data.")
		}
		spec.Env[UserDataVariable] = cloud.EnvValue{Value: raw}
	}
	return spec, nil
}

// Subnet finds a subnet: its zone and its VPC.
func (s *Service) Subnet(ctx context.Context, region, id string) (zone, vpc string, err error) {
	if err := s.seed(ctx, region); err != nil {
		return "", "", err
	}
	if !strings.HasPrefix(id, "subnet-") {
		return "", "", wire.Errorf("InvalidSubnetID.Malformed", "Invalid id: \"%s\" (expecting \"subnet-...\")", id)
	}
	d, err := s.keptResource(ctx, region, "subnet", id)
	return d.Data.Text("AvailabilityZone"), d.Data.Text("VpcId"), err
}

// VPC refuses one that is not there.
func (s *Service) VPC(ctx context.Context, region, id string) error {
	if err := s.seed(ctx, region); err != nil {
		return err
	}
	_, err := s.keptResource(ctx, region, "vpc", id)
	return err
}

// SecurityGroup refuses one that is not there.
func (s *Service) SecurityGroup(ctx context.Context, region, id string) error {
	if err := s.seed(ctx, region); err != nil {
		return err
	}
	_, err := s.keptResource(ctx, region, "security-group", id)
	return err
}

// place is where an instance goes that names a subnet, a zone or neither: its zone
// and subnet. turn spreads those that name neither.
func (s *Service) place(ctx context.Context, region string, data object, turn int) (zone, subnet string, err error) {
	subnet = data.Text("SubnetId")
	for _, n := range data.Objects("NetworkInterfaces") {
		if id := n.Text("SubnetId"); id != "" && subnet == "" {
			subnet = id
		}
	}
	if subnet != "" {
		zone, _, err := s.Subnet(ctx, region, subnet)
		return zone, subnet, err
	}
	zones, down, err := s.zones(ctx, region)
	if err != nil {
		return "", "", err
	}
	zone = data.Inner("Placement").Text("AvailabilityZone")
	if zone == "" {
		up := slices.DeleteFunc(slices.Clone(zones), func(z string) bool { return slices.Contains(down, z) })
		if len(up) == 0 {
			return "", "", wire.Errorf("InsufficientInstanceCapacity", "Every zone of %s is in outage.", region)
		}
		zone = up[turn%len(up)]
	}
	at := slices.Index(zones, zone)
	if at < 0 {
		return "", "", wire.Errorf("InvalidParameterValue", "Invalid availability zone: [%s]", zone)
	}
	return zone, DefaultSubnet(region, at), nil
}

// CheckZone refuses a zone that the region does not have.
func (s *Service) CheckZone(ctx context.Context, region, zone string) error {
	zones, _, err := s.zones(ctx, region)
	if err == nil && !slices.Contains(zones, zone) {
		err = wire.Errorf("ValidationError", "Invalid availability zone %s; the zones of %s are %s", zone, region, strings.Join(zones, ", "))
	}
	return err
}
