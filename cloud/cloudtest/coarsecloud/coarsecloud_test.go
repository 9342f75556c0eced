package coarsecloud_test

import (
	"testing"
	"time"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/cloudtest/coarsecloud"
	"showrunner/cloud/driver"
)

func TestConformance(t *testing.T) {
	allOrNothing, two := coarsecloud.Facts(), coarsecloud.Facts()
	allOrNothing.AllOrNothing, two.MaxInTraffic = true, 2
	allOrNothing.Counts = nil
	for name, facts := range map[string]driver.Facts{"percents": coarsecloud.Facts(), "all or nothing": allOrNothing, "two": two} {
		t.Run(name, func(t *testing.T) {
			cloudtest.Run(t, func(t *testing.T) cloudtest.Target {
				code := 3
				return cloudtest.Target{
					Region: "coarse-1", Artifact: "sha256:any", Command: []string{"./server"},
					Cloud: coarsecloud.New(coarsecloud.Config{Regions: []string{"coarse-1"}, Facts: facts, Lag: 2 * time.Second, Fails: func(s driver.ServerGroupSpec) *driver.InstanceFailure {
						switch cloudtest.Mode(s.Env[cloudtest.ModeVariable].Value) {
						case cloudtest.ExitAtOnce:
							return &driver.InstanceFailure{Code: "EXITED", Cause: "exit code 3", ExitCode: &code, LastLog: []string{"the configuration is missing"}}
						case cloudtest.NeverReady:
							return &driver.InstanceFailure{Code: "NEVER_HEALTHY", Cause: "not healthy"}
						}
						return nil
					}}),
				}
			})
		})
	}
}
