package server

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"showrunner/cloud"
	"showrunner/problem"
	"showrunner/telemetry"
	"showrunner/telemetry/ingest"
	"showrunner/telemetry/promapi"
	"showrunner/telemetry/traffic"
)

const (
	// trafficEvery is how often the load balancers' counts are written.
	trafficEvery = 5 * time.Second
	// trafficTimeout bounds the question to one region.
	trafficTimeout = 4 * time.Second
	// mostSeries bounds the series in memory.
	mostSeries = 200_000
)

// mostStores bounds the control planes that share a data folder, each with a store.
const mostStores = 16

// openMetrics opens the store of metrics of a data folder: metrics, or metrics-2 and so
// on where another control plane of the same folder has it. Each of them writes what all
// load balancers count, so that each answers for itself.
func openMetrics(data string) (s *telemetry.Store, err error) {
	for n := 1; n <= mostStores; n++ {
		dir := filepath.Join(data, "metrics")
		if n > 1 {
			dir = fmt.Sprintf("%s-%d", dir, n)
		}
		s, err = telemetry.Open(dir, telemetry.Options{MaxSeries: mostSeries})
		if err == nil {
			traffic.Describe(s)
			return s, nil
		}
		if !telemetry.InUse(err) {
			return nil, err
		}
	}
	return nil, err
}

// prometheus puts the query API of Prometheus, and what takes metrics from others,
// behind the same token as the API.
func (c *controlPlane) prometheus(mux *http.ServeMux) {
	answers := c.auth.Require(promapi.New(c.metrics, c.Version, c.Now))
	for _, path := range promapi.Paths() {
		mux.Handle(path, answers)
	}
	sent := ingest.New(c.metrics, c.Now)
	mux.Handle(ingest.RemoteWritePath, c.auth.Require(http.HandlerFunc(sent.RemoteWrite)))
	mux.Handle(ingest.OTLPPath, c.auth.Require(http.HandlerFunc(sent.OTLP)))
}

// recordTraffic writes once what the load balancers of all accounts have counted. A
// region that does not answer has no samples then.
func (c *controlPlane) recordTraffic(ctx context.Context) error {
	var mu sync.Mutex
	var all []telemetry.Sample
	var regions sync.WaitGroup
	for _, name := range c.accounts.Names() {
		account, err := c.accounts.Account(name)
		if err != nil {
			return err
		}
		list, err := account.Regions(ctx)
		if err != nil {
			return err
		}
		for _, r := range list {
			regions.Go(func() {
				samples := trafficOf(ctx, account, r.Name, c.Now())
				mu.Lock()
				defer mu.Unlock()
				all = append(all, samples...)
			})
		}
	}
	regions.Wait()
	if len(all) == 0 {
		return nil
	}
	if err := c.metrics.Append(ctx, all); err != nil {
		return problem.Wrap(err, problem.CodeOf(err), "control.metrics", "writing what load balancers counted")
	}
	return nil
}

// trafficOf asks one region.
func trafficOf(ctx context.Context, account *cloud.Account, region string, now time.Time) []telemetry.Sample {
	ctx, cancel := context.WithTimeout(ctx, trafficTimeout)
	defer cancel()
	groups, err := account.ServerGroups(ctx, region, "")
	if err != nil {
		return nil
	}
	var counts []cloud.Counts
	asked := map[string]bool{}
	for _, g := range groups {
		if asked[g.Spec.Cluster] {
			continue
		}
		asked[g.Spec.Cluster] = true
		list, err := account.Counts(ctx, region, g.Spec.Cluster)
		if err != nil {
			continue // this cloud counts nothing, or the region is leaving: the rest is written
		}
		counts = append(counts, list...)
	}
	return traffic.Samples(region, groups, counts, now)
}
