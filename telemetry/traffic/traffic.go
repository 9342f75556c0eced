// Package traffic turns what load balancers count into samples of metrics: one set of
// series for each instance, and one for each server group, which also has what ended
// instances have served. It is pure.
//
// Every series has the label epoch, which names the life of the counter behind it: after
// a restart of a load balancer a new series begins, so that a restart is never taken for
// a reset, nor lost requests for served ones.
package traffic

import (
	"slices"
	"strconv"
	"time"

	"showrunner/cloud/driver"
	"showrunner/telemetry"
)

// The labels of every series.
const (
	LabelApplication = "application"
	LabelCluster     = "cluster"
	LabelServerGroup = "server_group"
	LabelVersion     = "version"
	LabelInstance    = "instance"
	LabelZone        = "zone"
	LabelRegion      = "region"
	LabelEpoch       = "epoch"
)

// prefixes of the metrics of instances and of whole server groups. They are apart, so
// that a sum counts nothing twice.
const (
	instancePrefix = "showrunner_"
	groupPrefix    = "showrunner_server_group_"
)

// described are the metrics, without their prefix.
var described = map[string]telemetry.Meta{
	"requests_total":           {Type: "counter", Help: "Requests that have ended."},
	"request_errors_total":     {Type: "counter", Help: "Requests answered 5xx, or not answered although the client waited."},
	"responses_total":          {Type: "counter", Help: "Answers by the class of their status."},
	"retried_requests_total":   {Type: "counter", Help: "Requests sent here because another instance had failed."},
	"request_duration_seconds": {Type: "histogram", Help: "Time until a request had ended.", Unit: "seconds"},
	"requests_in_flight":       {Type: "gauge", Help: "Requests that have not ended."},
	"weight":                   {Type: "gauge", Help: "Weight of a server group in the traffic of its cluster."},
	"serving_instances":        {Type: "gauge", Help: "Instances of a server group that serve."},
	"failures_total":           {Type: "counter", Help: "Instances that ended or were given up before they ever served."},
	"crashes_total":            {Type: "counter", Help: "Instances that ended on their own or became unhealthy after they had served."},
	"cpu_cores":                {Type: "gauge", Help: "Cores that an instance used during the last interval."},
	"memory_bytes":             {Type: "gauge", Help: "Resident memory of an instance.", Unit: "bytes"},
}

// The metrics that only groups have, and those that only instances have.
var (
	ofGroups    = []string{"weight", "serving_instances", "failures_total", "crashes_total"}
	ofInstances = []string{"cpu_cores", "memory_bytes"}
)

// Describe tells a store what the metrics mean.
func Describe(s *telemetry.Store) {
	for name, m := range described {
		if !slices.Contains(ofGroups, name) {
			s.Describe(instancePrefix+name, m)
		}
		if !slices.Contains(ofInstances, name) {
			s.Describe(groupPrefix+name, m)
		}
	}
}

// Samples are those of a region's server groups at a time. Counts of groups that are not
// among them, which were destroyed meanwhile, are left out.
func Samples(region string, groups []driver.ServerGroup, counts []driver.Counts, at time.Time) []telemetry.Sample {
	b := builder{at: at}
	byName := map[string]driver.ServerGroup{}
	for _, g := range groups {
		byName[g.Name] = g
		labels := base(region, g)
		b.add(groupPrefix+"weight", labels, g.Weight)
		b.add(groupPrefix+"serving_instances", labels, float64(g.Serving()))
		b.add(groupPrefix+"failures_total", labels, float64(g.Failures))
		b.add(groupPrefix+"crashes_total", labels, float64(g.Crashes))
		for _, i := range g.Instances {
			if i.PID == 0 {
				continue // not measured
			}
			labels := Of(region, g, i)
			b.add(instancePrefix+"cpu_cores", labels, i.CPU)
			b.add(instancePrefix+"memory_bytes", labels, float64(i.Memory))
		}
	}
	for _, c := range counts {
		g, ok := byName[c.ServerGroup]
		if !ok {
			continue
		}
		labels, prefix := base(region, g), groupPrefix
		labels[LabelEpoch] = c.Epoch
		if c.Instance != "" {
			prefix, labels[LabelInstance] = instancePrefix, c.Instance
			for _, i := range g.Instances {
				if i.ID == c.Instance {
					labels[LabelZone] = i.Zone
				}
			}
		}
		b.counts(prefix, labels, c)
	}
	return b.samples
}

// Of are the labels of what an instance says of itself. Its epoch is the time of its launch.
func Of(region string, g driver.ServerGroup, i driver.Instance) telemetry.Labels {
	labels := base(region, g)
	labels[LabelInstance], labels[LabelZone] = i.ID, i.Zone
	labels[LabelEpoch] = strconv.FormatInt(i.Launched.UnixMilli(), 36)
	return labels
}

func base(region string, g driver.ServerGroup) telemetry.Labels {
	return telemetry.Labels{LabelApplication: g.Spec.Application, LabelCluster: g.Spec.Cluster, LabelServerGroup: g.Name, LabelVersion: g.Spec.Version, LabelRegion: region}
}

type builder struct {
	at      time.Time
	samples []telemetry.Sample
}

// add appends a sample; pairs are further labels.
func (b *builder) add(name string, labels telemetry.Labels, v float64, pairs ...string) {
	all := telemetry.Labels{telemetry.MetricName: name}
	for k, v := range labels {
		if v != "" {
			all[k] = v
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	b.samples = append(b.samples, telemetry.Sample{Labels: all, Time: b.at, Value: v})
}

func (b *builder) counts(prefix string, labels telemetry.Labels, c driver.Counts) {
	b.add(prefix+"requests_total", labels, float64(c.Requests))
	b.add(prefix+"request_errors_total", labels, float64(c.Errors))
	b.add(prefix+"retried_requests_total", labels, float64(c.Retried))
	b.add(prefix+"requests_in_flight", labels, float64(c.InFlight))
	for class, n := range map[string]uint64{"2xx": c.Statuses.Success, "3xx": c.Statuses.Redirect, "4xx": c.Statuses.Client, "5xx": c.Statuses.Server, "none": c.Statuses.None} {
		b.add(prefix+"responses_total", labels, float64(n), "class", class)
	}
	if len(c.Buckets) != len(driver.LatencyBounds)+1 {
		return // the cloud measures no latencies
	}
	total := uint64(0)
	for i, n := range c.Buckets {
		total += n
		le := "+Inf"
		if i < len(driver.LatencyBounds) {
			le = strconv.FormatFloat(driver.LatencyBounds[i], 'g', -1, 64)
		}
		b.add(prefix+"request_duration_seconds_bucket", labels, float64(total), "le", le)
	}
	b.add(prefix+"request_duration_seconds_count", labels, float64(total))
}
