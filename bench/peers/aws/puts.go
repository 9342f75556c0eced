package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"showrunner/bench/environment"
)

// load is how requests are made.
type load struct {
	rounds  int
	last    time.Duration
	clients int
}

// request is one kind of request; body makes the nth.
type request struct {
	name, service, target, form string
	body                        func(n int) any
}

type object = map[string]any

const stream = "bench"

var requests = []request{
	{"PutMetricData, 20 values", "monitoring", "GraniteServiceVersion20100801.PutMetricData", "application/x-amz-json-1.0", func(n int) any {
		data := make([]object, 20)
		for i := range data {
			data[i] = object{"MetricName": fmt.Sprint("Latency", i), "Unit": "Milliseconds", "Value": float64(n%100) + 0.5, "Dimensions": []object{{"Name": "Service", "Value": "api"}}}
		}
		return object{"Namespace": "Bench", "MetricData": data}
	}},
	{"PutRecords, 10 of 100 bytes", "kinesis", "Kinesis_20131202.PutRecords", "application/x-amz-json-1.1", func(n int) any {
		records := make([]object, 10)
		for i := range records {
			records[i] = object{"PartitionKey": fmt.Sprint(n, "-", i), "Data": bytes.Repeat([]byte{'x'}, 100)}
		}
		return object{"StreamName": stream, "Records": records}
	}},
}

// comparePuts measures every request at both endpoints, in turns.
func comparePuts(ctx context.Context, l load, ours, moto *endpoint) ([]put, error) {
	for _, e := range []*endpoint{ours, moto} {
		if out, err := e.shell(ctx, "aws kinesis create-stream --stream-name "+stream+" --shard-count 8 && aws kinesis wait stream-exists --stream-name "+stream); err != nil {
			return nil, fmt.Errorf("a stream for records: %w: %s", err, out)
		}
	}
	var list []put
	for _, r := range requests {
		var at [2][]rate
		for range l.rounds {
			for i, e := range []*endpoint{ours, moto} {
				one, err := e.round(ctx, l, r)
				if err != nil {
					return nil, fmt.Errorf("%s at %s: %w", r.name, e.URL, err)
				}
				at[i] = append(at[i], one)
			}
		}
		p := put{Request: r.name, Ours: median(at[0]), Moto: median(at[1])}
		p.Ratio = p.Ours.PerSecond / p.Moto.PerSecond
		list = append(list, p)
	}
	return list, nil
}

// round makes requests for a while, and counts those that were answered with
// 200. Any other answer is an error: what is refused is not compared.
func (e *endpoint) round(ctx context.Context, l load, r request) (rate, error) {
	ctx, cancel := context.WithTimeout(ctx, l.last)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.clients}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var all sync.WaitGroup
	began := time.Now()
	for c := range l.clients {
		all.Go(func() {
			for n := c; ctx.Err() == nil; n += l.clients {
				d, err := e.send(client, r, n)
				mu.Lock()
				took = append(took, d)
				failed = errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					cancel()
				}
			}
		})
	}
	all.Wait()
	if failed != nil || len(took) == 0 {
		return rate{}, errors.Join(failed, context.Cause(ctx))
	}
	slices.Sort(took)
	return rate{float64(len(took)) / time.Since(began).Seconds(), took[len(took)/2], took[len(took)*99/100]}, nil
}

func (e *endpoint) send(client *http.Client, r request, n int) (time.Duration, error) {
	body, err := json.Marshal(r.body(n))
	if err != nil {
		return 0, err
	}
	_, took, err := e.Send(context.Background(), client, environment.AWSRequest{Region: region, Service: r.service, Target: r.target, MediaType: r.form, Body: body})
	return took, err
}

// median is the round in the middle by requests a second.
func median(rounds []rate) rate {
	slices.SortFunc(rounds, func(a, b rate) int { return int(a.PerSecond - b.PerSecond) })
	return rounds[len(rounds)/2]
}
