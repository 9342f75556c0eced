// Package cloud owns the callers' view of a cloud: accounts, regions, zones,
// clusters, server groups, instances, load balancing and sites. Callers hold an
// *Account, which checks, measures and wraps errors once, over a small driver. It
// refuses to know strategies (package rollout) and any particular cloud.
package cloud

import "showrunner/cloud/driver"

// The types of the contract are declared in package driver. Callers use them by
// the names below, so that they import only this package.
type (
	Region            = driver.Region
	ServerGroupSpec   = driver.ServerGroupSpec
	Workload          = driver.Workload
	WorkloadKind      = driver.WorkloadKind
	Process           = driver.Process
	Image             = driver.Image
	Function          = driver.Function
	EnvValue          = driver.EnvValue
	ServerGroup       = driver.ServerGroup
	Role              = driver.Role
	Instance          = driver.Instance
	InstanceFailure   = driver.InstanceFailure
	Lifecycle         = driver.Lifecycle
	HookState         = driver.HookState
	HookAnswer        = driver.HookAnswer
	Guard             = driver.Guard
	Counts            = driver.Counts
	StatusCounts      = driver.StatusCounts
	Facts             = driver.Facts
	CountFacts        = driver.CountFacts
	Changes           = driver.Changes
	TerminateOptions  = driver.TerminateOptions
	PublishRequest    = driver.PublishRequest
	LoadBalancer      = driver.LoadBalancer
	Pool              = driver.Pool
	BalancerRule      = driver.BalancerRule
	PoolShare         = driver.PoolShare
	FixedAnswer       = driver.FixedAnswer
	Redirect          = driver.Redirect
	BalancerCondition = driver.BalancerCondition
	Invocation        = driver.Invocation
	InvocationResult  = driver.InvocationResult
	LogLines          = driver.LogLines
	LogLine           = driver.LogLine
	Runtime           = driver.Runtime
	SiteDeployment    = driver.SiteDeployment
	SiteChange        = driver.SiteChange
	Site              = driver.Site
)

// RoleBaseline is the role of a group that only exists to be compared with a canary.
const RoleBaseline = driver.RoleBaseline

// The kinds of workloads.
const (
	ProcessWorkload  = driver.ProcessWorkload
	ImageWorkload    = driver.ImageWorkload
	FunctionWorkload = driver.FunctionWorkload
)

// The states of an instance.
const (
	Pending         = driver.Pending
	PendingWait     = driver.PendingWait
	InService       = driver.InService
	Terminating     = driver.Terminating
	TerminatingWait = driver.TerminatingWait
	Terminated      = driver.Terminated
	Standby         = driver.InStandby
)

// MostFunctionsAtOnce is how many requests the functions of a region answer at once.
const MostFunctionsAtOnce = driver.MostFunctionsAtOnce

// The limits that refuse a request to a function.
const (
	ThrottledByReserved = driver.ThrottledByReserved
	ThrottledByRegion   = driver.ThrottledByRegion
)

// The answers to a lifecycle hook.
const (
	HookContinue  = driver.HookContinue
	HookAbandon   = driver.HookAbandon
	HookHeartbeat = driver.HookHeartbeat
)

// Values makes an environment of plain values.
func Values(env map[string]string) map[string]EnvValue { return driver.Values(env) }

// ApplicationOf is the application that a cluster belongs to.
func ApplicationOf(s ServerGroupSpec) string { return driver.ApplicationOf(s) }

// ApplicationOfGroup is the application in the name of a server group, for groups
// that no longer exist.
func ApplicationOfGroup(name string) string {
	cluster, _, ok := driver.ParseServerGroup(name)
	if !ok {
		cluster = name
	}
	return ApplicationOf(ServerGroupSpec{Cluster: cluster})
}

// ParseServerGroup splits a server group's name into its cluster and its number.
func ParseServerGroup(name string) (cluster string, seq int, ok bool) {
	return driver.ParseServerGroup(name)
}

// LatencyBounds are the upper bounds of Counts.Buckets in seconds. They are not changed.
var LatencyBounds = driver.LatencyBounds
