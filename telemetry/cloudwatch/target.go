package cloudwatch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"showrunner/internal/awskeys"
	"showrunner/problem"
)

const opSink = "metrics.cloudwatch.put"

// OpenTarget makes the target of cloudwatch://REGION/NAMESPACE[?endpoint=URL][&logs=GROUP]:
// with logs the metrics go to that log group, in the embedded metric format. Stream names
// this control plane's log stream. Errors: invalid.
func OpenTarget(ctx context.Context, address, secret, stream string) (Target, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != Scheme {
		return nil, problem.New(problem.Invalid, opSink, "%q is no address of CloudWatch", address).
			WithHelp("cloudwatch://REGION/NAMESPACE, such as cloudwatch://us-west-2/Showrunner")
	}
	c, namespace, err := awskeys.Load(ctx, opSink, address, secret)
	if err != nil {
		return nil, err
	}
	if namespace == "" || strings.HasPrefix(namespace, "AWS/") || len(namespace) > 255 {
		return nil, problem.New(problem.Invalid, opSink, "%q is no namespace for metrics", namespace).WithHelp("cloudwatch://REGION/NAMESPACE; names that begin with AWS/ are Amazon's")
	}
	if group := u.Query().Get("logs"); group != "" {
		return &logTarget{client: cloudwatchlogs.NewFromConfig(c), namespace: namespace, group: group, stream: stream}, nil
	}
	return &metricTarget{client: cloudwatch.NewFromConfig(c), namespace: namespace}, nil
}

// metricTarget sends with PutMetricData.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
type metricTarget struct {
	client    *cloudwatch.Client
	namespace string
}

// Fits implements Target: CloudWatch takes 1,000 data in a megabyte.
func (*metricTarget) Fits(data []Datum) int { return within(data, 1000, 900_000) }

// Put implements Target.
func (t *metricTarget) Put(ctx context.Context, data []Datum) error {
	in := &cloudwatch.PutMetricDataInput{Namespace: aws.String(t.namespace)}
	for _, d := range data {
		one := types.MetricDatum{MetricName: aws.String(d.Name), Value: aws.Float64(d.Value), Unit: types.StandardUnit(d.Unit), Timestamp: aws.Time(d.At)}
		for _, name := range slices.Sorted(maps.Keys(d.Dimensions)) {
			one.Dimensions = append(one.Dimensions, types.Dimension{Name: aws.String(name), Value: aws.String(d.Dimensions[name])})
		}
		in.MetricData = append(in.MetricData, one)
	}
	_, err := t.client.PutMetricData(ctx, in)
	if err != nil {
		return refusal(opSink, err)
	}
	return nil
}

// within is how many of the data stay within a number and about so many bytes; one at
// least.
func within(data []Datum, most, bytes int) int {
	for i, d := range data[:min(len(data), most)] {
		bytes -= 150 + len(d.Name)
		for name, value := range d.Dimensions {
			bytes -= 40 + len(name) + len(value)
		}
		if bytes < 0 && i > 0 {
			return i
		}
	}
	return min(len(data), most)
}

// logTarget writes events in the embedded metric format, which CloudWatch Logs turns into
// metrics.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type logTarget struct {
	client                   *cloudwatchlogs.Client
	namespace, group, stream string
	made                     bool // the stream
}

// Fits implements Target: a call takes a megabyte, and each datum may become an event.
func (*logTarget) Fits(data []Datum) int { return within(data, 1000, 400_000) }

// embedded is one event: the values of all metrics of a set of dimensions at a time.
type embedded struct {
	dimensions map[string]string
	at         int64
	metrics    []Datum
}

// mostMetrics is how many metrics an event may have.
const mostMetrics = 100

// documents are the events of data, in order of time.
func documents(namespace string, data []Datum) ([]logtypes.InputLogEvent, error) {
	var all []*embedded
	open := map[string]*embedded{}
	for _, d := range data {
		key := fmt.Sprint(d.At.UnixMilli(), d.Dimensions)
		e := open[key]
		if e == nil || len(e.metrics) == mostMetrics || slices.ContainsFunc(e.metrics, func(o Datum) bool { return o.Name == d.Name }) {
			e = &embedded{dimensions: d.Dimensions, at: d.At.UnixMilli()}
			open[key], all = e, append(all, e)
		}
		e.metrics = append(e.metrics, d)
	}
	slices.SortStableFunc(all, func(a, b *embedded) int { return cmp.Compare(a.at, b.at) })
	var events []logtypes.InputLogEvent
	for _, e := range all {
		raw, err := e.document(namespace)
		if err != nil {
			return nil, problem.Wrap(err, problem.Internal, opSink, "encoding")
		}
		events = append(events, logtypes.InputLogEvent{Message: aws.String(string(raw)), Timestamp: aws.Int64(e.at)})
	}
	return events, nil
}

func (e *embedded) document(namespace string) ([]byte, error) {
	type metric struct {
		Name string
		Unit string `json:",omitempty"`
	}
	doc := map[string]any{}
	for name, value := range e.dimensions {
		doc[name] = value
	}
	var metrics []metric
	for _, d := range e.metrics {
		metrics = append(metrics, metric{d.Name, d.Unit})
		doc[d.Name] = d.Value
	}
	doc["_aws"] = map[string]any{"Timestamp": e.at, "CloudWatchMetrics": []any{map[string]any{
		"Namespace": namespace, "Dimensions": [][]string{slices.Sorted(maps.Keys(e.dimensions))}, "Metrics": metrics}}}
	return json.Marshal(doc)
}

// Put implements Target.
func (t *logTarget) Put(ctx context.Context, data []Datum) error {
	events, err := documents(t.namespace, data)
	if err != nil {
		return err
	}
	if err := t.makeStream(ctx); err != nil {
		return err
	}
	out, err := t.client.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String(t.group), LogStreamName: aws.String(t.stream), LogEvents: events})
	if err != nil {
		if code, _, _ := awskeys.Said(err); code == "ResourceNotFoundException" {
			t.made = false // it was removed: it is made again with the next try
			return problem.New(problem.Unavailable, opSink, "the log stream is gone")
		}
		return refusal(opSink, err)
	}
	if r := out.RejectedLogEventsInfo; r != nil {
		return problem.New(problem.Invalid, opSink, "CloudWatch Logs rejected events that are too old or too new")
	}
	return nil
}

// makeStream makes the group and the stream, once.
func (t *logTarget) makeStream(ctx context.Context) error {
	if t.made {
		return nil
	}
	_, err := t.client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(t.group)})
	if err == nil || exists(err) || denied(err) { // who may not make groups may find it made
		_, err = t.client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String(t.group), LogStreamName: aws.String(t.stream)})
	}
	if err != nil && !exists(err) {
		return problem.New(problem.Unavailable, opSink, "the log stream %s of %s cannot be made: %s", t.stream, t.group, problem.Text(refusal(opSink, err)))
	}
	t.made = true
	return nil
}

func exists(err error) bool {
	code, _, _ := awskeys.Said(err)
	return code == "ResourceAlreadyExistsException"
}

func denied(err error) bool {
	code, _, _ := awskeys.Said(err)
	return strings.HasPrefix(code, "AccessDenied")
}
