package cloudwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/awsapi/awstest"
	served "showrunner/awsapi/cloudwatch"
	"showrunner/awsapi/logs"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
	"showrunner/telemetry"
)

const secret = `{"accessKeyId":"AKIATEST","secretAccessKey":"secret"}`

// endpoint is the endpoint for AWS's clients, with metrics and logs.
func endpoint(t *testing.T) *awstest.Client {
	t.Helper()
	metrics, err := telemetry.Open(t.TempDir(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { metrics.Close() })
	act := func(context.Context, string, string, served.Change) error { return nil }
	return awstest.New(t, served.New(&recordtest.Records{}, metrics, act, time.Now).Service(), logs.New(&recordtest.Records{}, time.Now).Service())
}

func address(c *awstest.Client, rest string) string {
	return "cloudwatch://" + awstest.Region + "/" + rest + "?endpoint=" + url.QueryEscape(c.URL())
}

func series(from time.Time, values ...float64) (data []Datum) {
	for i, v := range values {
		data = append(data, Datum{Name: "Requests", Unit: "Count", Dimensions: map[string]string{"cluster": "shop", "version": "v1"}, Value: v, At: from.Add(time.Duration(i) * time.Minute)})
	}
	return data
}

// What the sink puts, the source reads back, both through AWS's own SDK.
func TestWhatIsSentIsRead(t *testing.T) {
	c := endpoint(t)
	target, err := OpenTarget(t.Context(), address(c, "Showrunner"), secret, "one")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now().Add(-10 * time.Minute).Truncate(time.Minute)
	if err := target.Put(t.Context(), series(from, 1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	s := SourceOf(address(c, ""), secret)
	query := `[{"Id":"m1","MetricStat":{"Metric":{"Namespace":"Showrunner","MetricName":"Requests","Dimensions":[{"Name":"cluster","Value":"shop"},{"Name":"version","Value":"v1"}]},"Stat":"Sum"}}]`
	got, err := s.Range(t.Context(), query, from, from.Add(2*time.Minute), time.Minute)
	if err != nil || len(got) != 1 || len(got[0]) != 3 || got[0][2].Value != 3 || !got[0][2].At.Equal(from.Add(2*time.Minute)) {
		t.Errorf("read %v, %v", got, err)
	}
	none, err := s.Range(t.Context(), strings.Replace(query, "shop", "none", 1), from, from.Add(time.Minute), time.Minute)
	if err != nil || len(none) != 0 {
		t.Errorf("a metric that does not exist: %v, %v", none, err)
	}
}

// A query or a source that cannot be asked is an error with its reason, and never points.
func TestASourceThatIsNone(t *testing.T) {
	c := endpoint(t)
	for what, test := range map[string]struct {
		address, secret, query string
		step                   time.Duration
		code                   problem.Code
	}{
		"no JSON":          {address(c, ""), secret, `[{"Id":`, time.Minute, problem.Invalid},
		"another field":    {address(c, ""), secret, `[{"Id":"m1","Metric":"x"}]`, time.Minute, problem.Invalid},
		"no period":        {address(c, ""), secret, `[{"Id":"m1","MetricStat":{"Metric":{"Namespace":"n","MetricName":"m"},"Stat":"Sum"}}]`, 7 * time.Second, problem.Invalid},
		"an unknown stat":  {address(c, ""), secret, `[{"Id":"m1","MetricStat":{"Metric":{"Namespace":"n","MetricName":"m"},"Stat":"Best"}}]`, time.Minute, problem.Invalid},
		"wrong keys":       {address(c, ""), `{"accessKeyId":"AKIATEST","secretAccessKey":"x"}`, `m1`, time.Minute, problem.Unavailable},
		"keys of no form":  {address(c, ""), "hunter2", `m1`, time.Minute, problem.Invalid},
		"nobody listens":   {"cloudwatch://us-west-2?endpoint=http%3A%2F%2F127.0.0.1%3A1", secret, `m1`, time.Minute, problem.Unavailable},
		"no region in it":  {"cloudwatch://", secret, `m1`, time.Minute, problem.Invalid},
		"an empty listing": {address(c, ""), secret, `[]`, time.Minute, problem.Invalid},
	} {
		got, err := SourceOf(test.address, test.secret).Range(t.Context(), test.query, time.Now().Add(-time.Hour), time.Now(), test.step)
		if got != nil || problem.CodeOf(err) != test.code || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
}

// The embedded metric format goes to a log group, which is made: one event for the metrics
// of the same dimensions and time.
func TestTheEmbeddedMetricFormat(t *testing.T) {
	c := endpoint(t)
	target, err := OpenTarget(t.Context(), address(c, "Showrunner")+"&logs=/showrunner/metrics", secret, "one")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Minute).Truncate(time.Minute)
	data := append(series(at, 7), Datum{Name: "Errors", Unit: "Count", Dimensions: map[string]string{"cluster": "shop", "version": "v1"}, Value: 1, At: at})
	for range 2 { // the group and the stream are there the second time
		if err := target.Put(t.Context(), data); err != nil {
			t.Fatal(err)
		}
	}
	events := c.Call("logs", "GetLogEvents", map[string]any{"logGroupName": "/showrunner/metrics", "logStreamName": "one", "startFromHead": true})["events"].([]any)
	if len(events) != 2 {
		t.Fatalf("%d events: %v", len(events), events)
	}
	var doc struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
		Requests, Errors float64
		Cluster          string `json:"cluster"`
	}
	if err := json.Unmarshal([]byte(events[0].(map[string]any)["message"].(string)), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Requests != 7 || doc.Errors != 1 || doc.Cluster != "shop" || doc.AWS.Timestamp != at.UnixMilli() ||
		fmt.Sprint(doc.AWS.CloudWatchMetrics) != "[{Showrunner [[cluster version]] [{Requests Count} {Errors Count}]}]" {
		t.Errorf("the event: %+v", doc)
	}
}

// memory takes data as told.
type memory struct {
	fail func(call int) error
	call int
	got  []Datum
}

func (m *memory) Fits(data []Datum) int { return min(len(data), 10) }

func (m *memory) Put(_ context.Context, data []Datum) error {
	m.call++
	if err := m.fail(m.call); err != nil {
		return err
	}
	m.got = append(m.got, data...)
	return nil
}

// The sink sends each minute's values once, keeps them while CloudWatch is away, drops the
// oldest beyond its bound, and counts what it dropped.
func TestTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		m := &memory{fail: func(call int) error {
			if away {
				return problem.New(problem.Unavailable, "put", "away")
			}
			return nil
		}}
		claimed := map[time.Time]bool{}
		s := &Sink{Target: m, Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: []Metric{{"Requests", "q", "Count"}},
			Query: func(_ context.Context, _ string, at time.Time) ([]Series, error) {
				return []Series{{map[string]string{"cluster": "shop", "region": ""}, float64(at.Unix())}, {nil, math.NaN()}}, nil
			},
			Claim: func(_ context.Context, minute time.Time) (bool, error) {
				if claimed[minute] {
					t.Errorf("%v was asked for twice", minute)
				}
				claimed[minute] = true
				return len(claimed)%2 == 1, nil // the other minutes are another replica's
			}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		<-time.After(10*time.Minute + time.Second)
		synctest.Wait()
		if c := s.Counts(); c.Waiting != 5 || c.Sent != 0 || c.Error != "away" {
			t.Errorf("while it is away: %+v", c)
		}
		away = false
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if c := s.Counts(); c.Waiting != 0 || c.Sent != 6 || c.Error != "" {
			t.Errorf("once it is back: %+v", c)
		}
		for i, d := range m.got {
			if i > 0 && d.At.Sub(m.got[i-1].At) != 2*time.Minute || d.Value != float64(d.At.Add(every).Unix()) || len(d.Dimensions) != 1 {
				t.Errorf("%d: %+v", i, d)
			}
		}
		cancel()
		<-done
		s.add(make([]Datum, mostWaiting+3))
		if c := s.Counts(); c.Waiting != mostWaiting || c.Dropped != 3 {
			t.Errorf("beyond the bound: %+v", c)
		}
	})
}

// A batch stays within what a call takes.
func TestWithin(t *testing.T) {
	data := series(time.Now(), make([]float64, 2000)...)
	if got := (&metricTarget{}).Fits(data); got != 1000 {
		t.Errorf("%d small ones", got)
	}
	data[0].Dimensions = map[string]string{"x": strings.Repeat("x", 2_000_000)}
	if got := (&metricTarget{}).Fits(data); got != 1 {
		t.Errorf("%d with a large one", got)
	}
}
