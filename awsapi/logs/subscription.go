package logs

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Services are the services that events are sent to.
type Services interface {
	Call(ctx context.Context, c wire.Call, service, operation string, in map[string]any) (map[string]any, error)
}

// subscription sends the events of its group that match to a stream or a function.
type subscription struct {
	Name, Pattern, Destination, Role, Distribution string
	Created                                        int64
}

// mostSubscriptions is how many subscription filters a group may have, as at AWS.
const mostSubscriptions = 2

// delivery is what is still to be sent: kept from before the events' put is answered
// until the destination has them.
type delivery struct {
	Region, Account, Group, Stream string
	Filter, Destination            string
	Kept                           int64
	Events                         []sentEvent
}

// sentEvent is an event as subscribers see it.
type sentEvent struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

// deliveredWithin is how long a delivery is tried, as at AWS.
const deliveredWithin = 24 * time.Hour

type putSubscriptionInput struct {
	LogGroupName, FilterName, FilterPattern, DestinationArn, RoleArn, Distribution string
}

func (l *Logs) putSubscription(ctx context.Context, call *wire.Call, in *putSubscriptionInput) (*nothing, error) {
	if _, err := parsePattern(in.FilterPattern); err != nil {
		return nil, err
	}
	if _, err := l.groups.Get(ctx, groupKey(call.Region, in.LogGroupName)); err != nil {
		return nil, absent(err, errNoGroup)
	}
	if err := l.checkDestination(ctx, call, in); err != nil {
		return nil, err
	}
	s := subscription{in.FilterName, in.FilterPattern, in.DestinationArn, in.RoleArn, in.Distribution, l.now().UnixMilli()}
	if s.Distribution == "" {
		s.Distribution = "ByLogStream"
	}
	_, err := l.groups.Update(ctx, groupKey(call.Region, in.LogGroupName), func(g *group) error {
		at := slices.IndexFunc(g.Subscriptions, func(have subscription) bool { return have.Name == s.Name })
		switch {
		case at >= 0:
			s.Created = g.Subscriptions[at].Created
			g.Subscriptions[at] = s
		case len(g.Subscriptions) == mostSubscriptions:
			return wire.Errorf("LimitExceededException", "Resource limit exceeded.")
		default:
			g.Subscriptions = append(g.Subscriptions, s)
		}
		return nil
	})
	return &nothing{}, absent(err, errNoGroup)
}

// checkDestination asks a destination whether it is there, and refuses others.
func (l *Logs) checkDestination(ctx context.Context, call *wire.Call, in *putSubscriptionInput) error {
	service, name, err := l.destination(call.Region, call.Account, in.DestinationArn)
	switch {
	case err != nil:
		return err
	case l.Services == nil:
		return invalid("Nothing is sent from here.")
	case service == "kinesis" && in.RoleArn == "":
		return invalid("destinationArn for vendor kinesis cannot be used without roleArn")
	case service == "kinesis":
		if _, err := l.Services.Call(ctx, *call, "kinesis", "DescribeStreamSummary", map[string]any{"StreamName": name}); err != nil {
			return invalid("Could not deliver test message to specified Kinesis stream. Check if the given kinesis stream is in ACTIVE state.")
		}
		return nil
	}
	if _, err := l.Services.Call(ctx, *call, "lambda", "Invoke", map[string]any{"FunctionName": name, "InvocationType": "DryRun"}); err != nil {
		return invalid("Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute your function.")
	}
	return nil
}

// destination is the service of a destination, and what that calls it.
func (l *Logs) destination(region, account, arn string) (service, name string, err error) {
	if name, ok := strings.CutPrefix(arn, "arn:aws:kinesis:"+region+":"+account+":stream/"); ok {
		return "kinesis", name, nil
	}
	if strings.HasPrefix(arn, "arn:aws:lambda:"+region+":"+account+":function:") {
		return "lambda", arn, nil
	}
	return "", "", invalid("Invalid destination %s: here it may be a stream of Kinesis or a function of Lambda in %s.", arn, region)
}

func (l *Logs) deleteSubscription(ctx context.Context, call *wire.Call, in *filterName) (*nothing, error) {
	_, err := l.groups.Update(ctx, groupKey(call.Region, in.LogGroupName), func(g *group) error {
		left := slices.DeleteFunc(slices.Clone(g.Subscriptions), func(s subscription) bool { return s.Name == in.FilterName })
		if len(left) == len(g.Subscriptions) {
			return wire.Errorf("ResourceNotFoundException", "The specified subscription filter does not exist.")
		}
		g.Subscriptions = left
		return nil
	})
	return &nothing{}, absent(err, errNoGroup)
}

