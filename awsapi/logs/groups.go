package logs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// group is what is kept of a log group.
type group struct {
	Name      string
	Created   int64 // milliseconds since 1970, like every time here
	Retention *int64
	KMSKey    string
	Class     string
	Tags      map[string]string
	Filters   []metricFilter

	Subscriptions []subscription
}

// Logs is the service.
type Logs struct {
	// Fill, when it is set, is called before a group is read: what writes into the
	// group by itself appends what it has.
	Fill func(ctx context.Context, region, group string) error

	// Measure, when it is set, keeps the values that metric filters make.
	Measure func(ctx context.Context, region string, values []Value) error

	// Account is whose groups these are.
	Account string

	// Services, when it is set, takes what subscriptions send.
	Services Services

	groups   state.Collection[group]
	streams  state.Collection[stream]
	chunks   state.Collection[chunk]
	policies state.Collection[resourcePolicy]
	now      func() time.Time

	deliveries  state.Collection[delivery]
	undelivered chan struct{} // tells Run that there is something to send
}

// New makes the service over records.
func New(records state.Records, now func() time.Time) *Logs {
	return &Logs{groups: state.New[group](records, "aws.logs.groups"), streams: state.New[stream](records, "aws.logs.streams"),
		chunks: state.New[chunk](records, "aws.logs.chunks").Paged(20), policies: state.New[resourcePolicy](records, "aws.logs.policies"), now: now,
		deliveries: state.New[delivery](records, "aws.logs.deliveries").Paged(20), undelivered: make(chan struct{}, 1)}
}

// Service is the operations that are served.
func (l *Logs) Service() wire.Service {
	return wire.Service{Name: "logs", Data: []string{"PutLogEvents"}, Invalid: "InvalidParameterException", Words: tooLong, Operations: map[string]wire.Handler{
		"CreateLogGroup":              wire.Handle(l.createGroup),
		"DeleteLogGroup":              wire.Handle(l.deleteGroup),
		"DescribeLogGroups":           wire.Handle(l.describeGroups),
		"PutRetentionPolicy":          wire.Handle(l.putRetention),
		"DeleteRetentionPolicy":       wire.Handle(l.deleteRetention),
		"CreateLogStream":             wire.Handle(l.createStream),
		"DeleteLogStream":             wire.Handle(l.deleteStream),
		"DescribeLogStreams":          wire.Handle(l.describeStreams),
		"PutLogEvents":                wire.Handle(l.put),
		"GetLogEvents":                wire.Handle(l.get),
		"FilterLogEvents":             wire.Handle(l.filter),
		"TestMetricFilter":            wire.Handle(l.testFilter),
		"TagResource":                 wire.Handle(l.tag),
		"UntagResource":               wire.Handle(l.untag),
		"ListTagsForResource":         wire.Handle(l.tags),
		"TagLogGroup":                 wire.Handle(l.tagGroup),
		"UntagLogGroup":               wire.Handle(l.untagGroup),
		"ListTagsLogGroup":            wire.Handle(l.groupTags),
		"PutMetricFilter":             wire.Handle(l.putMetricFilter),
		"DescribeMetricFilters":       wire.HandleObject(l.describeMetricFilters),
		"DeleteMetricFilter":          wire.Handle(l.deleteMetricFilter),
		"DescribeResourcePolicies":    wire.HandleObject(l.describeResourcePolicies),
		"PutResourcePolicy":           wire.HandleObject(l.putResourcePolicy),
		"DeleteResourcePolicy":        wire.HandleObject(l.deleteResourcePolicy),
		"PutSubscriptionFilter":       wire.Handle(l.putSubscription),
		"DeleteSubscriptionFilter":    wire.Handle(l.deleteSubscription),
		"DescribeSubscriptionFilters": wire.HandleObject(l.describeSubscriptions),
		"ListLogGroups":               wire.HandleObject(l.listGroups),
		// None of these can be made here.
		"DescribeDestinations":     wire.Always(wire.Object{"destinations": []any{}}),
		"DescribeExportTasks":      wire.Always(wire.Object{"exportTasks": []any{}}),
		"DescribeQueries":          wire.Always(wire.Object{"queries": []any{}}),
		"DescribeQueryDefinitions": wire.Always(wire.Object{"queryDefinitions": []any{}}),
		"DescribeAccountPolicies":  wire.Always(wire.Object{"accountPolicies": []any{}}),
	}}
}

