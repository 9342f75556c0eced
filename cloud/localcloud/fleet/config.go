package fleet

import (
	"context"
	"log/slog"
	"time"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/balancer"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Balancer is the part of the region's load balancer that the fleet needs. Its
// methods must not call back into the fleet before they return.
type Balancer interface {
	// SetCluster replaces the balancer's settings of a cluster in one atomic
	// change.
	SetCluster(balancer.Cluster)
	RemoveCluster(name string)
	// SetRules replaces where the requests of a load balancer's hosts go; RemoveRules has
	// its hosts be unknown.
	SetRules(balancer.Rules)
	RemoveRules(name string)
	// SetFaults replaces the faults of the connections to instances.
	SetFaults([]balancer.Fault)
	// Drain returns when the instance has no request in flight, or ctx ends.
	Drain(ctx context.Context, instanceID string) error
	// Counts are raw and cumulative, per group and per instance.
	Counts(cluster string) []driver.Counts
}

// Artifacts unpacks an artifact into a folder.
type Artifacts interface {
	Extract(ctx context.Context, ref artifact.Ref, dir string) error
}

// Config is the configuration of a Fleet.
type Config struct {
	Region    string
	Zones     []string  // default: the region's name with a, b and c
	Dir       string    // the region's folder for the fleet; made when missing, 0700
	Artifacts Artifacts // required
	Balancer  Balancer  // required
	Log       *slog.Logger
	Now       func() time.Time // default time.Now
	// Address and S3 are shown by Regions: the load balancer and the object storage.
	Address string
	S3      string

	// PassEnv names variables of this process that instances inherit, besides
	// PATH, LANG, LC_ALL and TZ.
	PassEnv []string

	// Helper is a program that calls stress.Main, for faults that use things up; without
	// one they are refused.
	Helper string

	Maintenance pipeline.Maintenance // of groups without their own; default 100 and 110
	Scaling     Scaling
}

// Scaling says how often policies are evaluated, and how many periods of evidence
// they need.
type Scaling struct {
	Period      time.Duration // default 1s
	HighPeriods int           // periods in a row above the target before growing; default 3
	LowPeriods  int           // periods in a row below 90% of it before shrinking; default 15
	Warmup      time.Duration // of policies without their own; default 5s
}

func (c Config) withDefaults() (Config, error) {
	const op = "fleet.new"
	switch {
	case c.Region == "":
		return c, problem.New(problem.Invalid, op, "the region has no name")
	case c.Dir == "":
		return c, problem.New(problem.Invalid, op, "region %s has no folder", c.Region)
	case c.Artifacts == nil || c.Balancer == nil:
		return c, problem.New(problem.Invalid, op, "region %s needs artifacts and a balancer", c.Region)
	}
	if len(c.Zones) == 0 {
		c.Zones = []string{c.Region + "a", c.Region + "b", c.Region + "c"}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Maintenance == (pipeline.Maintenance{}) {
		c.Maintenance = pipeline.Maintenance{MinHealthy: 100, MaxHealthy: 110}
	}
	if err := driver.CheckMaintenance(&c.Maintenance); err != nil {
		return c, err
	}
	if c.Scaling.Period <= 0 {
		c.Scaling.Period = time.Second
	}
	if c.Scaling.HighPeriods <= 0 {
		c.Scaling.HighPeriods = 3
	}
	if c.Scaling.LowPeriods <= 0 {
		c.Scaling.LowPeriods = 15
	}
	if c.Scaling.Warmup <= 0 {
		c.Scaling.Warmup = 5 * time.Second
	}
	return c, nil
}
