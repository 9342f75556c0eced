package fleet

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
	"showrunner/problem"
)

// Fleet is one region's server groups. It implements driver.Fleet, Watcher, Logs
// and Operator for its own region.
type Fleet struct {
	config Config
	folder *folder
	runner *process.System
	client *http.Client // of probes
	since  time.Time
	mark   string // in the environment of every process of this fleet

	ctx    context.Context // canceled when Close must not wait any longer
	cancel context.CancelFunc
	wake   chan struct{}
	quit   chan struct{} // tells the loop to end
	looped chan struct{} // the loop has ended
	work   sync.WaitGroup

	archiving sync.Mutex // held while the folder of a removed group is archived

	mu        sync.Mutex
	doc       document
	groups    map[string]*group
	instances map[string]*instance
	addresses *addresses
	revisions map[string]uint64 // by cluster
	revision  uint64
	changed   chan struct{}                 // closed and replaced with every revision
	helpers   map[string][]*process.Process // that faults run, by fault
	closing   bool
}

// New opens the region's record, ends the processes that an earlier region
// process left running, and starts the recorded groups. Only one process may have
// a folder open.
func New(config Config) (*Fleet, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if config.Dir, err = filepath.Abs(config.Dir); err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "fleet.new", "folder %s", config.Dir)
	}
	folder, err := openFolder(config.Dir)
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		config: config, folder: folder, client: newProbeClient(), since: config.Now(),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), looped: make(chan struct{}),
		groups: map[string]*group{}, instances: map[string]*instance{}, helpers: map[string][]*process.Process{}, revisions: map[string]uint64{}, changed: make(chan struct{}),
	}
	// Revisions start above those of earlier region processes.
	f.revision = uint64(f.since.UnixNano())
	if err := f.restore(); err != nil {
		folder.close()
		return nil, err
	}
	f.runner = process.NewSystem(config.Log)
	if n := f.runner.Sweep(markName + "=" + f.mark); n > 0 {
		config.Log.Info("ended processes that an earlier region process left", "region", config.Region, "count", n)
	}
	f.addresses = openAddresses(config.Region, config.Zones)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	for cluster := range f.clusters() {
		f.push(cluster)
	}
	for _, lb := range f.doc.LoadBalancers {
		f.pushLoadBalancer(lb, lb)
	}
	go f.loop()
	return f, nil
}

// restore reads the record. All instances died with the process that wrote it.
// Instances in standby died too, so their places in the desired capacity are
// restored.
func (f *Fleet) restore() error {
	doc, err := f.folder.load()
	if err != nil {
		return err
	}
	fresh := doc.clone()
	for name, r := range doc.Groups {
		env, err := f.folder.unseal(r.Env)
		if err != nil {
			return problem.Wrap(err, problem.Internal, "fleet.open", "the environment of %s cannot be opened", name)
		}
		if len(r.Standby) > 0 {
			r.Capacity.Desired = min(r.Capacity.Desired+len(r.Standby), r.Capacity.Max)
			r.Standby = nil
			fresh.Groups[name] = r
		}
		g := f.newGroup(name, r, env)
		g.ended = remembered(filepath.Join(f.folder.group(name), "instances"))
		g.ended = g.ended[:min(len(g.ended), endedKept)]
		f.groups[name] = g
	}
	for id, a := range doc.Faults {
		fresh.withoutFault(a.Fault)
		f.config.Log.Warn("undone a fault that an earlier region process left", "fault", id, "kind", a.Kind)
	}
	f.doc, f.mark = fresh, fresh.Mark
	if err := f.folder.save(fresh); err != nil {
		return problem.Wrap(err, problem.Unavailable, "fleet.open", "state of %s", f.folder.path)
	}
	return f.tidy()
}

// tidy archives the folders of groups that no longer exist.
func (f *Fleet) tidy() error {
	entries, err := os.ReadDir(filepath.Join(f.folder.path, "groups"))
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "fleet.open", "groups of %s", f.folder.path)
	}
	for _, e := range entries {
		if f.groups[e.Name()] == nil {
			if err := f.folder.archive(e.Name(), f.config.Now()); err != nil {
				return problem.Wrap(err, problem.Unavailable, "fleet.open", "leftovers of %s", e.Name())
			}
		}
	}
	return nil
}

func (f *Fleet) clusters() map[string]bool {
	set := map[string]bool{}
	for _, g := range f.groups {
		set[g.cluster] = true
	}
	return set
}

// requestPass wakes the loop; several requests may cause a single pass.
func (f *Fleet) requestPass() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// loop carries out plans: after a change, at the time that a plan asked for, and
// once every period for changes that depend only on time.
func (f *Fleet) loop() {
	defer close(f.looped)
	tick := time.NewTicker(f.config.Scaling.Period)
	defer tick.Stop()
	later := time.NewTimer(0)
	defer later.Stop()
	for {
		select {
		case <-f.quit:
			return
		case <-f.wake:
		case <-later.C:
		case <-tick.C:
			f.sample()
			f.autoscale()
		}
		if next := f.reconcile(); !next.IsZero() {
			later.Reset(max(0, next.Sub(f.config.Now())))
		}
	}
}

// launchSomewhere launches in the planned zone, and in another available zone
// when that fails. A launch that rebalances the zones is tried only in its own
// zone.
func (f *Fleet) launchSomewhere(g *group, l launch) error {
	err := f.launch(g, l)
	for _, z := range f.desired(g).Zones {
		if err == nil || l.Rebalance {
			break
		}
		if z.Name != l.Zone && !z.Down {
			err = f.launch(g, launch{Zone: z.Name})
		}
	}
	return err
}

