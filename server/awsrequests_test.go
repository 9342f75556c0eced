package server

import (
	"math"
	"strings"
	"testing"

	"showrunner/awsapi/cloudwatch"
	"showrunner/awsapi/ecs"
	"showrunner/awsapi/elbv2"
	"showrunner/cloud"
)

// Requests are those since the last look, also when counters begin anew; statuses that did
// not occur and what is not known have no metric.
func TestMeasurementsOfRequests(t *testing.T) {
	buckets := func(n uint64) []uint64 {
		b := make([]uint64, len(cloud.LatencyBounds)+1)
		b[3] = n
		return b
	}
	counts := requestCounts{}
	read := func(epoch string, requests, failures uint64) (cloud.Counts, bool) {
		return counts.since("us-west-2", "web", []cloud.Counts{{ServerGroup: "web-v000", Epoch: epoch, Requests: requests, Statuses: cloud.StatusCounts{Success: requests - failures, Server: failures}, Buckets: buckets(requests)},
			{ServerGroup: "web-v000", Instance: "i-1", Epoch: epoch, Requests: requests}})
	}
	if _, known := read("a", 100, 1); known {
		t.Error("the first look knows since when was counted")
	}
	sum, known := read("a", 130, 4)
	if !known || sum.Requests != 30 || sum.Statuses.Server != 3 || sum.Statuses.Success != 27 || sum.Buckets[3] != 30 {
		t.Errorf("%+v", sum)
	}
	if anew, _ := read("b", 7, 0); anew.Requests != 7 {
		t.Errorf("counters that began anew: %+v", anew)
	}
	got := map[string]cloudwatch.Measurement{}
	for _, m := range requestMeasurements(elbv2.Measured{LoadBalancer: "app/a/1", TargetGroup: "targetgroup/b/2", Healthy: 3}, sum) {
		got[m.Name+" "+strings.Join(m.Dimensions, " ")] = m
	}
	for name, want := range map[string]float64{"RequestCount LoadBalancer app/a/1": 30, "RequestCount LoadBalancer app/a/1 TargetGroup targetgroup/b/2": 30, "HTTPCode_Target_5XX_Count LoadBalancer app/a/1": 3,
		"RequestCountPerTarget TargetGroup targetgroup/b/2": 10} {
		if got[name].Value != want {
			t.Errorf("%s is %v, want %v", name, got[name].Value, want)
		}
	}
	if m := got["TargetResponseTime LoadBalancer app/a/1"]; m.Count != 30 || m.Value <= cloud.LatencyBounds[2] || m.Value >= cloud.LatencyBounds[3] {
		t.Errorf("%+v", m)
	}
	if _, there := got["HTTPCode_Target_4XX_Count LoadBalancer app/a/1"]; there {
		t.Error("a status that did not occur has a metric")
	}
}

// A service of ECS has no metric of what is not known.
func TestMeasurementsOfServices(t *testing.T) {
	list := serviceMeasurements([]ecs.Load{{Cluster: "c", Service: "s", CPU: 42, Memory: math.NaN()}})
	if len(list) != 1 || list[0].Name != "CPUUtilization" || list[0].Value != 42 || strings.Join(list[0].Dimensions, " ") != "ClusterName c ServiceName s" {
		t.Errorf("%+v", list)
	}
}
