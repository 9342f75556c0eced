package server

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/canary"
	"showrunner/cloud"
	"showrunner/problem"
	"showrunner/telemetry"
	"showrunner/telemetry/cloudwatch"
	"showrunner/telemetry/ingest"
	"showrunner/telemetry/promapi"
	"showrunner/telemetry/scrape"
	"showrunner/telemetry/source"
	"showrunner/telemetry/traffic"
)

const (
	// trafficEvery is how often the load balancers' counts are written.
	trafficEvery = 5 * time.Second
	// trafficTimeout bounds the question to one region.
	trafficTimeout = 4 * time.Second
	// scrapeEvery is the interval of a specification that names none.
	scrapeEvery = 10 * time.Second
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
	answers := c.reader(c.promapi)
	for _, path := range promapi.Paths() {
		mux.Handle(path, answers)
	}
	sent := ingest.New(c.metrics, c.Now)
	mux.Handle(ingest.RemoteWritePath, c.auth.Require(http.HandlerFunc(sent.RemoteWrite)))
	mux.Handle(ingest.OTLPPath, c.auth.Require(http.HandlerFunc(sent.OTLP)))
}

// source is the source of an analysis of metrics.
func (c *controlPlane) source(url, token string) canary.Source {
	if url == "" {
		return c.promapi
	}
	if strings.HasPrefix(url, cloudwatch.Scheme+"://") {
		return cloudwatch.SourceOf(url, token)
	}
	return &source.Prometheus{URL: url, Token: token, Client: c.sourceClient}
}

// keptMetrics are the metrics that this control plane keeps.
type keptMetrics struct{ c *controlPlane }

// Range implements canary.Source.
func (k keptMetrics) Range(ctx context.Context, query string, start, end time.Time, step time.Duration) ([][]canary.Point, error) {
	return k.c.promapi.Range(ctx, query, start, end, step)
}

// regionTraffic is what one look at a region found.
type regionTraffic struct {
	samples []telemetry.Sample
	targets []scrape.Target
}

// recordTraffic writes once what the load balancers of all accounts have counted, and
// tells the scraper which instances there are. A region that does not answer has no
// samples then, and keeps its instances.
func (c *controlPlane) recordTraffic(ctx context.Context) error {
	var mu sync.Mutex
	var all []telemetry.Sample
	var regions sync.WaitGroup
	complete := true
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
				found, ok := trafficOf(ctx, account, r.Name, c.Now())
				mu.Lock()
				defer mu.Unlock()
				if all = append(all, found.samples...); ok {
					c.targets[name+"/"+r.Name] = found.targets
				}
				complete = complete && ok
			})
		}
	}
	regions.Wait()
	if err := c.scraper.Set(ctx, slices.Concat(slices.Collect(maps.Values(c.targets))...), complete); err != nil {
		return err
	}
	if len(all) == 0 {
		return nil
	}
	if err := c.metrics.Append(ctx, all); err != nil {
		return problem.Wrap(err, problem.CodeOf(err), "control.metrics", "writing what load balancers counted")
	}
	return nil
}

// trafficOf asks one region; ok is false when it does not answer.
func trafficOf(ctx context.Context, account *cloud.Account, region string, now time.Time) (found regionTraffic, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, trafficTimeout)
	defer cancel()
	groups, err := account.ServerGroups(ctx, region, "")
	if err != nil {
		return regionTraffic{}, false
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
	return regionTraffic{samples: traffic.Samples(region, groups, counts, now), targets: targetsOf(region, groups)}, true
}

// targetsOf are the instances that are asked for their metrics: those of groups whose
// specification says where, from the moment they have served.
func targetsOf(region string, groups []cloud.ServerGroup) (list []scrape.Target) {
	for _, g := range groups {
		m := g.Spec.Metrics
		if m == nil {
			continue
		}
		for _, i := range g.Instances {
			host, port, err := net.SplitHostPort(i.Address)
			if err != nil || i.ServingSince.IsZero() {
				continue
			}
			if m.Port > 0 {
				port = strconv.Itoa(m.Port)
			}
			list = append(list, scrape.Target{URL: "http://" + net.JoinHostPort(host, port) + cmp.Or(m.Path, "/metrics"),
				Interval: cmp.Or(time.Duration(m.Interval), scrapeEvery), Labels: traffic.Of(region, g, i)})
		}
	}
	return list
}