// reconcile plans every group once and starts the planned changes.
func (f *Fleet) reconcile() (next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return time.Time{}
	}
	now := f.config.Now()
	next = f.expireFaults(now)
	for _, g := range f.groupsOf("") {
		members := make([]member, 0, len(g.instances))
		for _, i := range g.sorted() {
			members = append(members, i.member())
		}
		c := plan(f.desired(g), members, now)
		for _, e := range c.End {
			f.end(g.instances[e.ID], e.Why, false)
		}
		for _, l := range f.allowed(g, c.Launch) {
			if err := f.launchSomewhere(g, l); err != nil {
				f.config.Log.Error("cannot launch", "group", g.name, "zone", l.Zone, "err", err)
				g.backoff.bump(now, now)
				f.launchFailed(g)
				c.Wake = g.backoff.until
				break
			}
		}
		if !c.Wake.IsZero() && (next.IsZero() || c.Wake.Before(next)) {
			next = c.Wake
		}
		if f.doc.Groups[g.name].Destroying && len(g.instances) == 0 {
			f.remove(g)
		}
	}
	return next
}

// allowed are the launches that a group may still have. Those of a group whose
// instances are not replaced are counted first: what dies in between is not launched.
func (f *Fleet) allowed(g *group, planned []launch) []launch {
	r := f.doc.Groups[g.name]
	if !r.Spec.Once || len(planned) == 0 {
		return planned
	}
	planned = planned[:min(len(planned), max(0, r.Capacity.Desired-r.Launched))]
	if len(planned) == 0 {
		return nil
	}
	next := f.doc.clone()
	r.Launched += len(planned)
	next.Groups[g.name] = r
	if err := f.folder.save(next); err != nil {
		f.config.Log.Error("cannot count the launches of a group", "group", g.name, "err", err)
		return nil // the next pass tries again
	}
	f.doc = next
	return planned
}

func (f *Fleet) desired(g *group) desired {
	r := f.doc.Groups[g.name]
	d := desired{Capacity: r.Capacity, Suspended: map[string]bool{}, Maintenance: f.config.Maintenance,
		Destroying: r.Destroying, NotBefore: g.backoff.until, Failing: g.backoff.rounds > 0}
	if r.Spec.Maintenance != nil {
		d.Maintenance = *r.Spec.Maintenance
	}
	for _, p := range r.Suspended {
		d.Suspended[p] = true
	}
	for _, z := range f.config.Zones {
		if len(r.Spec.Zones) > 0 && !slices.Contains(r.Spec.Zones, z) {
			continue
		}
		_, down := f.doc.DownZones[z]
		d.Zones = append(d.Zones, zone{Name: z, Down: down})
	}
	return d
}

// remove forgets a group whose last instance is gone.
func (f *Fleet) remove(g *group) {
	next := f.doc.clone()
	delete(next.Groups, g.name)
	if err := f.folder.save(next); err != nil {
		f.config.Log.Error("cannot record the removal of a group", "group", g.name, "err", err)
		return // the next pass tries again
	}
	f.doc = next
	delete(f.groups, g.name)
	f.push(g.cluster)
	f.bump(g.cluster)
	f.work.Go(func() {
		f.archiving.Lock() // groups that are removed together share the limits
		defer f.archiving.Unlock()
		if err := f.folder.archive(g.name, f.config.Now()); err != nil {
			f.config.Log.Warn("cannot put a group's folder away", "group", g.name, "err", err)
		}
	})
}

// bump makes a change of a cluster visible to WaitChanges.
func (f *Fleet) bump(cluster string) {
	f.revision++
	f.revisions[cluster] = f.revision
	close(f.changed)
	f.changed = make(chan struct{})
}

// Eject reports that the balancer has ejected an instance as an outlier. It
// counts as one failed check, and the next check comes at once.
func (f *Fleet) Eject(instanceID, reason string) {
	f.mu.Lock()
	i := f.instances[instanceID]
	f.mu.Unlock()
	if i == nil {
		return
	}
	select {
	case i.checkNow <- reason:
	default: // one pending report is enough
	}
}

// Close stops every instance: SIGTERM, and SIGKILL when its stop timeout or ctx
// ends, whichever is first. The record stays; New starts the same groups again.
// The caller has to drain requests in flight before.
func (f *Fleet) Close(ctx context.Context) error {
	f.mu.Lock()
	if f.closing {
		f.mu.Unlock()
		return nil
	}
	f.closing = true
	for _, i := range f.instances {
		f.stopForClose(i)
	}
	close(f.changed) // ends the calls of WaitChanges
	f.changed = make(chan struct{})
	f.mu.Unlock()
	close(f.quit)
	<-f.looped
	ended := make(chan struct{})
	go func() {
		f.work.Wait()
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		f.mu.Lock()
		for _, i := range f.instances {
			if i.process != nil {
				i.process.Signal(syscall.SIGKILL)
				err = errors.Join(err, problem.New(problem.Unavailable, "fleet.close", "%s did not stop in time and was killed", i.id))
			}
		}
		f.mu.Unlock()
	}
	f.cancel()
	<-ended
	f.runner.Close()
	f.client.CloseIdleConnections()
	f.addresses.close()
	f.folder.close()
	return err
}

func (f *Fleet) stopForClose(i *instance) {
	if i.lifecycle == driver.Terminating {
		return
	}
	i.lifecycle = driver.Terminating
	if !i.running {
		f.finalize(i)
		return
	}
	f.work.Go(func() { f.stop(i, false, false) })
}