func (l *Logs) describeSubscriptions(ctx context.Context, call *wire.Call, in wire.Object) (wire.Object, error) {
	g, err := l.groups.Get(ctx, groupKey(call.Region, in.Text("logGroupName")))
	if err != nil {
		return nil, absent(err, errNoGroup)
	}
	var all []wire.Object
	for _, s := range g.Subscriptions {
		if !strings.HasPrefix(s.Name, in.Text("filterNamePrefix")) {
			continue
		}
		told := wire.Object{"filterName": s.Name, "logGroupName": g.Name, "filterPattern": s.Pattern, "destinationArn": s.Destination, "distribution": s.Distribution, "creationTime": s.Created}
		if s.Role != "" {
			told["roleArn"] = s.Role
		}
		all = append(all, told)
	}
	return wire.Object{"subscriptionFilters": wire.List(all)}, nil
}

// subscribed keeps what a group's subscriptions are to be sent of events that were kept.
// It is called before their put is answered: what dies after it loses none of them.
func (l *Logs) subscribed(ctx context.Context, call *wire.Call, g group, stream string, chunk int64, events []event) error {
	for _, s := range g.Subscriptions {
		match, err := parsePattern(s.Pattern)
		if err != nil {
			return err // not reached: it was read when the filter was put
		}
		d := delivery{Region: call.Region, Account: call.Account, Group: g.Name, Stream: stream, Filter: s.Name, Destination: s.Destination, Kept: l.now().UnixMilli()}
		for i, e := range events {
			if match(e.Message) {
				d.Events = append(d.Events, sentEvent{fmt.Sprintf("%020d%020d%016d", e.Timestamp, chunk, i), e.Timestamp, e.Message})
			}
		}
		if len(d.Events) == 0 {
			continue
		}
		if err := l.deliveries.Create(ctx, fmt.Sprintf("%s/%020d/%s", call.Region, d.Kept, rand.Text()), d); err != nil {
			return err
		}
		select {
		case l.undelivered <- struct{}{}:
		default: // it is told already
		}
	}
	return nil
}

// Run sends what is to be sent, at once and again every so often, until ctx ends.
func (l *Logs) Run(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := l.Deliver(ctx); err != nil && ctx.Err() == nil {
			log.Warn("sending log events to subscribers", "error", err)
		}
		select {
		case <-l.undelivered:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Deliver sends what is kept for subscribers once; what fails is tried again by the next
// call, for a day. The error is of the last that failed.
func (l *Logs) Deliver(ctx context.Context) error {
	list, err := l.deliveries.List(ctx, "")
	if err != nil {
		return err
	}
	var failed error
	for _, e := range list {
		err := l.deliver(ctx, e.Doc)
		if err != nil && l.now().Sub(time.UnixMilli(e.Doc.Kept)) < deliveredWithin {
			failed = errors.Join(failed, err)
			continue
		}
		if err := l.deliveries.Delete(ctx, e.Key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return failed
}

// deliver sends one delivery.
func (l *Logs) deliver(ctx context.Context, d delivery) error {
	service, name, err := l.destination(d.Region, d.Account, d.Destination)
	if err != nil {
		return err
	}
	data, err := d.packed()
	if err != nil {
		return err
	}
	c := wire.Call{Account: d.Account, Region: d.Region, Caller: "arn:aws:iam::" + d.Account + ":root"}
	if service == "kinesis" {
		_, err = l.Services.Call(ctx, c, "kinesis", "PutRecord", map[string]any{"StreamName": name, "PartitionKey": d.Stream, "Data": data})
		return err
	}
	payload, err := json.Marshal(map[string]any{"awslogs": map[string]any{"data": base64.StdEncoding.EncodeToString(data)}})
	if err == nil {
		_, err = l.Services.Call(ctx, c, "lambda", "Invoke", map[string]any{"FunctionName": name, "InvocationType": "Event", "Payload": payload})
	}
	return err
}

// packed is a delivery as subscribers get it: JSON, compressed by gzip.
func (d delivery) packed() ([]byte, error) {
	text, err := json.Marshal(map[string]any{"messageType": "DATA_MESSAGE", "owner": d.Account, "logGroup": d.Group, "logStream": d.Stream,
		"subscriptionFilters": []string{d.Filter}, "logEvents": d.Events})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err = w.Write(text); err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}
