package traffic

import (
	"testing"
	"time"

	"showrunner/cloud/driver"
	"showrunner/telemetry"
)

// Each series has the labels that it is found by, an instance's its zone; buckets are
// cumulative; what is not measured has no series.
func TestSamplesOfARegion(t *testing.T) {
	at := time.Unix(1000, 0)
	buckets := make([]uint64, len(driver.LatencyBounds)+1)
	buckets[0], buckets[2], buckets[len(buckets)-1] = 1, 2, 3
	group := driver.ServerGroup{Name: "shop-v001", Weight: 25, Spec: driver.ServerGroupSpec{Application: "shop", Cluster: "shop-prod", Version: "4f1c"},
		Failures: 2, Crashes: 3,
		Instances: []driver.Instance{{ID: "i-1", Zone: "us-west-2a", Lifecycle: driver.InService, Healthy: true, PID: 7, CPU: 0.5, Memory: 4096, Launched: time.UnixMilli(36)}, {ID: "i-2"}}}
	counts := []driver.Counts{
		{ServerGroup: "shop-v001", Epoch: "e1", Requests: 6, Errors: 2, Retried: 1, InFlight: 4, Statuses: driver.StatusCounts{Success: 4, Server: 2}, Buckets: buckets},
		{ServerGroup: "shop-v001", Instance: "i-1", Epoch: "e2", Requests: 5},
		{ServerGroup: "gone-v000", Epoch: "e3", Requests: 9},
	}
	got := map[string]float64{}
	for _, s := range Samples("us-west-2", []driver.ServerGroup{group}, counts, at) {
		l := s.Labels
		if l[LabelRegion] != "us-west-2" || l[LabelApplication] != "shop" || l[LabelCluster] != "shop-prod" || l[LabelVersion] != "4f1c" || l[LabelServerGroup] != "shop-v001" || !s.Time.Equal(at) {
			t.Errorf("%v at %v", l, s.Time)
		}
		key := l[telemetry.MetricName] + "/" + l[LabelInstance] + "/" + l[LabelZone] + "/" + l[LabelEpoch] + "/" + l["class"] + l["le"]
		if _, twice := got[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		got[key] = s.Value
	}
	for key, want := range map[string]float64{
		"showrunner_server_group_requests_total///e1/": 6, "showrunner_server_group_request_errors_total///e1/": 2, "showrunner_server_group_responses_total///e1/5xx": 2,
		"showrunner_server_group_request_duration_seconds_bucket///e1/0.0005": 1, "showrunner_server_group_request_duration_seconds_bucket///e1/0.002": 3,
		"showrunner_server_group_request_duration_seconds_bucket///e1/+Inf": 6, "showrunner_server_group_request_duration_seconds_count///e1/": 6,
		"showrunner_requests_total/i-1/us-west-2a/e2/": 5, "showrunner_server_group_weight////": 25, "showrunner_server_group_serving_instances////": 1,
		"showrunner_memory_bytes/i-1/us-west-2a/10/": 4096, "showrunner_cpu_cores/i-1/us-west-2a/10/": 0.5,
		"showrunner_server_group_failures_total////": 2, "showrunner_server_group_crashes_total////": 3,
		"showrunner_server_group_requests_in_flight///e1/": 4, "showrunner_server_group_retried_requests_total///e1/": 1,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", key, v, ok, want)
		}
	}
	if _, ok := got["showrunner_request_duration_seconds_count/i-1/us-west-2a/e2/"]; ok {
		t.Error("a histogram without latencies")
	}
}