// tooLong says of a group's or a stream's name what AWS says.
func tooLong(violations []string) string {
	for _, v := range violations {
		if (strings.Contains(v, "' at 'logGroupName'") || strings.Contains(v, "' at 'logStreamName'")) && strings.HasSuffix(v, "length less than or equal to 512") {
			return "Invalid LogGroup or LogStream, both must have length less than or equal to 512."
		}
	}
	return ""
}

type nothing struct{}

// separator ends the names in keys: names hold no control characters.
const separator = "\x01"

func groupKey(region, name string) string { return region + "/" + name + separator }

func groupPrefix(region string) string { return region + "/" }

func streamKey(region, group, name string) string { return groupKey(region, group) + name + separator }

func groupARN(call *wire.Call, name string) string {
	return fmt.Sprintf("arn:aws:logs:%s:%s:log-group:%s", call.Region, call.Account, name)
}

// groupOfARN is the group's name in its ARN, with or without the ":*" at its end.
func groupOfARN(text string) string {
	if _, name, ok := strings.Cut(text, ":log-group:"); ok {
		name, _, _ = strings.Cut(name, ":")
		return name
	}
	return text
}

var (
	errNoGroup  = wire.Errorf("ResourceNotFoundException", "The specified log group does not exist.")
	errNoStream = wire.Errorf("ResourceNotFoundException", "The specified log stream does not exist.")
)

func invalid(format string, args ...any) error {
	return wire.Errorf("InvalidParameterException", format, args...)
}

// absent turns not_found into the service's own error.
func absent(err error, instead error) error {
	if problem.CodeOf(err) == problem.NotFound {
		return instead
	}
	return err
}

type groupInput struct{ LogGroupName string }

type newGroupInput struct {
	LogGroupName  string
	KmsKeyID      string `wire:"kmsKeyId"`
	LogGroupClass string
	Tags          map[string]string
}

func (l *Logs) createGroup(ctx context.Context, call *wire.Call, in *newGroupInput) (*nothing, error) {
	if in.LogGroupClass == "" {
		in.LogGroupClass = "STANDARD"
	}
	err := l.groups.Create(ctx, groupKey(call.Region, in.LogGroupName), group{Name: in.LogGroupName, Created: l.now().UnixMilli(), KMSKey: in.KmsKeyID, Class: in.LogGroupClass, Tags: in.Tags})
	if problem.CodeOf(err) == problem.Conflict {
		return nil, wire.Errorf("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	return &nothing{}, err
}

func (l *Logs) deleteGroup(ctx context.Context, call *wire.Call, in *groupInput) (*nothing, error) {
	key := groupKey(call.Region, in.LogGroupName)
	// The group goes first: what a crash leaves behind is swept.
	if err := l.groups.Delete(ctx, key, nil); err != nil {
		return nil, absent(err, errNoGroup)
	}
	return &nothing{}, l.remove(ctx, key)
}

// remove removes the streams and events below a key.
func (l *Logs) remove(ctx context.Context, prefix string) error {
	for e, err := range l.streams.All(ctx, prefix) {
		if err != nil {
			return err
		}
		if err := l.streams.Delete(ctx, e.Key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return l.removeChunks(ctx, prefix, func(chunk) bool { return true })
}

func (l *Logs) putRetention(ctx context.Context, call *wire.Call, in *retentionInput) (*nothing, error) {
	if !slices.Contains(retentions, in.RetentionInDays) {
		return nil, invalid("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %v", in.RetentionInDays, retentions)
	}
	return l.change(ctx, call, in.LogGroupName, func(g *group) { g.Retention = &in.RetentionInDays })
}

func (l *Logs) deleteRetention(ctx context.Context, call *wire.Call, in *groupInput) (*nothing, error) {
	return l.change(ctx, call, in.LogGroupName, func(g *group) { g.Retention = nil })
}

func (l *Logs) change(ctx context.Context, call *wire.Call, name string, change func(*group)) (*nothing, error) {
	_, err := l.groups.Update(ctx, groupKey(call.Region, name), func(g *group) error { change(g); return nil })
	return &nothing{}, absent(err, errNoGroup)
}

// named is the group that a request names in one of two ways.
func named(name, identifier string) (string, error) {
	switch {
	case name != "" && identifier != "":
		return "", wire.Errorf("ValidationException", "LogGroup name and LogGroup ARN are mutually exclusive parameters.")
	case name == "" && identifier == "":
		return "", invalid("Either LogGroup name or LogGroup ARN has to be given.")
	case name == "":
		return groupOfARN(identifier), nil
	}
	return name, nil
}
