package ec2_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/ec2"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

type world struct {
	*awstest.Client
	*awstest.Fleet
	t       *testing.T
	service *ec2.Service
	records *recordtest.Records
}

// open is a control plane over records and a cloud; nil makes a fresh cloud.
func open(t *testing.T, records *recordtest.Records, fleet *awstest.Fleet) *world {
	t.Helper()
	if fleet == nil {
		fleet = awstest.NewFleet(t, records, time.Now)
	}
	w := &world{Fleet: fleet, t: t, records: records}
	w.service = ec2.New(ec2.Config{Records: records, Groups: fleet.Control(t, records, time.Now), Artifacts: fleet.Artifacts, Sample: []string{"showrunner", "sample-service"},
		Regions: []string{awstest.Region}, Account: "000000000000", Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now})
	w.Client = awstest.New(t, w.service.Service())
	return w
}

func (w *world) get(operation string, form ...string) string {
	w.t.Helper()
	return w.Get("ec2", operation, form...)
}

// refused checks the code of an operation's error.
func (w *world) refused(code, operation string, form ...string) string {
	w.t.Helper()
	_, got, message := w.Ask("ec2", operation, form...)
	if got != code {
		w.t.Errorf("%s%v: %q %s; want %s", operation, form, got, message, code)
	}
	return message
}

// state is an instance's.
func (w *world) state(id string) string {
	w.t.Helper()
	body := w.get("DescribeInstances", "InstanceId.1", id)
	return awstest.Between(awstest.Between(body, "<instanceState>", "</instanceState>"), "<name>", "</name>")
}

