package edge

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"showrunner/cloud/driver"
	"showrunner/internal/checksum"
	"showrunner/problem"
)

// region is a Region and what lives with it.
type region struct {
	Region

	// alive ends when the region is found down while another serves: what waits for it
	// goes there. When none serves, which a busy machine can look like, waiting is better.
	alive context.Context
	end   context.CancelFunc
}

// table is what the edge knows of all regions.
type table struct {
	file string
	now  func() time.Time
	log  *slog.Logger

	asking singleflight.Group

	mu      sync.Mutex
	regions []*region // in the order of preference
	weights map[string]float64
}

func newTable(file string, now func() time.Time, log *slog.Logger) (*table, error) {
	t := &table{file: file, now: now, log: log, weights: map[string]float64{}}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err == nil {
		raw, err = checksum.OpenFile(raw)
	}
	if err == nil {
		err = json.Unmarshal(raw, &t.weights)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Precondition, "edge", "reading the weights in %s", file).WithHelp("remove the file to begin without weights")
	}
	return t, nil
}

// watch asks how the regions are until ctx ends, sooner while one is missed.
func (t *table) watch(ctx context.Context, c Regions, every time.Duration) {
	next := time.NewTimer(every)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		t.probe(ctx, c)
		wait := every
		if t.misses() {
			wait = every / 5
		}
		next.Reset(wait)
	}
}

// misses tells whether a region is not believed up.
func (t *table) misses() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.regions, func(r *region) bool { return !r.Healthy })
}

// ensure asks the regions now when none is believed up: just after a start, or
// when probes came late, a request must not fail for what is merely not known.
// Requests that come together share one asking.
func (t *table) ensure(ctx context.Context, c Regions) {
	t.mu.Lock()
	serving := slices.ContainsFunc(t.regions, func(r *region) bool { return r.Healthy })
	t.mu.Unlock()
	if serving {
		return
	}
	asked := t.asking.DoChan("", func() (any, error) {
		t.probe(context.WithoutCancel(ctx), c)
		return nil, nil
	})
	select {
	case <-asked:
	case <-ctx.Done():
	}
}

// probe asks once.
func (t *table) probe(ctx context.Context, c Regions) {
	list, err := c.Regions(ctx)
	if err != nil {
		return // the edge is stopping
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range list {
		t.learn(r)
	}
	order := func(name string) int {
		return slices.IndexFunc(list, func(r driver.Region) bool { return r.Name == name })
	}
	slices.SortStableFunc(t.regions, func(a, b *region) int { return order(a.Name) - order(b.Name) })
}

func (t *table) learn(now driver.Region) {
	i := slices.IndexFunc(t.regions, func(r *region) bool { return r.Name == now.Name })
	if i < 0 {
		r := &region{Region: Region{Name: now.Name, Since: t.now()}}
		if w, ok := t.weights[now.Name]; ok {
			r.Weight = &w
		}
		r.alive, r.end = context.WithCancel(context.Background())
		r.end()
		t.regions = append(t.regions, r)
		i = len(t.regions) - 1
	}
	r := t.regions[i]
	moved := now.Healthy && r.Address != now.Address
	if moved {
		r.Address = now.Address
	}
	switch {
	case now.Healthy && (!r.Healthy || moved):
		t.up(r)
	case !now.Healthy && r.Healthy:
		t.down(r, "it does not answer its probe")
	}
}

func (t *table) up(r *region) {
	r.end()
	r.alive, r.end = context.WithCancel(context.Background())
	r.Healthy, r.Since = true, t.now()
	for _, other := range t.regions {
		if !other.Healthy {
			other.end()
		}
	}
	t.log.Info("region serves", "region", r.Name, "address", r.Address)
}

func (t *table) down(r *region, why string) {
	r.Healthy, r.Since = false, t.now()
	if slices.ContainsFunc(t.regions, func(other *region) bool { return other.Healthy }) {
		r.end()
	}
	t.log.Warn("region is down", "region", r.Name, "reason", why)
}

// refused is told that a region's load balancer refused a connection: it is down
// until a probe finds it again.
func (t *table) refused(name, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.regions {
		if r.Name == name && r.Address == address && r.Healthy {
			t.down(r, "its load balancer refuses connections")
		}
	}
}

// count adds one request to a region.
func (t *table) count(name string, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.regions {
		if r.Name == name {
			r.Requests++
			if failed {
				r.Errors++
			}
		}
	}
}

// choice is a region to try.
type choice struct {
	name, address string
	alive         context.Context
}

// choices lists the regions to try, best first: by weight where weights are
// set, else by preference; those without weight and those believed down come
// last, since trying them is better than failing.
func (t *table) choices(chance func() float64) []choice {
	t.mu.Lock()
	defer t.mu.Unlock()
	var serving, unreachable, down []*region
	for _, r := range t.regions {
		switch {
		case r.Address == "":
		case !r.Healthy:
			down = append(down, r)
		case r.Weight != nil && *r.Weight == 0:
			unreachable = append(unreachable, r)
		default:
			serving = append(serving, r)
		}
	}
	list := make([]choice, 0, len(t.regions))
	for _, r := range slices.Concat(byWeight(serving, chance), unreachable) {
		list = append(list, choice{r.Name, r.Address, r.alive})
	}
	for _, r := range down { // nothing ends the attempt: that it is down is only believed
		list = append(list, choice{r.Name, r.Address, context.Background()})
	}
	return list
}

// byWeight draws the first region by weight and leaves the rest in order.
func byWeight(regions []*region, chance func() float64) []*region {
	total, weighted := 0.0, false
	weight := func(r *region) float64 {
		if r.Weight == nil {
			return 1
		}
		return *r.Weight
	}
	for _, r := range regions {
		total += weight(r)
		weighted = weighted || r.Weight != nil
	}
	if !weighted || len(regions) < 2 {
		return regions
	}
	at := chance() * total
	for i, r := range regions {
		if at -= weight(r); at < 0 {
			return slices.Concat([]*region{r}, regions[:i], regions[i+1:])
		}
	}
	return regions
}

// setWeights replaces the weights named (nil removes one), durably.
func (t *table) setWeights(weights map[string]*float64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, w := range weights {
		i := slices.IndexFunc(t.regions, func(r *region) bool { return r.Name == name })
		if i < 0 {
			var known []string
			for _, r := range t.regions {
				known = append(known, r.Name)
			}
			return problem.New(problem.NotFound, "edge.weights", "there is no region %q", name).WithHelp("there are: %s", strings.Join(known, ", "))
		}
		if w != nil && (!(*w >= 0) || math.IsInf(*w, 0)) {
			return problem.New(problem.Invalid, "edge.weights", "the weight of %s is %v; a weight is 0 or more", name, *w)
		}
	}
	for name, w := range weights {
		i := slices.IndexFunc(t.regions, func(r *region) bool { return r.Name == name })
		t.regions[i].Weight = w
		delete(t.weights, name)
		if w != nil {
			t.weights[name] = *w
		}
	}
	raw, err := json.Marshal(t.weights)
	if err == nil {
		err = os.WriteFile(t.file+".new", checksum.SealFile(raw), 0o600)
	}
	if err == nil {
		err = os.Rename(t.file+".new", t.file)
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "edge.weights", "keeping the weights")
	}
	return nil
}

// snapshot copies what is known, for people.
func (t *table) snapshot() []Region {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Region, 0, len(t.regions))
	for _, r := range t.regions {
		list = append(list, r.Region)
	}
	return list
}

func chance() float64 { return rand.Float64() }
