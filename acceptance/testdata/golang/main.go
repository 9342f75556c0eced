// Main speaks to the endpoint for clients of AWS with the SDK for Go, which sends
// CloudWatch's requests as CBOR, and Kinesis' and Secrets Manager's as JSON.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("done")
}

// protocols notes what the requests were written in.
func protocols(seen map[string]bool) func(*cloudwatch.Options) {
	note := middleware.FinalizeMiddlewareFunc("note", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok {
			seen[r.Header.Get("Smithy-Protocol")] = true
		}
		return next.HandleFinalize(ctx, in)
	})
	return func(o *cloudwatch.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return s.Finalize.Add(note, middleware.After) })
	}
}

func run(ctx context.Context) error {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	c := cloudwatch.NewFromConfig(settings, protocols(seen))
	now := time.Now()
	// More than 10 KB, so that the SDK compresses the request.
	data := []types.MetricDatum{{MetricName: aws.String("MyMetric"), Unit: types.StandardUnitCount, Value: aws.Float64(50)}}
	for n := range 300 {
		data = append(data, types.MetricDatum{MetricName: aws.String(fmt.Sprintf("many-%03d", n)), Value: aws.Float64(float64(n)), Timestamp: &now})
	}
	if _, err := c.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("MyNamespace"), MetricData: data}); err != nil {
		return err
	}
	got, err := c.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String("MyNamespace"), MetricName: aws.String("MyMetric"), Period: aws.Int32(60),
		StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now.Add(time.Hour)), Statistics: []types.Statistic{types.StatisticAverage, types.StatisticSampleCount}})
	if err != nil {
		return err
	}
	if len(got.Datapoints) != 1 || *got.Datapoints[0].Average != 50 || *got.Datapoints[0].SampleCount != 1 || got.Datapoints[0].Unit != types.StandardUnitCount {
		return fmt.Errorf("the metric: %+v", got.Datapoints)
	}
	counted := 0
	for pages := cloudwatch.NewListMetricsPaginator(c, &cloudwatch.ListMetricsInput{Namespace: aws.String("MyNamespace")}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		counted += len(page.Metrics)
	}
	if counted != len(data) {
		return fmt.Errorf("%d of %d metrics are listed", counted, len(data))
	}
	if _, err := c.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("high"), Namespace: aws.String("MyNamespace"), MetricName: aws.String("MyMetric"), Statistic: types.StatisticAverage,
		Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(10), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold}); err != nil {
		return err
	}
	if err := cloudwatch.NewAlarmExistsWaiter(c).Wait(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"high"}}, time.Minute); err != nil {
		return err
	}
	_, err = c.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("none"), StateValue: types.StateValueAlarm, StateReason: aws.String("test")})
	var missing *types.ResourceNotFound
	var failure smithy.APIError
	if !errors.As(err, &missing) || !errors.As(err, &failure) || failure.ErrorFault() != smithy.FaultClient {
		return fmt.Errorf("an alarm that is not there: %v", err)
	}
	_, err = c.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("MyNamespace"), MetricData: []types.MetricDatum{{MetricName: aws.String("m"), Unit: "Bushels", Value: aws.Float64(1)}}})
	if !errors.As(err, &failure) || failure.ErrorCode() != "InvalidParameterValue" {
		return fmt.Errorf("a unit that there is not: %v", err)
	}
	if !seen["rpc-v2-cbor"] || len(seen) != 1 {
		return fmt.Errorf("the SDK spoke %v", seen)
	}
	return nil
}
