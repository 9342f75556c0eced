package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/balancer"
	"showrunner/cloud/localcloud/internal/process"
)

const (
	// stable is how long an instance must serve until its group's back-off is
	// reset.
	stable = 5 * time.Second
	// endedKept is how many ended instances a group remembers, with their output.
	endedKept    = 20
	firstBackoff = 500 * time.Millisecond
	maxBackoff   = 30 * time.Second
)

// group is the running part of a server group; its durable part is the record of
// the same name. Guarded by Fleet.mu, except in prepare.
type group struct {
	name, cluster string
	env           map[string]string
	instances     map[string]*instance
	ended         []driver.Instance // newest first
	lastFailure   *driver.InstanceFailure
	failures      int
	crashes       int
	backoff       backoff
	scaler        scaler
	scaled        *driver.ScalingChange // by a policy, the last
	unenforced    []string

	prepared sync.Mutex // held while an artifact is unpacked
}

// backoff spaces out launches of a group whose instances keep failing.
type backoff struct {
	rounds int
	bumped time.Time
	until  time.Time
}

// bump starts another round of failures. Failures of instances that were launched
// before the last round began belong to that round.
func (b *backoff) bump(launched, now time.Time) {
	if b.rounds > 0 && launched.Before(b.bumped) {
		return
	}
	wait := maxBackoff
	if b.rounds < 6 {
		wait = firstBackoff << b.rounds
	}
	b.rounds++
	b.bumped, b.until = now, now.Add(wait)
}

// instance is one process and its state. Guarded by Fleet.mu.
type instance struct {
	id, zone, host, address string
	version                 string // of its group when it was launched
	group                   *group
	lifecycle               driver.Lifecycle
	launched, serving       time.Time // serving: since when, or when it last began to serve
	running                 bool      // its process has not ended, or is about to start
	ready, live             bool      // results of its checks
	registered              bool      // the balancer has it
	draining                bool      // the balancer lets requests in flight end
	served                  bool      // whether it ever served
	counted                 bool      // its present failure is already counted for its group
	protected, rebalancing  bool
	markedUnhealthy         bool // by SetHealth; it serves until it is replaced
	outage                  bool // ended by an outage of its zone
	stopTimedOut            bool
	process                 *process.Process   // nil until it has started, and while a fault has it restart
	restart                 *restart           // nil unless a fault restarts it
	helpers                 []*process.Process // that faults run beside it
	program                 process.Program    // the instance's program, also used for its hooks
	hook                    *runningHook       // the running hook
	answered                *runningHook       // the last hook that was completed from outside
	launchHookPassed        bool
	cpu                     float64
	memory                  int64
	used                    time.Duration // processor time at the last sample
	sampled                 time.Time
	failure                 *driver.InstanceFailure
	probeDetail             string
	probeFailed             bool
	output                  *output
	ended                   time.Time
	why                     string // why it is ended

	ctx      context.Context
	cancel   context.CancelFunc
	checkNow chan string   // the balancer has ejected it: check at once
	returned chan struct{} // returned from standby: check readiness again
	done     chan struct{} // closed when the process has ended, or never started
}

func newID(prefix string) string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])[:17]
}

func (i *instance) healthy() bool { return i.running && i.ready && i.live && i.registered }

func (i *instance) inService() bool { return i.lifecycle == driver.InService && i.healthy() }

func (i *instance) member() member {
	return member{ID: i.id, Zone: i.zone, Lifecycle: i.lifecycle, Running: i.running, Live: i.live, MarkedUnhealthy: i.markedUnhealthy,
		Protected: i.protected, Rebalancing: i.rebalancing, Launched: i.launched}
}

func (g *group) serving() int {
	n := 0
	for _, i := range g.instances {
		if i.inService() {
			n++
		}
	}
	return n
}

func (g *group) sorted() []*instance {
	list := make([]*instance, 0, len(g.instances))
	for _, i := range g.instances {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b *instance) int { return cmp.Or(a.launched.Compare(b.launched), cmp.Compare(a.id, b.id)) })
	return list
}

func (f *Fleet) describe(i *instance) driver.Instance {
	d := driver.Instance{
		ID: i.id, ServerGroup: i.group.name, Version: i.version, Region: f.config.Region, Zone: i.zone,
		Address: i.address, Lifecycle: i.lifecycle, Healthy: i.healthy(), Protected: i.protected,
		Launched: i.launched, CPU: i.cpu, Memory: i.memory, Failure: i.failure, Ended: i.ended, Why: i.why,
	}
	if i.probeFailed && i.running {
		d.Probe = i.probeDetail
	}
	if d.Hook = i.hook.state(i.lifecycle); d.Hook != nil {
		d.Lifecycle = i.hook.lifecycle
	}
	if i.inService() || i.lifecycle == driver.Terminating || i.lifecycle == driver.Terminated {
		d.ServingSince = i.serving
	}
	if i.process != nil && i.running {
		d.PID = i.process.PID()
	}
	return d
}

