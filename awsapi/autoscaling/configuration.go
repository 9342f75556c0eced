package autoscaling

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// configuration is a launch configuration.
type configuration struct {
	Name    string    `json:"name"`
	ARN     string    `json:"arn"`
	Created time.Time `json:"created"`
	Data    object    `json:"data"` // as it is described
}

// launchData is the configuration as launch data of EC2.
func (d configuration) launchData() object {
	out := d.Data.Only("ImageId", "KeyName", "UserData", "InstanceType", "EbsOptimized", "BlockDeviceMappings")
	var ids, names []any
	for _, g := range d.Data.Texts("SecurityGroups") {
		if strings.HasPrefix(g, "sg-") {
			ids = append(ids, g)
		} else {
			names = append(names, g)
		}
	}
	if ids != nil {
		out["SecurityGroupIds"] = ids
	}
	if names != nil {
		out["SecurityGroups"] = names
	}
	if p := d.Data.Text("IamInstanceProfile"); strings.HasPrefix(p, "arn:") {
		out["IamInstanceProfile"] = object{"Arn": p}
	} else if p != "" {
		out["IamInstanceProfile"] = object{"Name": p}
	}
	if m := d.Data.Inner("InstanceMonitoring"); m != nil {
		out["Monitoring"] = m
	}
	return out.Clone()
}

func (s *Service) configuration(ctx context.Context, region, name string) (configuration, error) {
	d, err := s.configurations.Get(ctx, region+"/"+name)
	if problem.CodeOf(err) == problem.NotFound {
		err = invalid("Launch configuration name not found - Launch configuration %s not found", name)
	}
	return d, err
}

func (s *Service) createConfiguration(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := in.Text("LaunchConfigurationName")
	for _, no := range []string{"InstanceId", "SpotPrice", "ClassicLinkVPCId", "KernelId", "RamdiskId"} {
		if in.Text(no) != "" {
			return nil, invalid("This cannot be had here: %s", no)
		}
	}
	if p := in.Text("PlacementTenancy"); p != "" && p != "default" {
		return nil, invalid("This cannot be had here: PlacementTenancy %s", p)
	}
	if in.Text("ImageId") == "" || in.Text("InstanceType") == "" {
		return nil, invalid("You must specify the ImageId and the InstanceType parameters.")
	}
	data := object{"KernelId": "", "RamdiskId": "", "SecurityGroups": []any{}, "BlockDeviceMappings": []any{}, "ClassicLinkVPCSecurityGroups": []any{}, "EbsOptimized": false, "InstanceMonitoring": object{"Enabled": true}}
	for k, v := range in.Only("ImageId", "KeyName", "SecurityGroups", "UserData", "InstanceType", "BlockDeviceMappings", "InstanceMonitoring", "IamInstanceProfile", "EbsOptimized", "AssociatePublicIpAddress", "MetadataOptions", "PlacementTenancy") {
		data[k] = v
	}
	d := configuration{Name: name, Created: s.Now().UTC(), Data: data.Clone(),
		ARN: "arn:aws:autoscaling:" + c.Region + ":" + c.Account + ":launchConfiguration:" + carry.NewUUID() + ":launchConfigurationName/" + name}
	var e *wire.Error
	if err := s.EC2.CheckLaunch(ctx, c.Region, d.launchData()); errors.As(err, &e) {
		return nil, invalid("%s", e.Message)
	} else if err != nil {
		return nil, err
	}
	err := s.configurations.Create(ctx, c.Region+"/"+name, d)
	if problem.CodeOf(err) == problem.Conflict {
		err = wire.Errorf("AlreadyExists", "Launch Configuration by this name already exists - A launch configuration already exists with the name %s", name)
	}
	return object{}, err
}

func (s *Service) describeConfigurations(ctx context.Context, c *wire.Call, in object) (object, error) {
	names := in.Texts("LaunchConfigurationNames")
	var all []object
	for e, err := range s.configurations.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if d := e.Doc; len(names) == 0 || slices.Contains(names, d.Name) {
			all = append(all, d.Data.With(object{"LaunchConfigurationName": d.Name, "LaunchConfigurationARN": d.ARN, "CreatedTime": d.Created}))
		}
	}
	slices.SortFunc(all, func(a, b object) int {
		return cmp.Compare(a.Text("LaunchConfigurationName"), b.Text("LaunchConfigurationName"))
	})
	return answer(in, "LaunchConfigurations", all, 50, by("LaunchConfigurationName"))
}

func (s *Service) deleteConfiguration(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := in.Text("LaunchConfigurationName")
	groups, err := s.list(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if g.Configuration == name && !g.Deleting {
			return nil, wire.Errorf("ResourceInUse", "Cannot delete launch configuration %s because it is attached to AutoScalingGroup %s", name, g.Name)
		}
	}
	err = s.configurations.Delete(ctx, c.Region+"/"+name, nil)
	if problem.CodeOf(err) == problem.NotFound {
		err = invalid("Launch configuration name not found - Launch configuration %s not found", name)
	}
	return object{}, err
}
