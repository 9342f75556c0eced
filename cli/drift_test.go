package cli

import (
	"strings"
	"testing"

	"showrunner/control"
)

// While an execution changes a cluster, that is said first, and no repair is offered.
func TestDriftDuringARollout(t *testing.T) {
	t.Parallel()
	found := []control.Drift{{Cluster: "shop", Busy: "e1", Differences: []control.Difference{{Kind: control.DriftTraffic, Region: "us-west-2", Repair: "shift all traffic to shop-v001"}}}}
	var text strings.Builder
	driftText(&text, found)
	first, rest, _ := strings.Cut(text.String(), "\n")
	if !strings.Contains(first, "execution e1 is changing it") || strings.Contains(rest, "shift all traffic") || !strings.Contains(rest, "once execution e1 has ended") {
		t.Error(text.String())
	}
	found[0].Busy = ""
	text.Reset()
	driftText(&text, found)
	if !strings.Contains(text.String(), "shift all traffic") || strings.Contains(text.String(), "is changing it") {
		t.Error(text.String())
	}
}
