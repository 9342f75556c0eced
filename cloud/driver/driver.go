// Package driver owns what a cloud implements: the types of the contract and
// one small interface for each ability. It imports no other part of the cloud
// packages and does no I/O. Callers do not use a driver; they hold a
// *cloud.Account, which checks, measures and wraps errors.
//
// Every operation is idempotent: operations that change something take a key,
// which is not empty, and the same key never acts twice. With the same request
// it answers as it did; with another request it is a conflict. A refusal is not
// remembered. Errors carry a problem.Code; unavailable is the only one worth
// retrying.
package driver

import (
	"context"
	"io"

	"showrunner/pipeline"
)

// Cloud is what every driver has. A cloud of functions has nothing else; all
// other interfaces of this package are abilities that a driver may have.
type Cloud interface {
	// Regions lists the account's regions, unhealthy ones included.
	Regions(ctx context.Context) ([]Region, error)
	// Facts states what the cloud can do in a region. It may ask the cloud.
	Facts(ctx context.Context, region string) (Facts, error)
	Versions
	Traffic
}

// Versions creates, lists and destroys the versions of a cluster. Each version is a server group.
type Versions interface {
	// CreateServerGroup creates the next version of the cluster and returns without
	// waiting for its instances. The values of the environment are no part of what
	// the key stands for (Identity): the values of the first call count.
	CreateServerGroup(ctx context.Context, region string, spec ServerGroupSpec, key string) (ServerGroup, error)
	// ServerGroups observes one cluster's server groups, oldest first, or every cluster's when
	// cluster is empty. It reads the cloud's own fresh state.
	ServerGroups(ctx context.Context, region, cluster string) ([]ServerGroup, error)
	// Destroy terminates a group's instances after draining them, and removes it. It does
	// not wait: the group is seen Destroying until it is gone. A group that is gone already is success.
	Destroy(ctx context.Context, region, serverGroup string, guard Guard, key string) error
}

// Traffic splits a cluster's requests between its versions.
type Traffic interface {
	// SetWeights sets the shares of traffic of a cluster's groups in one atomic change;
	// groups not named keep theirs; 0 disables. A group's TrafficUntil follows.
	SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard Guard, key string) error
}

// Capacity is the ability to change how many instances a version has.
type Capacity interface {
	// Resize sets a group's capacity.
	Resize(ctx context.Context, region, serverGroup string, to pipeline.Capacity, guard Guard, key string) error
}

// Terminator is the ability to end one instance.
type Terminator interface {
	// Terminate ends one instance, after draining it unless kill is set. Decrement also
	// lowers the desired capacity; otherwise the instance is replaced.
	Terminate(ctx context.Context, region, instance string, opts TerminateOptions, key string) error
}

// Counter is the ability to count a cluster's requests.
type Counter interface {
	// Counts reads the load balancer's raw counts for a cluster, per group and per instance.
	Counts(ctx context.Context, region, cluster string) ([]Counts, error)
}

// Watcher is the ability to wait for a change instead of asking again.
type Watcher interface {
	// WaitChanges returns when anything of the region has changed since revision, with the
	// clusters that have, or when ctx ends. Revision 0, or one that the region did not give
	// out in its present life, returns at once and says that every cluster may have changed.
	WaitChanges(ctx context.Context, region string, revision uint64) (Changes, error)
}

// Logs is the ability to read what an instance wrote.
type Logs interface {
	// InstanceLog copies the instance's kept output; with follow it goes on until ctx ends.
	InstanceLog(ctx context.Context, region, instance string, follow bool, to io.Writer) error
}

// History is the ability to say which instances ended in versions that are gone.
type History interface {
	// EndedInstances lists them, newest first, for as long as the driver keeps them. Logs has their output.
	EndedInstances(ctx context.Context, region string) ([]Instance, error)
}

// Standby is the ability to take an instance out of service without ending it.
type Standby interface {
	SetStandby(ctx context.Context, region, instance string, standby bool, key string) error
}

// Protection is the ability to keep an instance from being chosen when a group shrinks.
type Protection interface {
	SetProtection(ctx context.Context, region, instance string, protected bool, key string) error
}

// HealthSetter is the ability to overrule an instance's health checks.
type HealthSetter interface {
	// SetHealth unhealthy has an instance in service replaced whatever its checks say; healthy takes that back.
	SetHealth(ctx context.Context, region, instance string, healthy bool, key string) error
}

// Suspender is the ability to stop and resume the processes that maintain a group.
type Suspender interface {
	// Suspend stops the named processes of a group (Launch, Terminate, …); none named means all.
	Suspend(ctx context.Context, region, serverGroup string, processes []string, key string) error
	// Resume starts them again.
	Resume(ctx context.Context, region, serverGroup string, processes []string, key string) error
}

// HookAnswerer is the ability to answer lifecycle hooks that wait for a word from outside.
type HookAnswerer interface {
	// AnswerHook completes the hook that an instance waits in, or has its timeout begin anew. An
	// instance that does not wait is refused with precondition.
	AnswerHook(ctx context.Context, region, instance string, answer HookAnswer, key string) error
}

// ZoneSetter is the ability to take a zone down and bring it back.
type ZoneSetter interface {
	// SetZone down kills what runs in the zone and refuses launches there until it is back.
	SetZone(ctx context.Context, region, zone string, down bool, key string) error
}

// Addresses is the ability to say where people find a cluster or a site.
type Addresses interface {
	// SiteURL is empty when there is no address.
	SiteURL(name string) string
}
