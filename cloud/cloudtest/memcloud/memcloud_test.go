package memcloud_test

import (
	"testing"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/cloud/driver"
)

func TestConformance(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Target {
		code := 3
		return cloudtest.Target{
			Region: "mem-1", Artifact: "sha256:any", Command: []string{"./server"},
			Cloud: memcloud.New(memcloud.Config{Regions: []string{"mem-1", "mem-2"}, Fails: func(s driver.ServerGroupSpec) *driver.InstanceFailure {
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
}
