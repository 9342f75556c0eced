package subscription

import (
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"time"

	"showrunner/eventlog"
	"showrunner/problem"
	"showrunner/store/record"
)

// Subscription has events sent to another system, one POST each, in order, at
// least once. Messages are signed as Standard Webhooks specifies. The webhook-id
// stays the same when an event is sent again.
type Subscription struct {
	Name string `json:"name"`
	URL  string `json:"url"` // http, https, or kinesis://REGION/STREAM; of the format otlp that of a collector, with the path
	// Secret names the secret that messages are signed with; of a stream, that which holds
	// the keys of AWS, and of the format otlp that which holds headers, or none.
	Secret string `json:"secret"`
	// Types are exact types, or prefixes that end with "."; empty selects all
	// events but progress lines.
	Types       []string `json:"types,omitempty"`
	Application string   `json:"application,omitempty"`
	Pipeline    string   `json:"pipeline,omitempty"`
	// Format is "cloudevents" (the default), "event", the log's own format, or "otlp":
	// runs as OpenTelemetry traces, in batches.
	Format string `json:"format,omitempty"`
	By     string `json:"by,omitempty"`
	// Progress is how far delivery is; it is not part of the request.
	Progress *Progress `json:"progress,omitempty"`
}

// FormatOTLP is the format of a subscription whose runs go to a collector of OpenTelemetry.
const FormatOTLP = "otlp"

// endTypes are the events at which a part of a run has ended, and is told as a span.
var endTypes = []string{"stage.succeeded", "stage.failed", "stage.canceled", "stage.skipped", "stage.retrying",
	"execution.succeeded", "execution.failed", "execution.canceled"}

