// Package driver owns the contract that a cloud implements: the types of the
// contract and one small interface for each ability. It imports no other part of
// the cloud packages and does no I/O. Callers do not use a driver; they hold a
// *cloud.Account, which checks, measures and wraps errors.
//
// Every operation is idempotent: operations that change something take a key,
// which is not empty, and the same key never acts twice. Repeated with the same
// request, it returns the first answer; with another request it is a conflict. A
// refusal is not remembered. Errors carry a problem.Code; unavailable is the only
// one worth retrying.
package driver

import (
	"context"
	"io"

	"showrunner/pipeline"
)

// Cloud is the interface of every driver. A cloud of functions needs no more. All
// other interfaces of this package are abilities that a driver may have.
type Cloud interface {
	// Regions lists the account's regions, unhealthy ones included.
	Regions(ctx context.Context) ([]Region, error)
	// Facts states the abilities and limits of the cloud in a region. It may
	// query the cloud.
	Facts(ctx context.Context, region string) (Facts, error)
	Versions
	Traffic
}

// Versions creates, lists and destroys the versions of a cluster. Each version is a server group.
type Versions interface {
	// CreateServerGroup creates the next version of the cluster and returns
	// without waiting for its instances. The values of the environment are not
	// part of the request that the key stands for (Identity): the values of the
	// first call count.
	CreateServerGroup(ctx context.Context, region string, spec ServerGroupSpec, key string) (ServerGroup, error)
	// ServerGroups returns the present server groups of one cluster, oldest
	// first, or of every cluster when cluster is empty. It reads fresh state from
	// the cloud.
	ServerGroups(ctx context.Context, region, cluster string) ([]ServerGroup, error)
	// Destroy terminates a group's instances after draining them, and removes the
	// group. It does not wait: the group is listed as Destroying until it is
	// gone. Destroying a group that is already gone succeeds.
	Destroy(ctx context.Context, region, serverGroup string, guard Guard, key string) error
}

// Traffic splits a cluster's requests between its versions.
type Traffic interface {
	// SetWeights sets the shares of traffic of a cluster's groups in one atomic
	// change; groups that are not named keep their weight; 0 disables. It also
	// updates the groups' TrafficUntil.
	SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard Guard, key string) error
}

// Capacity is the ability to change how many instances a version has.
type Capacity interface {
	// Resize sets a group's capacity.
	Resize(ctx context.Context, region, serverGroup string, to pipeline.Capacity, guard Guard, key string) error
}

// Amender is the ability to change a group's specification without making another
// group, as Auto Scaling groups are changed.
type Amender interface {
	// Amend replaces a group's specification. Later launches use it, and its
	// scaling policies, hooks, zones and maintenance policy apply to the whole
	// group. Running instances stay as they are. The cluster, the application and
	// the capacity cannot be changed in this way; the values of the environment
	// are not part of the request that the key stands for.
	Amend(ctx context.Context, region, serverGroup string, spec ServerGroupSpec, key string) error
}

// Terminator is the ability to end one instance.
type Terminator interface {
	// Terminate ends one instance, after draining it unless kill is set. Decrement also
	// lowers the desired capacity; otherwise the instance is replaced.
	Terminate(ctx context.Context, region, instance string, opts TerminateOptions, key string) error
}

// LoadBalancing is the ability to have hosts whose requests rules spread over pools of
// instances.
type LoadBalancing interface {
	// SetLoadBalancer makes a load balancer, or replaces one of the same name in one atomic change.
	SetLoadBalancer(ctx context.Context, region string, lb LoadBalancer, key string) error
	// RemoveLoadBalancer removes one; one that is gone already is success.
	RemoveLoadBalancer(ctx context.Context, region, name, key string) error
}

// Counter is the ability to count a cluster's requests.
type Counter interface {
	// Counts reads the load balancer's raw counts for a cluster, per group and per instance.
	Counts(ctx context.Context, region, cluster string) ([]Counts, error)
}

// Watcher is the ability to wait for a change instead of polling.
type Watcher interface {
	// WaitChanges returns when anything in the region has changed since revision,
	// with the changed clusters, or when ctx ends. For revision 0, or a revision
	// from before the region's last restart, it returns at once and says that
	// every cluster may have changed.
	WaitChanges(ctx context.Context, region string, revision uint64) (Changes, error)
}

// Logs is the ability to read the output of an instance.
type Logs interface {
	// InstanceLog copies the stored output of an instance; with follow it
	// continues until ctx ends.
	InstanceLog(ctx context.Context, region, instance string, follow bool, to io.Writer) error
}

// FunctionRunner is the ability to run functions.
type FunctionRunner interface {
	// Runtimes lists the runtimes that functions may name, also those that the region's
	// machine lacks, with what they need: the one of a name, or with none all of them.
	Runtimes(ctx context.Context, region, name string) ([]Runtime, error)
	// Invoke runs a function once and returns when it has answered; log is called with
	// what is written meanwhile. A request that was begun ends by itself: when ctx ends
	// first, its outcome is not known. Errors: invalid, precondition for a runtime that
	// cannot run, unavailable.
	Invoke(ctx context.Context, region string, in Invocation, log func(LogLines)) (InvocationResult, error)
	// EndFunction ends what the function has running and does not need for a request; it
	// does not wait for requests.
	EndFunction(ctx context.Context, region, function string) error
}

// History is the ability to list the ended instances of destroyed versions.
type History interface {
	// EndedInstances lists these instances, newest first, for as long as the
	// driver keeps them. Logs has their output.
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

// HealthSetter is the ability to override an instance's health checks.
type HealthSetter interface {
	// SetHealth unhealthy makes the group replace an instance in service,
	// whatever its checks say; healthy undoes that.
	SetHealth(ctx context.Context, region, instance string, healthy bool, key string) error
}

// Suspender is the ability to stop and resume the processes that maintain a group.
type Suspender interface {
	// Suspend stops the named processes of a group (Launch, Terminate, …); none named means all.
	Suspend(ctx context.Context, region, serverGroup string, processes []string, key string) error
	// Resume starts them again.
	Resume(ctx context.Context, region, serverGroup string, processes []string, key string) error
}

// HookAnswerer is the ability to answer lifecycle hooks that wait for an answer
// from outside.
type HookAnswerer interface {
	// AnswerHook completes the hook that an instance waits for, or restarts its
	// timeout. It is refused with precondition for an instance that does not
	// wait.
	AnswerHook(ctx context.Context, region, instance string, answer HookAnswer, key string) error
}

// ZoneSetter is the ability to take a zone down and to bring it back.
type ZoneSetter interface {
	// SetZone down kills the instances in the zone and refuses launches there
	// until the zone is back.
	SetZone(ctx context.Context, region, zone string, down bool, key string) error
}

// Addresses is the ability to give the address of a cluster or a site for users.
type Addresses interface {
	// SiteURL is empty when there is no address.
	SiteURL(name string) string
}
