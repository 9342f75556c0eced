package cloudformation_test

import (
	"fmt"
	"slices"
	"testing"

	"showrunner/awsapi/ec2"
)

// network is what the CDK writes around a group of instances.
const network = `{"Resources": {
	"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16", "EnableDnsHostnames": true, "Tags": [{"Key": "Name", "Value": "v"}]}},
	"Gateway": {"Type": "AWS::EC2::InternetGateway"},
	"Attached": {"Type": "AWS::EC2::VPCGatewayAttachment", "Properties": {"VpcId": {"Ref": "Vpc"}, "InternetGatewayId": {"Ref": "Gateway"}}},
	"Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": {"Fn::Select": [0, {"Fn::Cidr": [{"Fn::GetAtt": ["Vpc", "CidrBlock"]}, 2, 8]}]}, "AvailabilityZone": {"Fn::Select": [0, {"Fn::GetAZs": ""}]}, "MapPublicIpOnLaunch": true}},
	"Table": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}},
	"Association": {"Type": "AWS::EC2::SubnetRouteTableAssociation", "Properties": {"RouteTableId": {"Ref": "Table"}, "SubnetId": {"Ref": "Subnet"}}},
	"Route": {"Type": "AWS::EC2::Route", "DependsOn": "Attached", "Properties": {"RouteTableId": {"Ref": "Table"}, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": {"Ref": "Gateway"}}},
	"Address": {"Type": "AWS::EC2::EIP", "Properties": {"Domain": "vpc"}},
	"Nat": {"Type": "AWS::EC2::NatGateway", "DependsOn": ["Route", "Association"], "Properties": {"SubnetId": {"Ref": "Subnet"}, "AllocationId": {"Fn::GetAtt": ["Address", "AllocationId"]}}},
	"Door": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "d", "VpcId": {"Ref": "Vpc"}, "SecurityGroupIngress": [{"IpProtocol": "tcp", "FromPort": %d, "ToPort": %[1]d, "CidrIp": "0.0.0.0/0"}]}},
	"Second": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": {"Fn::Select": [1, {"Fn::Cidr": [{"Fn::GetAtt": ["Vpc", "CidrBlock"]}, 2, 8]}]}, "AvailabilityZone": {"Fn::Select": [1, {"Fn::GetAZs": ""}]}}},
	"Balancer": {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Subnets": [{"Ref": "Subnet"}, {"Ref": "Second"}], "SecurityGroups": [{"Fn::GetAtt": ["Door", "GroupId"]}], "LoadBalancerAttributes": [{"Key": "deletion_protection.enabled", "Value": "false"}]}},
	"Targets": {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "Properties": {"Port": 80, "Protocol": "HTTP", "VpcId": {"Ref": "Vpc"}, "TargetType": "instance"}},
	"Listener": {"Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": {"LoadBalancerArn": {"Ref": "Balancer"}, "Port": 80, "Protocol": "HTTP", "DefaultActions": [{"Type": "forward", "TargetGroupArn": {"Ref": "Targets"}}]}},
	"Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": {"ImageId": "%[2]s", "InstanceType": "t3.micro", "SecurityGroupIds": [{"Fn::GetAtt": ["Door", "GroupId"]}]}}},
	"Group": {"Type": "AWS::AutoScaling::AutoScalingGroup", "Properties": {"MinSize": "1", "MaxSize": "3", "DesiredCapacity": "1", "VPCZoneIdentifier": [{"Ref": "Subnet"}], "TargetGroupARNs": [{"Ref": "Targets"}], "LaunchTemplate": {"LaunchTemplateId": {"Ref": "Template"}, "Version": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]}}}}
}}`

func networkInput(port int) object {
	return object{"StackName": "s", "TemplateBody": fmt.Sprintf(network, port, ec2.SampleImage)}
}

