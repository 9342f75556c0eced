package balancer

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/cloud/localcloud/proxy"
	"showrunner/cloud/localcloud/proxy/upstream"
)

// Why there is no target for a request.
var (
	errNoTarget = errors.New("no target can take the request")
	errFull     = errors.New("every target has as many requests in flight as it may")
)

// cluster is a cluster as the choice sees it. It is replaced whole.
type cluster struct {
	balancer *Balancer
	config   Cluster
	groups   []group
	sums     map[string]*sums // by server group, since the cluster was first seen
	queue    *queue           // kept when the cluster is replaced
}

func (c *cluster) timing() timing {
	return timing{timeout: c.config.ResponseTimeout, hedge: c.config.HedgingDelay}
}

type group struct {
	config  Group
	targets []*target
}

// target is one instance, for as long as anything is in flight there.
type target struct {
	id, address, group string
	idValues           []string // as a header's
	sums               *sums
	pool               *upstream.Pool
	suspicion          time.Duration

	mu       sync.Mutex
	inFlight int
	most     int           // that may be in flight, 0: no limit
	queue    *queue        // of its cluster
	idle     chan struct{} // closed when the last request ends while somebody waits for it
	closed   bool          // Drain was called: nothing new ever
	draining bool
	listed   *flight // the attempts under way, as far as somebody may have to end them
	// Passive health: failures and error answers in a row, and until when the target is left alone.
	failures int
	errors   int
	until    time.Time
}

func (b *Balancer) newTarget(t Target, group string) *target {
	n := &target{sums: newSums(), id: t.ID, idValues: []string{t.ID}, address: t.Address, group: group, pool: upstream.NewPool(t.Address), suspicion: b.config.Suspicion}
	n.pool.Spoke = func(until time.Time) {
		b.config.Log.Warn("an instance sends more than its answers; each request gets a connection of its own", "instance", t.ID, "until", until)
	}
	return n
}

// SetCluster replaces a cluster's table atomically.
func (b *Balancer) SetCluster(c Cluster) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := &cluster{balancer: b, config: c, sums: map[string]*sums{}, queue: &queue{}}
	if old := b.clusters[c.Name]; old != nil {
		next.sums, next.queue = maps.Clone(old.sums), old.queue // requests look at the old one meanwhile
	}
	for _, g := range c.Groups {
		if next.sums[g.Name] == nil {
			next.sums[g.Name] = newSums()
		}
		ng := group{config: g}
		for _, t := range g.Targets {
			n := b.targets[t.ID]
			if n == nil || n.address != t.Address {
				if n != nil {
					n.pool.Close()
				}
				n = b.newTarget(t, g.Name)
				b.targets[t.ID] = n
			}
			n.set(t.Draining)
			if !c.Shared || n.queue == nil {
				n.limit(c.MaxInFlight, next.queue)
			}
			ng.targets = append(ng.targets, n)
		}
		next.groups = append(next.groups, ng)
	}
	b.clusters[c.Name] = next
	for name := range next.sums { // groups that are gone take their sums with them
		if !slices.ContainsFunc(c.Groups, func(g Group) bool { return g.Name == name }) {
			delete(next.sums, name)
		}
	}
	b.tell()
}

// set says whether the target takes new requests. What waits for the answer of
// one that does not is called off after suspicion.
func (t *target) set(draining bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case draining && !t.draining:
		time.AfterFunc(t.suspicion, t.callOff)
	case !draining && t.draining:
		t.failures, t.errors, t.until = 0, 0, time.Time{}
	}
	t.draining = draining
}

// limit sets how much may be in flight at the target, and the queue of requests that wait for a place.
// What is in flight beyond a new limit goes on.
func (t *target) limit(most int, queue *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.most, t.queue = most, queue
}

// full says whether the target has as much in flight as it may. It is locked.
func (t *target) full() bool { return t.most > 0 && t.inFlight >= t.most }

// RemoveCluster forgets a cluster; requests in flight end as they would have.
func (b *Balancer) RemoveCluster(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.clusters, name)
	b.tell()
}

