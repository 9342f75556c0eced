package resource

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// put acts for resources that one operation both makes and changes: what is put again
// is the same.
type put struct {
	service string
	// in is the operation that puts it, with its input.
	in func(r *Request) (operation string, in map[string]any)
	// find is the operation that describes it; found says whether the answer has it.
	find  func(r *Request) (operation string, in map[string]any)
	found func(r *Request, out map[string]any) bool
	// remove is the operation that removes it.
	remove     func(r *Request) (operation string, in map[string]any)
	missing    []string // the codes that say that it is not there
	attributes func(r *Request) map[string]any
}

func (p put) made(r *Request) Made {
	m := Made{Physical: r.Physical}
	if p.attributes != nil {
		m.Attributes = p.attributes(r)
	}
	return m
}

func (p put) Create(ctx context.Context, r *Request) (Made, error) {
	operation, in := p.in(r)
	_, err := r.call(ctx, p.service, operation, in)
	return p.made(r), err
}

func (p put) Update(ctx context.Context, r *Request) (Made, error) { return p.Create(ctx, r) }

func (p put) Delete(ctx context.Context, r *Request) error {
	operation, in := p.remove(r)
	_, err := r.call(ctx, p.service, operation, in)
	return gone(err, p.missing...)
}

func (p put) Find(ctx context.Context, r *Request) (Made, bool, error) {
	operation, in := p.find(r)
	out, err := r.call(ctx, p.service, operation, in)
	m, there, err := absent(p.made(r), err, p.missing...)
	return m, there && (p.found == nil || p.found(r, out)), err
}

// having says whether a list in an answer has one whose member is the identifier.
func having(list, member string) func(*Request, map[string]any) bool {
	return func(r *Request, out map[string]any) bool {
		all, _ := out[list].([]any)
		return slices.ContainsFunc(all, func(v any) bool { return textAt(v, member) == r.Physical })
	}
}

// watchTypes are alarms and dashboards, and what makes metrics of logs and sends them on.
func watchTypes() []*Type {
	alarm := strings.Fields("ActionsEnabled AlarmActions AlarmDescription ComparisonOperator DatapointsToAlarm Dimensions EvaluateLowSampleCountPercentile EvaluationPeriods ExtendedStatistic InsufficientDataActions MetricName Metrics Namespace OKActions Period Statistic Threshold ThresholdMetricId TreatMissingData Unit")
	composite := strings.Fields("ActionsEnabled ActionsSuppressor ActionsSuppressorExtensionPeriod ActionsSuppressorWaitPeriod AlarmActions AlarmDescription AlarmRule InsufficientDataActions OKActions")
	return []*Type{{
		Name: "AWS::CloudWatch::Alarm", Properties: append([]string{"AlarmName", "Tags"}, alarm...), Required: []string{"ComparisonOperator", "EvaluationPeriods"},
		Replace: []string{"AlarmName"}, Attributes: []string{"Arn"}, Named: "AlarmName", Identifiers: []string{"AlarmName"}, Tagged: true,
		Needs: [2]string{"monitoring", "PutMetricAlarm"}, Handler: alarmHandler("PutMetricAlarm", "MetricAlarms", "MetricAlarm", alarm),
	}, {
		Name: "AWS::CloudWatch::CompositeAlarm", Properties: append([]string{"AlarmName", "Tags"}, composite...), Required: []string{"AlarmRule"},
		Replace: []string{"AlarmName"}, Attributes: []string{"Arn"}, Named: "AlarmName", Identifiers: []string{"AlarmName"}, Tagged: true,
		Needs: [2]string{"monitoring", "PutCompositeAlarm"}, Handler: alarmHandler("PutCompositeAlarm", "CompositeAlarms", "CompositeAlarm", composite),
	}, {
		Name: "AWS::CloudWatch::Dashboard", Properties: []string{"DashboardName", "DashboardBody"}, Required: []string{"DashboardBody"},
		Replace: []string{"DashboardName"}, Named: "DashboardName", Identifiers: []string{"DashboardName"},
		Needs: [2]string{"monitoring", "PutDashboard"},
		Handler: put{service: "monitoring", missing: []string{"ResourceNotFound", "DashboardNotFoundError"},
			in: func(r *Request) (string, map[string]any) {
				return "PutDashboard", map[string]any{"DashboardName": r.Physical, "DashboardBody": r.Document("DashboardBody")}
			},
			find: func(r *Request) (string, map[string]any) {
				return "GetDashboard", map[string]any{"DashboardName": r.Physical}
			},
			remove: func(r *Request) (string, map[string]any) {
				return "DeleteDashboards", map[string]any{"DashboardNames": []any{r.Physical}}
			}},
	}, {
		Name: "AWS::Logs::MetricFilter", Properties: []string{"FilterName", "FilterPattern", "LogGroupName", "MetricTransformations", "ApplyOnTransformedLogs"},
		Required: []string{"FilterPattern", "LogGroupName", "MetricTransformations"}, Kept: []string{"ApplyOnTransformedLogs"},
		Replace: []string{"FilterName", "LogGroupName"}, Named: "FilterName", Identifiers: []string{"LogGroupName", "FilterName"},
		Needs: [2]string{"logs", "PutMetricFilter"}, Handler: filterHandler("MetricFilter", "metricFilters", func(r *Request, in map[string]any) {
			in["metricTransformations"] = transformations(r)
		}),
	}, {
		Name: "AWS::Logs::SubscriptionFilter", Properties: []string{"FilterName", "FilterPattern", "LogGroupName", "DestinationArn", "RoleArn", "Distribution"},
		Required: []string{"FilterPattern", "LogGroupName", "DestinationArn"},
		Replace:  []string{"FilterName", "LogGroupName"}, Named: "FilterName", Identifiers: []string{"LogGroupName", "FilterName"},
		Needs: [2]string{"logs", "PutSubscriptionFilter"}, Handler: filterHandler("SubscriptionFilter", "subscriptionFilters", func(r *Request, in map[string]any) {
			maps.Copy(in, r.pick(map[string]string{"DestinationArn": "destinationArn", "RoleArn": "roleArn", "Distribution": "distribution"}))
		}),
	}, {
		Name: "AWS::Logs::LogStream", Properties: []string{"LogStreamName", "LogGroupName"}, Required: []string{"LogGroupName"},
		Replace: []string{"LogStreamName", "LogGroupName"}, Named: "LogStreamName", Identifiers: []string{"LogGroupName", "LogStreamName"},
		Needs: [2]string{"logs", "CreateLogStream"},
		Handler: put{service: "logs", missing: []string{"ResourceNotFoundException"}, found: having("logStreams", "logStreamName"),
			in: func(r *Request) (string, map[string]any) {
				return "CreateLogStream", map[string]any{"logGroupName": r.Text("LogGroupName"), "logStreamName": r.Physical}
			},
			find: func(r *Request) (string, map[string]any) {
				return "DescribeLogStreams", map[string]any{"logGroupName": r.Text("LogGroupName"), "logStreamNamePrefix": r.Physical}
			},
			remove: func(r *Request) (string, map[string]any) {
				return "DeleteLogStream", map[string]any{"logGroupName": r.Text("LogGroupName"), "logStreamName": r.Physical}
			}},
	}}
}

