package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/telemetry/cloudwatch"
)

// openSink makes what sends metrics to CloudWatch; nil where none is asked for. Errors: invalid.
func (c *controlPlane) openSink(ctx context.Context) (*cloudwatch.Sink, error) {
	if c.MetricsTo == "" {
		return nil, nil
	}
	keys := ""
	if u, err := url.Parse(c.MetricsTo); err == nil && u.Query().Get("secret") != "" {
		if keys, err = c.secrets.Resolve(ctx, u.Query().Get("secret")); err != nil {
			return nil, problem.Wrap(err, problem.Invalid, "control", "--metrics-to: the keys of AWS")
		}
	}
	host, _ := os.Hostname() // only a part of a name
	stream := strings.NewReplacer(":", "-", "*", "-").Replace(fmt.Sprintf("%s/%s", host, c.listener.Addr()))
	target, err := cloudwatch.OpenTarget(ctx, c.MetricsTo, keys, stream)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "control", "--metrics-to").WithHelp("%s", problem.HelpOf(err))
	}
	return &cloudwatch.Sink{Target: target, Metrics: cloudwatch.Metrics(), Query: c.valuesAt, Claim: c.claimMinute, Now: c.Now, Log: c.Log}, nil
}

func (c *controlPlane) valuesAt(ctx context.Context, query string, at time.Time) ([]cloudwatch.Series, error) {
	found, err := c.promapi.At(ctx, query, at)
	series := make([]cloudwatch.Series, 0, len(found))
	for _, v := range found {
		series = append(series, cloudwatch.Series{Labels: v.Labels, Value: v.Value})
	}
	return series, err
}

// claimMinute tells whether this control plane sends a minute's values: of those on one
// database the first that asks.
func (c *controlPlane) claimMinute(ctx context.Context, minute time.Time) (bool, error) {
	const collection, key = "metrics-sink", "minute"
	var last time.Time
	r, err := c.store.GetRecord(ctx, collection, key)
	if err != nil && problem.CodeOf(err) != problem.NotFound {
		return false, err
	}
	if err == nil && json.Unmarshal(r.Data, &last) == nil && !last.Before(minute) {
		return false, nil
	}
	data, err := json.Marshal(minute.UTC())
	if err != nil {
		return false, err
	}
	_, err = c.store.PutRecord(ctx, record.Record{Collection: collection, Key: key, Version: r.Version, Data: data})
	if problem.CodeOf(err) == problem.Conflict {
		return false, nil // another one was first
	}
	return err == nil, err
}

// sinkMetrics are what the control plane tells of its sink.
func sinkMetrics(s *cloudwatch.Sink) []prometheus.Collector {
	counter := func(name, help string, of func(cloudwatch.Counts) int) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "showrunner", Subsystem: "control", Name: name, Help: help}, func() float64 { return float64(of(s.Counts())) })
	}
	return []prometheus.Collector{
		counter("sink_sent_total", "Values that CloudWatch took.", func(c cloudwatch.Counts) int { return c.Sent }),
		counter("sink_dropped_total", "Values that were dropped because too many waited, or too long.", func(c cloudwatch.Counts) int { return c.Dropped }),
		counter("sink_refused_total", "Values that CloudWatch refused.", func(c cloudwatch.Counts) int { return c.Refused }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "showrunner", Subsystem: "control", Name: "sink_waiting", Help: "Values that wait to be sent to CloudWatch."},
			func() float64 { return float64(s.Counts().Waiting) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "showrunner", Subsystem: "control", Name: "sink_failing", Help: "1 while the last call to CloudWatch failed."}, func() float64 {
			if s.Counts().Error != "" {
				return 1
			}
			return 0
		}),
	}
}