// Progress is how far a subscription's delivery is, and whether it fails.
type Progress struct {
	Position  int64     `json:"position"` // of the last event that was accepted or is not selected
	Delivered int64     `json:"delivered"`
	Last      time.Time `json:"last,omitzero"` // when an event was last accepted
	// Error says why the last try failed, Failures how many tries in a row have
	// failed, Failing since when, and Next when the next try is due.
	Error    string    `json:"error,omitempty"`
	Failures int       `json:"failures,omitempty"`
	Failing  time.Time `json:"failing,omitzero"`
	Next     time.Time `json:"next,omitzero"`
	// Parked says why sending has stopped until the subscription is resumed.
	Parked string `json:"parked,omitempty"`
	// Holder is the replica that sends. Its lease ends at Until, or earlier when
	// it releases the lease or its session ends.
	Holder  string    `json:"holder,omitempty"`
	Session string    `json:"session,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	// Source is the source of the subscription's CloudEvents.
	Source string `json:"source,omitempty"`
}

// Collections of records.
const (
	subscriptions = "subscriptions"
	progresses    = "subscription-progress"
)

var subscriptionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Check refuses a subscription that cannot be carried out. Errors: invalid.
func (s Subscription) Check() error {
	const op = "subscription.put"
	if !subscriptionName.MatchString(s.Name) {
		return problem.New(problem.Invalid, op, "%q is not a valid name for a subscription", s.Name).WithHelp("letters, digits, dots, hyphens and underscores, at most 63")
	}
	if s.isKinesis() {
		return s.checkStream()
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return problem.New(problem.Invalid, op, "subscription %s: the address is not an http or https URL", s.Name)
	}
	if u.User != nil {
		return problem.New(problem.Invalid, op, "subscription %s: the address holds a password", s.Name).WithHelp("remove it: the signature authenticates the sender to the receiver")
	}
	if s.Format == FormatOTLP {
		return s.checkTraces()
	}
	if s.Secret == "" {
		return problem.New(problem.Invalid, op, "subscription %s names no secret to sign with", s.Name).
			WithHelp("set one with `showrunner secret set NAME`, and name it here; the receiver checks signatures with the same value")
	}
	return s.checkFormat()
}

func (s Subscription) checkFormat() error {
	if s.Format != "" && s.Format != eventlog.FormatCloudEvents && s.Format != eventlog.FormatEvent {
		return problem.New(problem.Invalid, "subscription.put", "subscription %s: unknown format %q", s.Name, s.Format).WithHelp("cloudevents or event; otlp with the http or https URL of a collector")
	}
	return nil
}

var (
	streamRegion = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	streamName   = regexp.MustCompile(`^/[A-Za-z0-9_.-]{1,128}$`)
)

// checkStream is Check for a subscription whose events go to a stream.
func (s Subscription) checkStream() error {
	u, err := url.Parse(s.URL)
	if err != nil || u.User != nil || !streamRegion.MatchString(u.Host) || !streamName.MatchString(u.Path) {
		return problem.New(problem.Invalid, "subscription.put", "subscription %s: the address names no stream", s.Name).WithHelp("kinesis://REGION/STREAM, such as kinesis://us-west-2/deliveries")
	}
	return s.checkFormat()
}

// selects tells whether the subscription selects an event.
func (s Subscription) selects(e record.Event) bool {
	if len(s.Types) == 0 && e.Type == "stage.progress" {
		return false
	}
	return s.filter().Match(e)
}

// checkTraces is Check for a subscription whose runs go to a collector.
func (s Subscription) checkTraces() error {
	if len(s.Types) > 0 {
		return problem.New(problem.Invalid, "subscription.put", "subscription %s: a collector gets runs, not events of chosen types", s.Name).WithHelp("leave the types out; application and pipeline may be chosen")
	}
	return nil
}

func (s Subscription) filter() record.Filter {
	types := s.Types
	if s.Format == FormatOTLP {
		types = endTypes
	}
	return record.Filter{Application: s.Application, Pipeline: s.Pipeline, Types: types}
}

// Records keeps subscriptions and their progress.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// Store keeps subscriptions and the progress of each.
type Store struct{ Records Records }

// Put creates or replaces a subscription. A new subscription begins after
// position from. A replaced one goes on where it was, and is no longer parked.
// Errors: invalid, unavailable.
func (s Store) Put(ctx context.Context, sub Subscription, from int64, events ...record.Event) error {
	if err := sub.Check(); err != nil {
		return err
	}
	sub.Progress = nil
	data, err := json.Marshal(sub)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "subscription.put", "encoding")
	}
	if err := s.Resume(ctx, sub.Name, from); err != nil { // written before the subscription becomes visible, so that it begins at the right position
		return err
	}
	return retryConflict(func() error {
		r, err := s.Records.GetRecord(ctx, subscriptions, sub.Name)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
		_, err = s.Records.PutRecord(ctx, record.Record{Collection: subscriptions, Key: sub.Name, Version: r.Version, Data: data}, events...)
		return err
	})
}

// Resume makes a parked subscription try again at once. A subscription without
// progress begins after from.
func (s Store) Resume(ctx context.Context, name string, from int64) error {
	return retryConflict(func() error {
		p, version, err := s.progress(ctx, name)
		if err != nil {
			return err
		}
		if version == 0 {
			p = Progress{Position: from}
		}
		p.Parked, p.Error, p.Failures, p.Failing, p.Next = "", "", 0, time.Time{}, time.Time{}
		_, err = s.save(ctx, name, version, p)
		return err
	})
}

// retryConflict repeats a write that lost against another writer of the same record.
func retryConflict(act func() error) error {
	for range 20 {
		if err := act(); problem.CodeOf(err) != problem.Conflict {
			return err
		}
	}
	return problem.New(problem.Unavailable, "subscription", "other writers keep changing this subscription")
}

// Delete removes a subscription. Errors: not_found, unavailable.
func (s Store) Delete(ctx context.Context, name string, events ...record.Event) error {
	err := retryConflict(func() error {
		r, err := s.Records.GetRecord(ctx, subscriptions, name)
		if err != nil {
			return err
		}
		return s.Records.DeleteRecord(ctx, subscriptions, name, r.Version, events...)
	})
	if err != nil {
		return err
	}
	return retryConflict(func() error {
		r, err := s.Records.GetRecord(ctx, progresses, name)
		if err == nil {
			err = s.Records.DeleteRecord(ctx, progresses, name, r.Version)
		}
		if problem.CodeOf(err) == problem.NotFound {
			return nil
		}
		return err
	})
}

// List returns every subscription by name, with its progress.
func (s Store) List(ctx context.Context) ([]Subscription, error) {
	const page = 500
	list := []Subscription{}
	for after := ""; ; {
		records, err := s.Records.ListRecords(ctx, subscriptions, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "subscription.list", "listing subscriptions")
		}
		for _, r := range records {
			after = r.Key
			var sub Subscription
			if err := json.Unmarshal(r.Data, &sub); err != nil {
				return nil, problem.Wrap(err, problem.Internal, "subscription.list", "subscription %s is damaged", r.Key)
			}
			p, _, err := s.progress(ctx, sub.Name)
			if err != nil {
				return nil, err
			}
			sub.Progress = &p
			list = append(list, sub)
		}
		if len(records) < page {
			return list, nil
		}
	}
}

func (s Store) progress(ctx context.Context, name string) (Progress, int64, error) {
	var p Progress
	r, err := s.Records.GetRecord(ctx, progresses, name)
	if problem.CodeOf(err) == problem.NotFound {
		return p, 0, nil
	}
	if err != nil {
		return p, 0, err
	}
	if err := json.Unmarshal(r.Data, &p); err != nil {
		return p, 0, problem.Wrap(err, problem.Internal, "subscription.progress", "the progress of subscription %s is damaged", name)
	}
	return p, r.Version, nil
}

func (s Store) save(ctx context.Context, name string, version int64, p Progress) (int64, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return 0, problem.Wrap(err, problem.Internal, "subscription.progress", "encoding")
	}
	r, err := s.Records.PutRecord(ctx, record.Record{Collection: progresses, Key: name, Version: version, Data: data})
	return r.Version, err
}