// alarmHandler acts for alarms of one kind.
func alarmHandler(operation, list, kind string, members []string) put {
	return put{service: "monitoring", missing: []string{"ResourceNotFound"}, found: having(list, "AlarmName"),
		in: func(r *Request) (string, map[string]any) {
			in := map[string]any{"AlarmName": r.Physical, "Tags": r.tagList()}
			for _, m := range members {
				if v := r.Properties[m]; v != nil {
					in[m] = v
				}
			}
			return operation, in
		},
		find: func(r *Request) (string, map[string]any) {
			return "DescribeAlarms", map[string]any{"AlarmNames": []any{r.Physical}, "AlarmTypes": []any{kind}}
		},
		remove: func(r *Request) (string, map[string]any) {
			return "DeleteAlarms", map[string]any{"AlarmNames": []any{r.Physical}}
		},
		attributes: func(r *Request) map[string]any {
			return map[string]any{"Arn": "arn:aws:cloudwatch:" + r.Region + ":" + r.Account + ":alarm:" + r.Physical}
		}}
}

// filterHandler acts for the filters of log groups.
func filterHandler(kind, list string, with func(r *Request, in map[string]any)) put {
	named := func(r *Request) map[string]any {
		return map[string]any{"logGroupName": r.Text("LogGroupName"), "filterName": r.Physical}
	}
	return put{service: "logs", missing: []string{"ResourceNotFoundException"}, found: having(list, "filterName"),
		in: func(r *Request) (string, map[string]any) {
			in := named(r)
			in["filterPattern"] = r.Text("FilterPattern")
			with(r, in)
			return "Put" + kind, in
		},
		find: func(r *Request) (string, map[string]any) {
			return "Describe" + kind + "s", map[string]any{"logGroupName": r.Text("LogGroupName"), "filterNamePrefix": r.Physical}
		},
		remove: func(r *Request) (string, map[string]any) { return "Delete" + kind, named(r) }}
}

// transformations are the metrics of a filter, as CloudWatch Logs names their members.
func transformations(r *Request) []any {
	list, _ := r.Properties["MetricTransformations"].([]any)
	out := []any{}
	for _, v := range list {
		one := map[string]any{}
		for name, value := range asObject(v) {
			if name == "Dimensions" {
				dimensions := map[string]any{}
				pairs, _ := value.([]any)
				for _, p := range pairs {
					dimensions[textAt(p, "Key")] = at(p, "Value")
				}
				value = dimensions
			}
			one[strings.ToLower(name[:1])+name[1:]] = value
		}
		out = append(out, one)
	}
	return out
}
