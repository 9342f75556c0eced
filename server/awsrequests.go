package server

import (
	"context"
	"math"

	"showrunner/awsapi/cloudwatch"
	"showrunner/awsapi/ecs"
	"showrunner/awsapi/elbv2"
	"showrunner/cloud"
)

// serviceMeasurements are those that AWS has for services of ECS.
func serviceMeasurements(loads []ecs.Load) (out []cloudwatch.Measurement) {
	for _, l := range loads {
		dimensions := []string{"ClusterName", l.Cluster, "ServiceName", l.Service}
		for name, value := range map[string]float64{"CPUUtilization": l.CPU, "MemoryUtilization": l.Memory} {
			if !math.IsNaN(value) {
				out = append(out, cloudwatch.Measurement{Namespace: "AWS/ECS", Name: name, Unit: "Percent", Dimensions: dimensions, Value: value})
			}
		}
	}
	return out
}

// requestCounts remembers what load balancers had counted when they were looked at last.
type requestCounts map[string]map[string]cloud.Counts // by region and cluster, then by server group

// since is what a cluster's instances served since the last look.
func (r requestCounts) since(region, cluster string, counts []cloud.Counts) (sum cloud.Counts, known bool) {
	before, known := r[region+"/"+cluster]
	now := map[string]cloud.Counts{}
	sum.Buckets = make([]uint64, len(cloud.LatencyBounds)+1)
	for _, c := range counts {
		if c.Instance != "" {
			continue
		}
		now[c.ServerGroup] = c
		if was, ok := before[c.ServerGroup]; ok && was.Epoch == c.Epoch && was.Requests <= c.Requests {
			c = difference(c, was)
		}
		sum.Requests += c.Requests
		sum.Statuses.Success += c.Statuses.Success
		sum.Statuses.Redirect += c.Statuses.Redirect
		sum.Statuses.Client += c.Statuses.Client
		sum.Statuses.Server += c.Statuses.Server
		sum.Statuses.None += c.Statuses.None
		for n := range min(len(c.Buckets), len(sum.Buckets)) {
			sum.Buckets[n] += c.Buckets[n]
		}
	}
	r[region+"/"+cluster] = now
	return sum, known
}

// difference is what was counted after another reading of the same counters.
func difference(c, was cloud.Counts) cloud.Counts {
	c.Requests -= was.Requests
	c.Statuses.Success -= was.Statuses.Success
	c.Statuses.Redirect -= was.Statuses.Redirect
	c.Statuses.Client -= was.Statuses.Client
	c.Statuses.Server -= was.Statuses.Server
	c.Statuses.None -= was.Statuses.None
	buckets := make([]uint64, len(c.Buckets))
	for n := range c.Buckets {
		buckets[n] = c.Buckets[n]
		if n < len(was.Buckets) {
			buckets[n] -= was.Buckets[n]
		}
	}
	c.Buckets = buckets
	return c
}

// measureRequests are the measurements that AWS has for target groups and load balancers:
// what was served since the last look.
func (m measurer) measureRequests(ctx context.Context, region string) ([]cloudwatch.Measurement, error) {
	list, err := m.balancing.Measured(ctx, region)
	if err != nil {
		return nil, err
	}
	var out []cloudwatch.Measurement
	seen := map[string]cloud.Counts{}
	for _, one := range list {
		var sum cloud.Counts
		complete := true
		for _, cluster := range one.Clusters {
			served, ok := seen[cluster]
			if !ok {
				counts, err := m.groups.Counts(ctx, region, cluster)
				if err != nil {
					return nil, err
				}
				var known bool
				if served, known = m.counts.since(region, cluster, counts); !known {
					complete = false // the first look: nobody knows since when was counted
				}
				seen[cluster] = served
			}
			sum = plus(sum, served)
		}
		out = append(out, hostMeasurements(one)...)
		if complete && len(one.Clusters) > 0 {
			out = append(out, requestMeasurements(one, sum)...)
		}
	}
	return out, nil
}

// plus adds two readings.
func plus(a, b cloud.Counts) cloud.Counts {
	a.Requests += b.Requests
	a.Statuses.Success += b.Statuses.Success
	a.Statuses.Redirect += b.Statuses.Redirect
	a.Statuses.Client += b.Statuses.Client
	a.Statuses.Server += b.Statuses.Server
	a.Statuses.None += b.Statuses.None
	buckets := make([]uint64, max(len(a.Buckets), len(b.Buckets)))
	for n := range buckets {
		if n < len(a.Buckets) {
			buckets[n] += a.Buckets[n]
		}
		if n < len(b.Buckets) {
			buckets[n] += b.Buckets[n]
		}
	}
	a.Buckets = buckets
	return a
}

func hostMeasurements(of elbv2.Measured) (out []cloudwatch.Measurement) {
	for name, n := range map[string]int{"HealthyHostCount": of.Healthy, "UnHealthyHostCount": of.Unhealthy} {
		out = append(out, cloudwatch.Measurement{Namespace: "AWS/ApplicationELB", Name: name, Unit: "Count", Dimensions: []string{"LoadBalancer", of.LoadBalancer, "TargetGroup", of.TargetGroup}, Value: float64(n)})
	}
	return out
}

// requestMeasurements are those of the requests of a target group. As at AWS, a count of
// none is not published, but for RequestCount of a target group with targets.
func requestMeasurements(of elbv2.Measured, sum cloud.Counts) (out []cloudwatch.Measurement) {
	both := [][]string{{"LoadBalancer", of.LoadBalancer}, {"LoadBalancer", of.LoadBalancer, "TargetGroup", of.TargetGroup}}
	for _, dimensions := range both {
		add := func(name, unit string, value float64) {
			out = append(out, cloudwatch.Measurement{Namespace: "AWS/ApplicationELB", Name: name, Unit: unit, Dimensions: dimensions, Value: value})
		}
		add("RequestCount", "Count", float64(sum.Requests))
		for name, n := range map[string]uint64{"HTTPCode_Target_2XX_Count": sum.Statuses.Success, "HTTPCode_Target_3XX_Count": sum.Statuses.Redirect, "HTTPCode_Target_4XX_Count": sum.Statuses.Client,
			"HTTPCode_Target_5XX_Count": sum.Statuses.Server, "TargetConnectionErrorCount": sum.Statuses.None} {
			if n > 0 {
				add(name, "Count", float64(n))
			}
		}
		for bucket, n := range sum.Buckets {
			if n == 0 {
				continue
			}
			m := cloudwatch.Measurement{Namespace: "AWS/ApplicationELB", Name: "TargetResponseTime", Unit: "Seconds", Dimensions: dimensions, Value: middle(bucket), Count: float64(n)}
			out = append(out, m)
		}
	}
	if of.Healthy > 0 {
		out = append(out, cloudwatch.Measurement{Namespace: "AWS/ApplicationELB", Name: "RequestCountPerTarget", Unit: "Count", Dimensions: []string{"TargetGroup", of.TargetGroup}, Value: float64(sum.Requests) / float64(of.Healthy)})
	}
	return out
}

// middle is the latency that stands for those of a bucket, in seconds: the middle of its
// bounds, and the last bound for all that took longer.
func middle(bucket int) float64 {
	last := len(cloud.LatencyBounds) - 1
	switch {
	case bucket > last:
		return cloud.LatencyBounds[last]
	case bucket == 0:
		return cloud.LatencyBounds[0] / 2
	}
	return (cloud.LatencyBounds[bucket-1] + cloud.LatencyBounds[bucket]) / 2
}
