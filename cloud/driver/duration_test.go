package driver_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"showrunner/cloud/driver"
)

// Durations are text in every document about a cloud, as in the pipeline file.
// Numbers of nanoseconds, which earlier versions wrote, can still be read.
func TestDurationsAreText(t *testing.T) {
	for _, tt := range []struct {
		value any    // a pointer
		now   string // a part of its JSON
		was   string // the same part as earlier versions wrote it
	}{
		{&driver.ServerGroupSpec{Cluster: "shop", Drain: 5 * time.Second, StopTimeout: 90 * time.Second}, `"drain":"5s","stopTimeout":"1m30s"`, `"drain":5000000000,"stopTimeout":90000000000`},
		{&driver.Function{Handler: "h", Timeout: time.Second}, `"timeout":"1s"`, `"timeout":1000000000`},
		{&driver.Facts{MaxInTraffic: 2, Settle: 2 * time.Second, Counts: &driver.CountFacts{Delay: 3 * time.Minute}}, `"settle":"2s"`, `"settle":2000000000`},
		{&driver.CountFacts{Latencies: true, Delay: 3 * time.Minute}, `"delay":"3m"`, `"delay":180000000000`},
	} {
		text, err := json.Marshal(tt.value)
		if err != nil || !strings.Contains(string(text), tt.now) {
			t.Errorf("%T: %s, %v", tt.value, text, err)
		}
		for _, form := range []string{string(text), strings.Replace(string(text), tt.now, tt.was, 1)} {
			back := reflect.New(reflect.TypeOf(tt.value).Elem())
			if err := json.Unmarshal([]byte(form), back.Interface()); err != nil || !reflect.DeepEqual(back.Interface(), tt.value) {
				t.Errorf("%s is read as %+v, %v", form, back.Elem(), err)
			}
		}
	}
	if err := json.Unmarshal([]byte(`{"drain":"soon"}`), new(driver.ServerGroupSpec)); err == nil {
		t.Error("an invalid duration was accepted")
	}
}

// An upgrade must not change the version of a specification, or the request that
// a key stands for.
func TestFingerprintsStayOverTheFormOfDurations(t *testing.T) {
	spec := driver.ServerGroupSpec{Cluster: "shop", Drain: time.Second}
	if got := driver.Fingerprint(spec, []byte("k")); got != "98136995e0d3f59ec20a24dc5c763943" {
		t.Errorf("the fingerprint is %s", got)
	}
	if text, err := json.Marshal(driver.Identity(spec)); err != nil || !strings.Contains(string(text), `"drain":1000000000`) {
		t.Errorf("%s, %v", text, err)
	}
}