// networkCensus counts what there is of a network, and says what it is like.
func networkCensus(w *world) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for operation, list := range map[string]string{"DescribeVpcs": "Vpcs", "DescribeInternetGateways": "InternetGateways", "DescribeSubnets": "Subnets", "DescribeRouteTables": "RouteTables",
		"DescribeAddresses": "Addresses", "DescribeNatGateways": "NatGateways", "DescribeSecurityGroups": "SecurityGroups", "DescribeLaunchTemplates": "LaunchTemplates"} {
		all, _ := w.call("ec2."+operation, object{})[list].([]any)
		n := 0
		for _, one := range all {
			m := one.(object)
			if state, _ := m["State"].(string); state != "deleted" && state != "deleting" {
				n++
			}
			if list == "RouteTables" {
				routes, _ := m["Routes"].([]any)
				associations, _ := m["Associations"].([]any)
				out[list+" inside"] += fmt.Sprint(len(routes), len(associations), " ")
			}
			if permissions, _ := m["IpPermissions"].([]any); list == "SecurityGroups" && len(permissions) == 1 && permissions[0].(object)["FromPort"] != nil {
				out["port"] += fmt.Sprint(permissions[0].(object)["FromPort"], " ")
			}
			if list == "LaunchTemplates" {
				out["version"] += fmt.Sprint(m["LatestVersionNumber"], " ")
			}
		}
		out[list] = fmt.Sprint(n)
	}
	for _, name := range []string{"RouteTables inside", "version"} {
		words := []byte(out[name])
		slices.Sort(words)
		out[name] = string(words)
	}
	balancers, _ := w.call("elasticloadbalancingv2.DescribeLoadBalancers", object{})["LoadBalancers"].([]any)
	out["balancers"] = fmt.Sprint(len(balancers))
	for _, b := range balancers {
		listeners, _ := w.call("elasticloadbalancingv2.DescribeListeners", object{"LoadBalancerArn": b.(object)["LoadBalancerArn"]})["Listeners"].([]any)
		out["listeners"] += fmt.Sprint(len(listeners))
	}
	targets, _ := w.call("elasticloadbalancingv2.DescribeTargetGroups", object{})["TargetGroups"].([]any)
	out["target groups"] = fmt.Sprint(len(targets))
	groups, _ := w.call("autoscaling.DescribeAutoScalingGroups", object{})["AutoScalingGroups"].([]any)
	out["groups"] = fmt.Sprint(len(groups))
	list, err := w.fleet.Cloud.ServerGroups(w.t.Context(), region, "")
	if err != nil {
		w.t.Fatal(err)
	}
	out["server groups"] = fmt.Sprint(len(list))
	return out
}

func TestANetworkIsMadeChangedAndDeleted(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, true)
	before := networkCensus(w)
	id := w.call("CreateStack", networkInput(80))["StackId"].(string)
	w.is("s", "CREATE_COMPLETE")
	made := networkCensus(w)
	for name, want := range map[string]string{"Vpcs": "2", "Subnets": "5", "balancers": "1", "listeners": "1", "target groups": "1", "NatGateways": "1", "Addresses": "1", "LaunchTemplates": "2", "groups": "1", "server groups": "1", "port": "80 "} {
		if made[name] != want {
			t.Errorf("%s: %s, want %s", name, made[name], want)
		}
	}
	w.call("UpdateStack", networkInput(8080))
	w.is("s", "UPDATE_COMPLETE")
	if got := networkCensus(w)["port"]; got != "8080 " {
		t.Errorf("after the update the port is %s", got)
	}
	w.call("DeleteStack", object{"StackName": "s"})
	w.is(id, "DELETE_COMPLETE")
	after := networkCensus(w)
	for _, name := range []string{"Vpcs", "Subnets", "InternetGateways", "RouteTables", "Addresses", "NatGateways", "SecurityGroups", "LaunchTemplates", "groups", "balancers", "listeners", "target groups"} {
		if after[name] != before[name] {
			t.Errorf("%s: %s are left, there were %s", name, after[name], before[name])
		}
	}
}

func TestANetworkKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("hundreds of control planes")
	}
	for _, c := range []crashCase{
		{"creation", "CreateStack", networkInput(80), false, "CREATE_COMPLETE"},
		{"update", "UpdateStack", networkInput(8080), true, "UPDATE_COMPLETE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, true, networkInput(80), networkCensus)
		})
	}
}
