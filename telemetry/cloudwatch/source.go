package cloudwatch

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"showrunner/canary"
	"showrunner/internal/awskeys"
	"showrunner/problem"
)

// Scheme begins the address of a source: cloudwatch://REGION[?endpoint=URL].
const Scheme = "cloudwatch"

const (
	// mostPages bounds the pages of an answer.
	mostPages = 50
	// mostQueries is CloudWatch's own bound for a call.
	mostQueries = 500
)

// Source answers queries with CloudWatch's metrics.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
type Source struct {
	client *cloudwatch.Client
}

// OpenSource makes the source of an address, with keys from a secret or from the
// environment. Errors: invalid.
func OpenSource(ctx context.Context, address, secret string) (*Source, error) {
	c, _, err := awskeys.Load(ctx, "metrics.cloudwatch", address, secret)
	if err != nil {
		return nil, err
	}
	return &Source{client: cloudwatch.NewFromConfig(c)}, nil
}

// failing is a source that cannot be asked; each query says why.
type failing struct{ err error }

// Range implements canary.Source.
func (f failing) Range(context.Context, string, time.Time, time.Time, time.Duration) ([][]canary.Point, error) {
	return nil, f.err
}

// SourceOf is OpenSource for callers that find out with the first query.
func SourceOf(address, secret string) canary.Source {
	s, err := OpenSource(context.Background(), address, secret)
	if err != nil {
		return failing{err}
	}
	return s
}

// Range implements canary.Source. The query is the list of MetricDataQueries that
// GetMetricData takes, as JSON, or one expression of its metric maths. A period that is
// left out is the step.
func (s *Source) Range(ctx context.Context, query string, start, end time.Time, step time.Duration) ([][]canary.Point, error) {
	const op = "metrics.cloudwatch"
	queries, err := queriesOf(query, step)
	if err != nil {
		return nil, err
	}
	in := &cloudwatch.GetMetricDataInput{MetricDataQueries: queries, StartTime: aws.Time(start), EndTime: aws.Time(end.Add(time.Second)), ScanBy: types.ScanByTimestampAscending}
	found := map[string][]canary.Point{}
	var order []string
	for range mostPages {
		out, err := s.client.GetMetricData(ctx, in)
		if err != nil {
			return nil, refusal(op, err)
		}
		for _, r := range out.MetricDataResults {
			id := aws.ToString(r.Id) + "\x00" + aws.ToString(r.Label)
			if r.StatusCode == types.StatusCodeInternalError || r.StatusCode == types.StatusCodeForbidden {
				return nil, problem.New(problem.Unavailable, op, "CloudWatch has no answer for %s: %s", aws.ToString(r.Id), r.StatusCode)
			}
			if len(r.Values) != len(r.Timestamps) {
				return nil, problem.New(problem.Unavailable, op, "CloudWatch answered %d values for %d times", len(r.Values), len(r.Timestamps))
			}
			if !slices.Contains(order, id) {
				order = append(order, id)
			}
			for i, v := range r.Values {
				found[id] = append(found[id], canary.Point{At: r.Timestamps[i], Value: v})
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			series := make([][]canary.Point, 0, len(order))
			for _, id := range order {
				if len(found[id]) > 0 { // a metric that does not exist answers with an empty series
					series = append(series, found[id])
				}
			}
			return series, nil
		}
	}
	return nil, problem.New(problem.Invalid, op, "the answer of CloudWatch has more than %d pages", mostPages)
}

// queriesOf reads a query. Errors: invalid.
func queriesOf(query string, step time.Duration) ([]types.MetricDataQuery, error) {
	const op = "metrics.cloudwatch"
	seconds := int32(step / time.Second)
	period := func() (*int32, error) {
		if step%time.Second != 0 || seconds <= 0 || seconds%60 != 0 && !slices.Contains([]int32{1, 5, 10, 20, 30}, seconds) {
			return nil, problem.New(problem.Invalid, op, "the step %s is no period of CloudWatch", step).
				WithHelp("1s, 5s, 10s, 20s, 30s or whole minutes; most metrics of AWS have one value a minute")
		}
		return aws.Int32(seconds), nil
	}
	text := strings.TrimSpace(query)
	if !strings.HasPrefix(text, "[") {
		p, err := period()
		return []types.MetricDataQuery{{Id: aws.String("q"), Expression: aws.String(text), Period: p}}, err
	}
	var queries []types.MetricDataQuery
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&queries); err != nil {
		return nil, problem.New(problem.Invalid, op, "the query is no list of MetricDataQueries: %v", err).
			WithHelp("the JSON that `aws cloudwatch get-metric-data --metric-data-queries` takes")
	}
	if len(queries) == 0 || len(queries) > mostQueries {
		return nil, problem.New(problem.Invalid, op, "the query has %d MetricDataQueries; CloudWatch takes 1 to %d", len(queries), mostQueries)
	}
	for i := range queries {
		q := &queries[i]
		var err error
		switch {
		case q.MetricStat != nil && q.MetricStat.Period == nil:
			q.MetricStat.Period, err = period()
		case q.MetricStat == nil && q.Expression == nil:
			err = problem.New(problem.Invalid, op, "the query %q has neither MetricStat nor Expression", aws.ToString(q.Id))
		}
		if err != nil {
			return nil, err
		}
	}
	return queries, nil
}

// refusal maps the errors of AWS.
func refusal(op string, err error) error {
	code, message, ok := awskeys.Said(err)
	switch {
	case code == "ValidationError" || strings.HasPrefix(code, "InvalidParameter") || code == "MissingParameter" || code == "MissingRequiredParameterException":
		return problem.New(problem.Invalid, op, "CloudWatch refused the query (%s): %.300s", code, message)
	case ok:
		return problem.New(problem.Unavailable, op, "CloudWatch answered %s: %.300s", code, message)
	}
	return problem.New(problem.Unavailable, op, "CloudWatch does not answer: %v", err)
}
