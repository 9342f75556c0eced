// Package driver is what a cloud implements. Every operation is idempotent:
// those that change something take a key, which is not empty, and the same key
// never acts twice: with the same request it answers as it did, with another it
// is a conflict. A refusal is not remembered.
// Errors carry a problem.Code; unavailable is the only one worth retrying.
package driver

import (
	"context"
	"io"

	"showrunner/cloud"
	"showrunner/pipeline"
)

// Fleet runs server groups behind one load balancer per cluster and region.
type Fleet interface {
	// Regions lists the account's regions, unhealthy ones included.
	Regions(ctx context.Context) ([]cloud.Region, error)
	// CreateServerGroup creates the next version of the cluster and returns without
	// waiting for its instances. The values of the environment are no part of what
	// the key stands for (Identity): the first call's are those that count.
	CreateServerGroup(ctx context.Context, region string, spec cloud.ServerGroupSpec, key string) (cloud.ServerGroup, error)
	// ServerGroups observes one cluster's server groups, oldest first, or every cluster's when
	// cluster is empty. It reads the cloud's own fresh state.
	ServerGroups(ctx context.Context, region, cluster string) ([]cloud.ServerGroup, error)
	// Resize sets a group's capacity.
	Resize(ctx context.Context, region, serverGroup string, to pipeline.Capacity, guard cloud.Guard, key string) error
	// SetWeights sets the shares of traffic of a cluster's groups in one atomic change;
	// groups not named keep theirs; 0 disables. A group's TrafficUntil follows.
	SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard cloud.Guard, key string) error
	// Destroy terminates a group's instances after draining them, and removes it. It does
	// not wait: the group is seen Destroying until it is gone. One that is gone already is success.
	Destroy(ctx context.Context, region, serverGroup string, guard cloud.Guard, key string) error
	// Terminate ends one instance, after draining it unless kill is set. Decrement also
	// lowers the desired capacity; otherwise it is replaced.
	Terminate(ctx context.Context, region, instance string, opts TerminateOptions, key string) error
	// Counts reads the load balancer's raw counts for a cluster, per group and per instance.
	Counts(ctx context.Context, region, cluster string) ([]cloud.Counts, error)
}

// TerminateOptions refine Terminate.
type TerminateOptions = cloud.TerminateOptions

// Watcher is the optional power to wait for a change instead of asking again.
type Watcher interface {
	// WaitChange returns when anything of the cluster has changed since revision, with the new
	// revision, or when ctx ends. Revision 0 returns at once.
	WaitChange(ctx context.Context, region, cluster string, revision uint64) (uint64, error)
}

// Logs is the optional power to read what an instance wrote.
type Logs interface {
	// InstanceLog copies the instance's kept output; with follow it goes on until ctx ends.
	InstanceLog(ctx context.Context, region, instance string, follow bool, to io.Writer) error
}

// Operator is the optional power of Auto Scaling's side operations.
type Operator interface {
	SetStandby(ctx context.Context, region, instance string, standby bool, key string) error
	SetProtection(ctx context.Context, region, instance string, protected bool, key string) error
	// SetHealth unhealthy has an instance in service replaced whatever its checks say; healthy takes that back.
	SetHealth(ctx context.Context, region, instance string, healthy bool, key string) error
	Suspend(ctx context.Context, region, serverGroup string, processes []string, key string) error
	Resume(ctx context.Context, region, serverGroup string, processes []string, key string) error
}

// HookAnswerer is the optional power to answer lifecycle hooks that wait for a word from outside.
type HookAnswerer interface {
	// AnswerHook completes the hook that an instance waits in, or has its timeout begin anew. One
	// that does not wait is refused with precondition.
	AnswerHook(ctx context.Context, region, instance string, answer cloud.HookAnswer, key string) error
}

// Zonal is the optional power to take a zone down and bring it back.
type Zonal interface {
	// SetZone down kills what runs in the zone and refuses launches there until it is back.
	SetZone(ctx context.Context, region, zone string, down bool, key string) error
}

// Sites is the power to host websites from object storage.
type Sites interface {
	// Publish makes the artifact the site's content in the region: only objects whose content differs
	// travel, assets before documents before deletions. The same key returns the same deployment.
	Publish(ctx context.Context, region string, req PublishRequest, key string, progress func(done, total int)) (SiteDeployment, error)
	// SiteDeployments lists what the site has been, newest first; the first that is Current serves.
	SiteDeployments(ctx context.Context, region, site string) ([]SiteDeployment, error)
	// Activate returns the site to an earlier deployment without its artifact travelling again.
	Activate(ctx context.Context, region, site, deployment, key string) (SiteDeployment, error)
	// SiteURL is where people find the site.
	SiteURL(site string) string
}

// PublishRequest is one site deployment.
type PublishRequest = cloud.PublishRequest

// SiteDeployment is one content that a site has, or had, in one region.
type SiteDeployment = cloud.SiteDeployment
