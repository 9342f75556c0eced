package edge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"showrunner/cloud/localcloud/injection"
)

// faultsOn is what faults do to a request; hit is false when none concerns it.
func faultsOn(r *http.Request, faults []injection.Fault) (e injection.Effect, hit bool) {
	var list []injection.Fault
	for _, f := range faults {
		if f.Cluster == hostName(r.Host) && f.Matches(r) && f.Draw() {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return e, false
	}
	return injection.Of(list), true
}

// hostName is the first part of "name.localhost:port".
func hostName(host string) string {
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), ".localhost")
}

// blackholeCheck is how often a request in a blackhole looks whether that is still
// there: the edge learns of faults when it asks the regions how they are.
const blackholeCheck = 100 * time.Millisecond

// damage has faults act on a request on its way to a region. The request never reaches
// that, but it counts as sent: whoever sees only the connection cannot know. done is
// false where the request goes on.
func (t *transport) damage(r *http.Request, c choice, e injection.Effect) (res *http.Response, sent bool, err error, done bool) {
	ended := r.Context().Done()
	if e.Delay > 0 && !injection.Pause(e.Delay, ended) {
		return nil, false, r.Context().Err(), true
	}
	switch {
	case len(e.Blackhole) > 0:
		for t.blackholed(c.name, e.Blackhole) && injection.Pause(blackholeCheck, ended) {
		}
		return nil, true, fmt.Errorf("%s: %w", c.name, injection.Err), true
	case e.Abort:
		return nil, true, fmt.Errorf("%s: %w", c.name, injection.Err), true
	case e.Status > 0:
		return injection.Answer(r, e.Status), true, nil, true
	}
	return nil, false, nil, false
}

// blackholed says whether one of the faults is still there.
func (t *transport) blackholed(region string, ids []string) bool {
	faults, _ := t.edge.config.Cloud.EdgeFaults(region)
	return slices.ContainsFunc(faults, func(f injection.Fault) bool { return slices.Contains(ids, f.ID) })
}
