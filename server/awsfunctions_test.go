package server

import (
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/lambda"
)

// Requests that ran are counted, by function, by qualifier and by version; one that was
// throttled did not run and has no duration.
func TestMeasurementsOfFunctions(t *testing.T) {
	got, samples := map[string]float64{}, map[string]int{}
	for _, m := range functionMeasurements([]lambda.Usage{
		{Function: "f", Resource: "f", Duration: 2 * time.Millisecond, AtOnce: 1},
		{Function: "f", Resource: "f:live", Version: "3", Duration: 4 * time.Millisecond, Failed: true, AtOnce: 2},
		{Function: "f", Resource: "f", Throttled: true, AtOnce: 1},
	}) {
		if m.Namespace != "AWS/Lambda" {
			t.Errorf("namespace %s", m.Namespace)
		}
		key := m.Name + " " + strings.Join(m.Dimensions, " ")
		got[key] += m.Value
		samples[key]++
	}
	for key, want := range map[string]float64{
		"Invocations FunctionName f": 2, "Errors FunctionName f": 1, "Throttles FunctionName f": 1, "Duration FunctionName f": 6, "ConcurrentExecutions FunctionName f": 2,
		"Invocations FunctionName f Resource f": 1, "Errors FunctionName f Resource f": 0,
		"Invocations FunctionName f Resource f:live ExecutedVersion 3": 1, "Errors FunctionName f Resource f:live ExecutedVersion 3": 1,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", key, v, ok, want)
		}
	}
	if samples["Duration FunctionName f"] != 2 {
		t.Errorf("%d durations", samples["Duration FunctionName f"])
	}
}
