package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"showrunner/awsapi"
	"showrunner/awsapi/cloudformation"
	"showrunner/awsapi/cloudwatch"
	"showrunner/awsapi/lambda"
	"showrunner/awsapi/signature"
)

// openRequests finds what answers a request that needs no signature: the answer of a
// function to CloudFormation, a request to the address of a function, a link to code.
func openRequests(stacks *cloudformation.Stacks, functions *lambda.Service) func(*http.Request) http.Handler {
	return func(r *http.Request) http.Handler {
		if h := stacks.Open(r); h != nil {
			return h
		}
		return functions.Open(r)
	}
}

// functionSession makes the credentials of a role for what a function calls.
func functionSession(keys *awsapi.Keys) func(role, name string, until time.Time) (signature.Credentials, error) {
	return func(role, name string, until time.Time) (signature.Credentials, error) {
		caller := "arn:aws:sts::" + awsapi.Account + ":assumed-role/" + role[strings.LastIndexByte(role, '/')+1:] + "/" + name
		return keys.NewSession(caller, until)
	}
}

// verifyURL verifies a request to the address of a function.
func verifyURL(keys *awsapi.Keys, now func() time.Time) lambda.Verify {
	return func(r *http.Request, body []byte) (signature.Scope, error) {
		return signature.Verify(r, body, now(), keys.Find)
	}
}

// functionMeter collects what requests to functions were, for CloudWatch.
type functionMeter struct {
	mu   sync.Mutex
	used map[string][]lambda.Usage // by region
}

// mostMeasured bounds what is kept of a region until it is published.
const mostMeasured = 20000

func (m *functionMeter) add(_ context.Context, region string, u lambda.Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used == nil {
		m.used = map[string][]lambda.Usage{}
	}
	if len(m.used[region]) < mostMeasured {
		m.used[region] = append(m.used[region], u)
	}
}

// run publishes every second, until ctx ends.
func (m *functionMeter) run(ctx context.Context, alarms *cloudwatch.CloudWatch, log *slog.Logger) {
	repeat(ctx, time.Second, log, "measuring functions", func(ctx context.Context) error {
		m.mu.Lock()
		used := m.used
		m.used = nil
		m.mu.Unlock()
		for region, list := range used {
			if err := alarms.Publish(ctx, region, functionMeasurements(list)); err != nil {
				return err
			}
		}
		return nil
	})
}

// functionMeasurements are the metrics that AWS has for functions: counts as sums, and
// each duration.
func functionMeasurements(list []lambda.Usage) (out []cloudwatch.Measurement) {
	type count struct {
		dimensions                             []string
		invocations, errors, throttles, atOnce float64
	}
	counts := map[string]*count{}
	var order []string
	for _, u := range list {
		each := [][]string{{"FunctionName", u.Function}, {"FunctionName", u.Function, "Resource", u.Resource}}
		if u.Version != "" {
			each = append(each, []string{"FunctionName", u.Function, "Resource", u.Resource, "ExecutedVersion", u.Version})
		}
		for _, dimensions := range each {
			key := strings.Join(dimensions, "\x00")
			c := counts[key]
			if c == nil {
				c = &count{dimensions: dimensions}
				counts[key], order = c, append(order, key)
			}
			c.atOnce = max(c.atOnce, float64(u.AtOnce))
			if u.Throttled {
				c.throttles++
				continue
			}
			c.invocations++
			if u.Failed {
				c.errors++
			}
			out = append(out, cloudwatch.Measurement{Namespace: "AWS/Lambda", Name: "Duration", Unit: "Milliseconds", Dimensions: dimensions, Value: float64(u.Duration) / float64(time.Millisecond)})
		}
	}
	for _, key := range order {
		c := counts[key]
		for name, value := range map[string]float64{"Invocations": c.invocations, "Errors": c.errors, "Throttles": c.throttles, "ConcurrentExecutions": c.atOnce} {
			out = append(out, cloudwatch.Measurement{Namespace: "AWS/Lambda", Name: name, Unit: "Count", Dimensions: c.dimensions, Value: value})
		}
	}
	return out
}
