package server

import (
	"testing"

	"showrunner/cloud"
	"showrunner/pipeline"
)

// Instances are measured each, and their groups once, with the capacity of the newest
// version; an instance of no group has no group's metrics.
func TestMeasurementsOfGroupsAndInstances(t *testing.T) {
	group := func(cluster string, desired int, instances ...cloud.Instance) cloud.ServerGroup {
		return cloud.ServerGroup{Spec: cloud.ServerGroupSpec{Cluster: cluster}, Capacity: pipeline.Capacity{Min: 1, Desired: desired, Max: 4}, Instances: instances}
	}
	list := []cloud.ServerGroup{
		group("a", 1, cloud.Instance{ID: "i-1", Lifecycle: cloud.Terminating}),
		group("a", 2, cloud.Instance{ID: "i-2", Lifecycle: cloud.InService, CPU: 0.5}, cloud.Instance{ID: "i-3", Lifecycle: cloud.PendingWait}),
		group("alone", 1, cloud.Instance{ID: "i-4", Lifecycle: cloud.InService, CPU: 1}),
	}
	got := map[string]float64{}
	for _, m := range measurements(list, func(g cloud.ServerGroup) string { return map[string]string{"a": "MyGroup"}[g.Spec.Cluster] }) {
		got[m.Namespace+" "+m.Name+" "+m.Dimensions[0]+"="+m.Dimensions[1]] += m.Value
	}
	for name, want := range map[string]float64{
		"AWS/EC2 CPUUtilization InstanceId=i-2": 50, "AWS/EC2 CPUUtilization InstanceId=i-4": 100, "AWS/EC2 CPUUtilization AutoScalingGroupName=MyGroup": 50,
		"AWS/AutoScaling GroupDesiredCapacity AutoScalingGroupName=MyGroup": 2, "AWS/AutoScaling GroupInServiceInstances AutoScalingGroupName=MyGroup": 1,
		"AWS/AutoScaling GroupPendingInstances AutoScalingGroupName=MyGroup": 1, "AWS/AutoScaling GroupTerminatingInstances AutoScalingGroupName=MyGroup": 1,
		"AWS/AutoScaling GroupTotalInstances AutoScalingGroupName=MyGroup": 3, "AWS/AutoScaling GroupMaxSize AutoScalingGroupName=MyGroup": 4,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", name, v, ok, want)
		}
	}
	if _, ok := got["AWS/AutoScaling GroupTotalInstances AutoScalingGroupName="]; ok {
		t.Error("an instance without a group is counted for one")
	}
}