// groups counts the server groups of the region.
func (w *world) groups() int {
	w.t.Helper()
	list, err := w.Cloud.ServerGroups(w.t.Context(), awstest.Region, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

func TestTheDefaultNetworkIsThereFromTheStart(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	body := w.get("DescribeSubnets", "SubnetId.1", "subnet-12345678", "SubnetId.2", "subnet-87654321")
	if zones := awstest.All(body, "<availabilityZone>", "</availabilityZone>"); len(zones) != 2 || zones[0] != "us-west-2a" || zones[1] != "us-west-2b" {
		t.Errorf("zones %v", zones)
	}
	if body := w.get("DescribeVpcs"); !strings.Contains(body, "<isDefault>true</isDefault>") {
		t.Error(body)
	}
	template := w.get("DescribeLaunchTemplateVersions", "LaunchTemplateName", ec2.TemplateName)
	if !strings.Contains(template, "<imageId>"+ec2.SampleImage+"</imageId>") {
		t.Error(template)
	}
	// What is deleted stays deleted, for the next control plane too.
	w.get("DeleteLaunchTemplate", "LaunchTemplateName", ec2.TemplateName)
	again := open(t, w.records, w.Fleet)
	again.refused("InvalidLaunchTemplateName.NotFoundException", "DescribeLaunchTemplateVersions", "LaunchTemplateName", ec2.TemplateName)
}

func TestInstancesRunStopStartAndEnd(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	body := w.get("RunInstances", "ImageId", ec2.SampleImage, "MinCount", "2", "MaxCount", "2", "InstanceType", "t3.micro", "ClientToken", "once",
		"TagSpecification.1.ResourceType", "instance", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "web")
	ids := awstest.All(body, "<instanceId>", "</instanceId>")
	if len(ids) != 2 || strings.Count(body, "<groupName>default</groupName>") != 2 {
		t.Fatal(body)
	}
	for _, attribute := range []string{"instanceType", "kernel", "ramdisk", "userData", "disableApiTermination", "instanceInitiatedShutdownBehavior", "rootDeviceName", "blockDeviceMapping", "productCodes",
		"sourceDestCheck", "groupSet", "ebsOptimized", "sriovNetSupport", "enaSupport", "enclaveOptions", "disableApiStop"} {
		w.get("DescribeInstanceAttribute", "InstanceId", ids[0], "Attribute", attribute)
	}
	described := w.get("DescribeInstances", "Filter.1.Name", "tag:Name", "Filter.1.Value.1", "we?")
	if n := len(awstest.All(described, "<reservationId>", "</reservationId>")); n != 2 {
		t.Errorf("%d reservations, want one for each instance: %s", n, described)
	}
	again := w.get("RunInstances", "ImageId", ec2.SampleImage, "MinCount", "2", "MaxCount", "2", "InstanceType", "t3.micro", "ClientToken", "once",
		"TagSpecification.1.ResourceType", "instance", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "web")
	if fmt.Sprint(awstest.All(again, "<instanceId>", "</instanceId>")) != fmt.Sprint(ids) || w.groups() != 2 {
		t.Errorf("the same token again made %s; %d groups", again, w.groups())
	}
	w.refused("IdempotentParameterMismatch", "RunInstances", "ImageId", ec2.SampleImage, "MinCount", "1", "MaxCount", "1", "ClientToken", "once")

	w.get("StopInstances", "InstanceId.1", ids[0])
	if s := w.state(ids[0]); s != "stopped" {
		t.Errorf("stopped it is %s", s)
	}
	w.get("StartInstances", "InstanceId.1", ids[0])
	if s := w.state(ids[0]); s != "running" {
		t.Errorf("started it is %s", s)
	}
	w.refused("DryRunOperation", "TerminateInstances", "InstanceId.1", ids[0], "DryRun", "true")
	if s := w.state(ids[0]); s != "running" {
		t.Errorf("after a dry run it is %s", s)
	}
	body = w.get("TerminateInstances", "InstanceId.1", ids[0])
	if !strings.Contains(body, "<code>32</code>") || !strings.Contains(body, "<code>16</code>") {
		t.Error(body)
	}
	if s := w.state(ids[0]); s != "terminated" || w.groups() != 1 {
		t.Errorf("terminated it is %s; %d groups", s, w.groups())
	}
	w.refused("IncorrectInstanceState", "StartInstances", "InstanceId.1", ids[0])
}

func TestWhatCannotBeHadIsRefusedByName(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	run := func(form ...string) []string {
		return append([]string{"ImageId", ec2.SampleImage, "MinCount", "1", "MaxCount", "1"}, form...)
	}
	for what, form := range map[string][]string{
		"InstanceMarketOptions": {"InstanceMarketOptions.MarketType", "spot"},
		"HibernationOptions":    {"HibernationOptions.Configured", "true"},
		"tenancy":               {"Placement.Tenancy", "host"},
	} {
		if message := w.refused("UnsupportedOperation", "RunInstances", run(form...)...); !strings.Contains(message, what) {
			t.Errorf("%s: %s", what, message)
		}
	}
	w.refused("InvalidParameterValue", "RunInstances", run("InstanceType", "t9.huge")...)
	w.refused("DryRunOperation", "DescribeInstances", "DryRun", "true")
	w.refused("InvalidSubnetID.NotFound", "RunInstances", run("SubnetId", "subnet-00000000")...)
	w.refused("InvalidKeyPair.NotFound", "RunInstances", run("KeyName", "none")...)
	w.refused("InvalidGroup.NotFound", "RunInstances", run("SecurityGroupId.1", "sg-00000000")...)
	w.refused("InvalidAMIID.NotFound", "RunInstances", "ImageId", "ami-12345678", "MinCount", "1", "MaxCount", "1")
	w.refused("InvalidAMIID.Malformed", "RunInstances", "ImageId", "nginx", "MinCount", "1", "MaxCount", "1")
	w.refused("InvalidAMIID.Malformed", "DescribeImages", "ImageId.1", "ami-nothex")
	w.refused("MissingParameter", "TerminateInstances")
	w.refused("MissingParameter", "TerminateInstances", "InstanceId.1", "")
	w.refused("InvalidInstanceID.NotFound", "TerminateInstances", "InstanceId.1", "i-0123456789abcdef0")
	w.refused("InvalidInstanceID.Malformed", "DescribeInstances", "InstanceId.1", "web")
	w.refused("InvalidParameterValue", "DescribeInstances", "Filter.1.Name", "shoe-size", "Filter.1.Value.1", "44")
	if w.groups() != 0 {
		t.Errorf("%d server groups were made", w.groups())
	}
}

func TestLaunchTemplatesHaveVersions(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.get("CreateLaunchTemplate", "LaunchTemplateName", "web", "LaunchTemplateData.ImageId", ec2.SampleImage, "LaunchTemplateData.InstanceType", "t3.nano")
	w.refused("InvalidLaunchTemplateName.AlreadyExistsException", "CreateLaunchTemplate", "LaunchTemplateName", "web", "LaunchTemplateData.ImageId", ec2.SampleImage)
	w.get("CreateLaunchTemplateVersion", "LaunchTemplateName", "web", "SourceVersion", "1", "LaunchTemplateData.InstanceType", "t3.micro", "VersionDescription", "two")
	all := w.get("DescribeLaunchTemplateVersions", "LaunchTemplateName", "web")
	if got := fmt.Sprint(awstest.All(all, "<versionNumber>", "</versionNumber>"), awstest.All(all, "<imageId>", "</imageId>")); got != fmt.Sprintf("[2 1] [%s %[1]s]", ec2.SampleImage) {
		t.Error(got)
	}
	w.get("ModifyLaunchTemplate", "LaunchTemplateName", "web", "SetDefaultVersion", "2")
	body := w.get("RunInstances", "LaunchTemplate.LaunchTemplateName", "web", "MinCount", "1", "MaxCount", "1")
	if !strings.Contains(body, "<instanceType>t3.micro</instanceType>") {
		t.Error(body)
	}
	w.refused("InvalidLaunchTemplateId.VersionNotFound", "RunInstances", "LaunchTemplate.LaunchTemplateName", "web", "LaunchTemplate.Version", "7", "MinCount", "1", "MaxCount", "1")
	page := w.get("DescribeLaunchTemplateVersions", "LaunchTemplateName", "web", "MaxResults", "1")
	rest := w.get("DescribeLaunchTemplateVersions", "LaunchTemplateName", "web", "MaxResults", "1", "NextToken", awstest.Between(page, "<nextToken>", "</nextToken>"))
	if awstest.Between(rest, "<versionNumber>", "</versionNumber>") != "1" || strings.Contains(rest, "nextToken") {
		t.Error(page, rest)
	}
}

// A control plane that dies after any of its writes leaves what the next one
// completes: each instance is made once, and ended once.
func TestInstancesSurviveTheDeathOfControl(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"RunInstances", "TerminateInstances", "StopInstances"} {
		survived := 0
		for n := 1; ; n++ {
			records := &recordtest.Records{}
			w := open(t, records, nil)
			form := []string{"ImageId", ec2.SampleImage, "MinCount", "2", "MaxCount", "2", "ClientToken", "t"}
			if operation != "RunInstances" {
				ids := awstest.All(w.get("RunInstances", form...), "<instanceId>", "</instanceId>")
				form = []string{"InstanceId.1", ids[0], "InstanceId.2", ids[1]}
			} else {
				w.get("DescribeVpcs") // the default network is another test's
			}
			left := n
			records.Fail = func(op, _, _ string) error {
				if op == "put" || op == "append" || op == "delete" {
					left--
				}
				if left <= 0 {
					return problem.New(problem.Unavailable, "test", "control is dead")
				}
				return nil
			}
			_, code, _ := w.Ask("ec2", operation, form...)
			died := left <= 0
			records.Fail = nil
			next := open(t, records, w.Fleet)
			if err := next.service.Carry(t.Context()); err != nil {
				t.Fatal(err)
			}
			next.get(operation, form...) // as a client tries again
			want := map[string]int{"RunInstances": 2, "TerminateInstances": 0, "StopInstances": 2}[operation]
			if got := next.groups(); got != want {
				t.Fatalf("%s, dead at write %d (%s): %d server groups, want %d", operation, n, code, got, want)
			}
			body := next.get("DescribeInstances")
			state := map[string]string{"RunInstances": "running", "TerminateInstances": "terminated", "StopInstances": "stopped"}[operation]
			if got := strings.Count(body, "<name>"+state+"</name>"); got != 2 {
				t.Fatalf("%s, dead at write %d: %d are %s: %s", operation, n, got, state, body)
			}
			if !died {
				break
			}
			survived++
		}
		if survived < 5 {
			t.Errorf("%s: control died at %d writes only", operation, survived)
		}
	}
}