// tell wakes requests that wait for a target, and forgets targets that nobody
// names and nothing is in flight to. The balancer is locked.
func (b *Balancer) tell() {
	named := map[*target]bool{}
	for _, c := range b.clusters {
		for _, g := range c.groups {
			for _, t := range g.targets {
				named[t] = true
			}
		}
	}
	for id, t := range b.targets {
		if !named[t] {
			t.set(true)
			if t.quiet() {
				delete(b.targets, id)
				t.pool.Close()
			}
		}
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

func (t *target) quiet() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inFlight == 0
}

// Drain stops sending new requests to the instance and returns when nothing is
// in flight there, or with ctx's error when ctx ends first.
func (b *Balancer) Drain(ctx context.Context, instanceID string) error {
	b.mu.RLock()
	t := b.targets[instanceID]
	b.mu.RUnlock()
	if t == nil {
		return nil
	}
	t.mu.Lock()
	t.closed = true
	if t.inFlight == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take counts a request in, unless the target takes none.
func (t *target) take() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining || t.closed || t.full() {
		return false
	}
	t.inFlight++
	return true
}

// release counts it out, or hands its place over to a request that waits for one.
// A place at a target that is left alone is offered only: there may be better ones.
func (t *target) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	waited := t.most > 0 && t.queue.length.Load() > 0 && !t.draining && !t.closed && t.inFlight <= t.most
	healthy := waited && !time.Now().Before(t.until)
	if healthy && t.queue.give(t) {
		return
	}
	if waited && !healthy {
		defer t.queue.tell(t)
	}
	if t.inFlight--; t.inFlight == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// load is how busy the target is; ok says whether it is in service, full that it
// has no place, healthy that passive health has nothing against it.
func (t *target) load(now time.Time) (n int, ok, full, healthy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inFlight, !t.draining && !t.closed, t.full(), !now.Before(t.until)
}

// VersionHeader chooses a version, where its cluster allows that: a server group's
// name or number, or what its version is called.
const VersionHeader = "X-Showrunner-Version"

const stickyCookie = "showrunner-instance"

// choose picks a target that has not been tried and counts the request in. It
// answers the target's group with it; errNoTarget when there is none, errFull when
// there is none with a place.
func (b *Balancer) choose(name string, call *proxy.Call, tried []*target, now time.Time) (*target, *sums, error) {
	b.mu.RLock()
	c := b.clusters[name]
	b.mu.RUnlock()
	if c == nil {
		return nil, nil, errNoTarget
	}
	if c.config.Sticky && len(tried) == 0 {
		if cookie, err := call.Request.Cookie(stickyCookie); err == nil {
			for _, g := range c.groups {
				for _, t := range g.targets {
					if t.id == cookie.Value && g.config.Weight > 0 && t.take() {
						return t, c.sums[t.group], nil
					}
				}
			}
		}
	}
	var array [4]group // on the stack for the usual number of groups
	groups := c.eligible(c.version(call), array[:0])
	none := errNoTarget
	for len(groups) > 0 {
		i := drawGroup(groups)
		t, full := groups[i].pick(tried, now)
		if t != nil {
			return t, c.sums[t.group], nil
		}
		if full {
			none = errFull
		}
		groups = slices.Delete(groups, i, i+1)
	}
	return nil, nil, none
}

// version is the version that a request chooses, empty when it does not or may not.
func (c *cluster) version(call *proxy.Call) string {
	if !c.config.VersionHeader {
		return ""
	}
	return call.Request.Header.Get(VersionHeader)
}

// eligible adds to list the groups that may serve: those with weight, or the version asked for.
func (c *cluster) eligible(version string, list []group) []group {
	for _, g := range c.groups {
		named := version != "" && (g.config.Version == version || g.config.Name == version || strings.HasSuffix(g.config.Name, "-"+version))
		if named || version == "" && g.config.Weight > 0 {
			list = append(list, g)
		}
	}
	return list
}

// drawGroup draws by weight, so that 1 % is 1 %.
func drawGroup(groups []group) int {
	total := 0.0
	for _, g := range groups {
		total += g.config.Weight
	}
	at := rand.Float64() * total
	for i, g := range groups {
		if at -= g.config.Weight; at < 0 {
			return i
		}
	}
	return len(groups) - 1
}

// pick takes the less busy of two random targets that passive health has nothing
// against; when there is none, of those that it has: trying is better than failing.
// full says that there is none because of a limit; a healthy target that is full is
// better waited for.
func (g group) pick(tried []*target, now time.Time) (t *target, full bool) {
	var healthyArray, suspectArray [16]*target // on the stack for the usual number of targets
	healthy, suspect := healthyArray[:0], suspectArray[:0]
	crowded := false
	for _, t := range g.targets {
		if slices.Contains(tried, t) {
			continue
		}
		_, ok, busy, healthyNow := t.load(now)
		switch {
		case !ok:
		case busy:
			full, crowded = true, crowded || healthyNow
		case healthyNow:
			healthy = append(healthy, t)
		default:
			suspect = append(suspect, t)
		}
	}
	if t := take(healthy, now); t != nil {
		return t, false
	}
	if crowded {
		return nil, true
	}
	return take(suspect, now), full
}

// take counts a request in at the less busy of two, as long as there are any.
func take(list []*target, now time.Time) *target {
	for len(list) > 0 {
		i := lessBusy(list, now)
		if list[i].take() {
			return list[i]
		}
		list = slices.Delete(list, i, i+1)
	}
	return nil
}

func lessBusy(list []*target, now time.Time) int {
	i := rand.IntN(len(list))
	if len(list) == 1 {
		return i
	}
	j := (i + 1 + rand.IntN(len(list)-1)) % len(list)
	a, _, _, _ := list[i].load(now)
	b, _, _, _ := list[j].load(now)
	if b < a {
		return j
	}
	return i
}
