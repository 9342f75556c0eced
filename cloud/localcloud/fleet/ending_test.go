package fleet

import (
	"log/slog"
	"testing"
	"time"

	"showrunner/cloud/driver"
)

// An instance that is killed for failing checks counts as one failure, not as a
// second one when it has ended.
func TestAFailureCountsOnce(t *testing.T) {
	f := &Fleet{config: Config{Log: slog.New(slog.DiscardHandler), Now: time.Now}}
	g := &group{}
	i := &instance{group: g, served: true, failure: &driver.InstanceFailure{Code: "UNHEALTHY"}}
	f.failed(i, true)
	i.failure = &driver.InstanceFailure{Code: "EXITED"}
	f.failed(i, true)
	if g.crashes != 1 || g.failures != 0 || g.lastFailure.Code != "EXITED" {
		t.Errorf("%d crashes, %d failures, %+v", g.crashes, g.failures, g.lastFailure)
	}
}
