package ec2_test

import (
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
	"showrunner/store/record/recordtest"
)

// Every filter that AWS documents is taken; one of what there is not matches nothing.
func TestDocumentedFiltersAreTaken(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	id := awstest.Between(w.get("RunInstances", "LaunchTemplate.LaunchTemplateName", "MyTemplate", "MinCount", "1", "MaxCount", "1"), "<instanceId>", "</instanceId>")
	found := func(operation, name, value string) bool {
		body := w.get(operation, "Filter.1.Name", name, "Filter.1.Value.1", value)
		return strings.Contains(body, "<item>")
	}
	for _, f := range []struct {
		operation, name, value string
		found                  bool
	}{
		{"DescribeInstances", "owner-id", "000000000000", true},
		{"DescribeInstances", "instance-id", id, true},
		{"DescribeInstances", "usage-operation", "RunInstances", true},
		{"DescribeInstances", "source-dest-check", "true", true},
		{"DescribeInstances", "network-interface.owner-id", "000000000000", true},
		{"DescribeInstances", "block-device-mapping.status", "attached", false},
		{"DescribeInstances", "spot-instance-request-id", "*", false},
		{"DescribeInstances", "capacity-reservation-id", "*", false},
		{"DescribeInstanceStatus", "event.code", "*", false},
		{"DescribeImages", "block-device-mapping.volume-type", "gp3", false},
		{"DescribeSubnets", "ipv6-native", "true", false},
		{"DescribeSubnets", "available-ip-address-count", "*", true},
		{"DescribeVpcs", "cidr-block-association.state", "associated", true},
		{"DescribeSecurityGroups", "egress.ip-permission.cidr", "0.0.0.0/0", true},
		{"DescribeInstanceTypes", "free-tier-eligible", "true", false},
		{"DescribeInstanceTypes", "supported-virtualization-type", "hvm", true},
	} {
		if got := found(f.operation, f.name, f.value); got != f.found {
			t.Errorf("%s with %s=%s finds something: %t", f.operation, f.name, f.value, got)
		}
	}
	w.refused("InvalidParameterValue", "DescribeInstances", "Filter.1.Name", "colour", "Filter.1.Value.1", "red")
}

func TestAddressesAreAssociated(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	id := awstest.Between(w.get("RunInstances", "LaunchTemplate.LaunchTemplateName", "MyTemplate", "MinCount", "1", "MaxCount", "1"), "<instanceId>", "</instanceId>")
	address := awstest.Between(w.get("AllocateAddress", "Domain", "vpc"), "<allocationId>", "</allocationId>")
	w.refused("InvalidInstanceID.NotFound", "AssociateAddress", "AllocationId", address, "InstanceId", "i-1234567890abcdef0")
	association := awstest.Between(w.get("AssociateAddress", "AllocationId", address, "InstanceId", id), "<associationId>", "</associationId>")
	if body := w.get("DescribeAddresses", "Filter.1.Name", "instance-id", "Filter.1.Value.1", id); !strings.Contains(body, association) {
		t.Error(body)
	}
	w.get("DisassociateAddress", "AssociationId", association)
	w.refused("InvalidAssociationID.NotFound", "DisassociateAddress", "AssociationId", association)
	if body := w.get("DescribeAddresses"); strings.Contains(body, id) {
		t.Error(body)
	}
}

func TestRulesNameGroupsAndAreDescribed(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	group := awstest.Between(w.get("CreateSecurityGroup", "GroupName", "web", "GroupDescription", "d"), "<groupId>", "</groupId>")
	standard := awstest.Between(w.get("DescribeSecurityGroups", "GroupName.1", "default"), "<groupId>", "</groupId>")
	rule := []string{"GroupName", "web", "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "22", "IpPermissions.1.ToPort", "22", "IpPermissions.1.Groups.1.GroupName", "default"}
	body := w.get("AuthorizeSecurityGroupIngress", rule...)
	if !strings.Contains(body, "<groupId>"+standard+"</groupId>") {
		t.Errorf("the rule does not name %s: %s", standard, body)
	}
	id := awstest.Between(body, "<securityGroupRuleId>", "</securityGroupRuleId>")
	w.get("UpdateSecurityGroupRuleDescriptionsIngress", append(rule, "IpPermissions.1.Groups.1.Description", "from here")...)
	if body := w.get("DescribeSecurityGroupRules", "Filter.1.Name", "group-id", "Filter.1.Value.1", group); !strings.Contains(body, "from here") {
		t.Error(body)
	}
	w.refused("InvalidPermission.NotFound", "RevokeSecurityGroupIngress", "GroupId", standard, "SecurityGroupRuleId.1", id)
	w.refused("InvalidPermission.NotFound", "RevokeSecurityGroupEgress", "GroupId", group, "SecurityGroupRuleId.1", id)
	w.get("RevokeSecurityGroupIngress", rule...)
	w.refused("InvalidPermission.NotFound", "UpdateSecurityGroupRuleDescriptionsIngress", rule...)
	w.refused("DefaultVpcAlreadyExists", "CreateDefaultVpc")
}

func TestARouteIsReplaced(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	vpc := awstest.Between(w.get("DescribeVpcs"), "<vpcId>", "</vpcId>")
	table := awstest.Between(w.get("CreateRouteTable", "VpcId", vpc), "<routeTableId>", "</routeTableId>")
	route := func(gateway string) []string {
		return []string{"RouteTableId", table, "DestinationCidrBlock", "10.9.0.0/16", "GatewayId", gateway}
	}
	w.refused("InvalidRoute.NotFound", "ReplaceRoute", route("igw-1")...)
	w.get("CreateRoute", route("igw-1")...)
	w.get("ReplaceRoute", route("igw-2")...)
	if body := w.get("DescribeRouteTables", "RouteTableId.1", table); strings.Contains(body, "igw-1<") || !strings.Contains(body, "igw-2<") {
		t.Error(body)
	}
}