// observe is a server group in the form of the driver's contract, without the
// values of its environment.
func (f *Fleet) observe(g *group) driver.ServerGroup {
	r := f.doc.Groups[g.name]
	out := driver.ServerGroup{
		Name: g.name, Region: f.config.Region, Spec: r.Spec, Capacity: r.Capacity, Weight: r.Weight, Created: r.Created, TrafficUntil: r.TrafficUntil,
		Suspended: r.Suspended, LastFailure: g.lastFailure, Failures: g.failures, Crashes: g.crashes,
		Ended: slices.Clone(g.ended), Destroying: r.Destroying, Unenforced: g.unenforced, Scaled: g.scaled,
		Instances: make([]driver.Instance, 0, len(g.instances)),
	}
	for _, i := range g.sorted() {
		out.Instances = append(out.Instances, f.describe(i))
	}
	return out
}

// groupsOf lists the groups of a cluster, or of every cluster when cluster is
// empty, oldest first.
func (f *Fleet) groupsOf(cluster string) []*group {
	var list []*group
	for _, g := range f.groups {
		if cluster == "" || g.cluster == cluster {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b *group) int { return cmp.Compare(f.doc.Groups[a.name].Order, f.doc.Groups[b.name].Order) })
	return list
}

// servingOf counts a cluster's serving instances by the rules of the traffic
// guard.
func (f *Fleet) servingOf(cluster string, weight func(name string) float64) int {
	n := 0
	for _, g := range f.groups {
		if g.cluster == cluster && weight(g.name) > 0 && !f.doc.Groups[g.name].Destroying {
			n += g.serving()
		}
	}
	return n
}

func (f *Fleet) weightOf(name string) float64 { return f.doc.Groups[name].Weight }

// push sends the present state of a cluster to the balancer.
func (f *Fleet) push(cluster string) {
	defer f.pushPools(cluster)
	groups := f.groupsOf(cluster)
	if len(groups) == 0 {
		f.config.Balancer.RemoveCluster(cluster)
		return
	}
	newest := f.doc.Groups[groups[len(groups)-1].name].Spec
	c := balancer.Cluster{Name: cluster, Sticky: newest.Sticky}
	if t := newest.Traffic; t != nil {
		c.MaxInFlight, c.ResponseTimeout, c.HedgingDelay = t.MaxInFlight, time.Duration(t.ResponseTimeout), time.Duration(t.HedgingDelay)
		c.VersionHeader = t.VersionHeader
	}
	for _, g := range groups {
		r := f.doc.Groups[g.name]
		target := balancer.Group{Name: g.name, Version: r.Spec.Version, Weight: r.Weight}
		if r.Spec.Role == driver.RoleBaseline {
			target.Version = "" // a request that asks for the version is for the group that serves it
		}
		if r.Destroying {
			target.Weight = 0
		}
		target.Targets = f.targets(g)
		c.Groups = append(c.Groups, target)
	}
	f.config.Balancer.SetCluster(c)
}

// Resolve names the cluster for the first label of a host: the only cluster of
// the application of that name, the oldest when there are several, "" for none.
func (f *Fleet) Resolve(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.groupsOf(name) != nil {
		return name
	}
	for _, g := range f.groupsOf("") {
		if driver.ApplicationOf(f.doc.Groups[g.name].Spec) == name {
			return g.cluster
		}
	}
	return ""
}

var (
	_ driver.Cloud         = (*Fleet)(nil)
	_ driver.Capacity      = (*Fleet)(nil)
	_ driver.Amender       = (*Fleet)(nil)
	_ driver.LoadBalancing = (*Fleet)(nil)
	_ driver.Terminator    = (*Fleet)(nil)
	_ driver.Counter       = (*Fleet)(nil)
	_ driver.Watcher       = (*Fleet)(nil)
	_ driver.Logs          = (*Fleet)(nil)
	_ driver.Standby       = (*Fleet)(nil)
	_ driver.Protection    = (*Fleet)(nil)
	_ driver.HealthSetter  = (*Fleet)(nil)
	_ driver.Suspender     = (*Fleet)(nil)
	_ driver.ZoneSetter    = (*Fleet)(nil)

	_ driver.HookAnswerer = (*Fleet)(nil)
)
