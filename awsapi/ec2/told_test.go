package ec2_test

import (
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
	"showrunner/store/record/recordtest"
)

// What there is once and for all is described, and what there never is as an empty list.
func TestWhatIsNeverHereIsDescribedAsNone(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	for operation, empty := range map[string]string{"DescribeSnapshots": "snapshotSet", "DescribeVpcPeeringConnections": "vpcPeeringConnectionSet", "DescribeTransitGateways": "transitGatewaySet",
		"DescribeFlowLogs": "flowLogSet", "DescribePlacementGroups": "placementGroupSet", "DescribeVolumes": "volumeSet", "DescribeNetworkInterfaces": "networkInterfaceSet"} {
		if body := w.get(operation); !strings.Contains(body, "<"+empty+"></"+empty+">") && !strings.Contains(body, "<"+empty+"/>") {
			t.Errorf("%s: %s", operation, body)
		}
	}
	w.refused("InvalidVolume.NotFound", "DescribeVolumes", "VolumeId.1", "vol-1234567890abcdef0")
	w.refused("UnsupportedOperation", "CreateImage", "InstanceId", "i-1234567890abcdef0", "Name", "n")

	vpc := awstest.Between(w.get("DescribeVpcs"), "<vpcId>", "</vpcId>")
	acls := w.get("DescribeNetworkAcls", "Filter.1.Name", "vpc-id", "Filter.1.Value.1", vpc)
	if n := len(awstest.All(acls, "<networkAclAssociationId>", "</networkAclAssociationId>")); n != 3 || strings.Count(acls, "<ruleNumber>") != 4 || !strings.Contains(acls, "<default>true</default>") {
		t.Errorf("%d subnets have the list: %s", n, acls)
	}
	w.refused("InvalidNetworkAclID.NotFound", "DescribeNetworkAcls", "NetworkAclId.1", "acl-1234567890abcdef0")
	options := awstest.Between(w.get("DescribeVpcs"), "<dhcpOptionsId>", "</dhcpOptionsId>")
	if body := w.get("DescribeDhcpOptions", "DhcpOptionsId.1", options); !strings.Contains(body, "AmazonProvidedDNS") {
		t.Errorf("the options %s of the VPC: %s", options, body)
	}
	if body := w.get("DescribeInstanceTypeOfferings", "LocationType", "availability-zone", "Filter.1.Name", "instance-type", "Filter.1.Value.1", "t3.micro"); strings.Count(body, "<location>") != 3 {
		t.Errorf("where t3.micro is: %s", body)
	}
}

func TestAnInstanceIsToldAsATemplateAndAsMonitored(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	id := awstest.Between(w.get("RunInstances", "LaunchTemplate.LaunchTemplateName", "MyTemplate", "MinCount", "1", "MaxCount", "1"), "<instanceId>", "</instanceId>")
	data := w.get("GetLaunchTemplateData", "InstanceId", id)
	if !strings.Contains(data, "<instanceType>t3.micro</instanceType>") || !strings.Contains(data, "<imageId>ami-") {
		t.Errorf("the instance as a template: %s", data)
	}
	for operation, state := range map[string]string{"MonitorInstances": "enabled", "UnmonitorInstances": "disabled"} {
		if body := w.get(operation, "InstanceId.1", id); !strings.Contains(body, "<state>"+state+"</state>") {
			t.Errorf("%s: %s", operation, body)
		}
		if body := w.get("DescribeInstances", "InstanceId.1", id); awstest.Between(awstest.Between(body, "<monitoring>", "</monitoring>"), "<state>", "</state>") != state {
			t.Errorf("after %s: %s", operation, body)
		}
	}
	if body := w.get("DescribeInstanceCreditSpecifications", "InstanceId.1", id); !strings.Contains(body, "<cpuCredits>unlimited</cpuCredits>") {
		t.Error(body)
	}
	w.refused("InvalidInstanceID.NotFound", "GetPasswordData", "InstanceId", "i-1234567890abcdef0")
}
