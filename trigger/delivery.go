package trigger

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

const deliveries = "deliveries"

// Verdicts on a delivery, and on each pipeline that it concerned.
const (
	VerdictStarted   = "started"
	VerdictDuplicate = "duplicate" // the same event started it before
	VerdictIgnored   = "ignored"   // understood, but no pipeline has to be started
	VerdictRefused   = "refused"   // not accepted: signature, form, size
	VerdictFailed    = "failed"    // a pipeline should have been started, and the start failed
	VerdictPong      = "pong"
)

// Delivery records a webhook call and its verdict. It holds no signature, no
// secret and no payload; payloads that were signed are kept beside it (redeliver.go).
type Delivery struct {
	ID          string    `json:"id"` // our identifier
	Provider    string    `json:"provider"`
	Application string    `json:"application,omitempty"` // application named in the address
	DeliveryID  string    `json:"deliveryId,omitempty"`  // the sender's identifier
	Event       string    `json:"event,omitempty"`
	Repository  string    `json:"repository,omitempty"`
	Ref         string    `json:"ref,omitempty"`
	Commit      string    `json:"commit,omitempty"`
	Received    time.Time `json:"received"`
	Status      int       `json:"status"` // status of our answer
	Verdict     string    `json:"verdict"`
	Reason      string    `json:"reason,omitempty"`
	Outcomes    []Outcome `json:"pipelines,omitempty"`
	// Redeliverable says that the payload is kept, so that it can be handled again.
	Redeliverable bool   `json:"redeliverable,omitempty"`
	RedeliveryOf  string `json:"redeliveryOf,omitempty"` // the delivery that was handled again
	By            string `json:"by,omitempty"`           // who had it handled again
	// Traceparent is the W3C trace context in which the sender delivered it.
	Traceparent string `json:"traceparent,omitempty"`

	body *keptBody // what is kept of it; nil unless it was signed
}

// Outcome is the verdict on one pipeline.
type Outcome struct {
	Application string `json:"application"`
	Pipeline    string `json:"pipeline"`
	Verdict     string `json:"verdict"`
	Reason      string `json:"reason,omitempty"`
	Execution   string `json:"execution,omitempty"`
	Number      int    `json:"number,omitempty"`

	unsigned bool // the delivery is not signed with the secret of any trigger of the pipeline
}

// DeliveryLog keeps the newest deliveries.
type DeliveryLog struct {
	Records Records
	Keep    int // how many deliveries are kept; used by Hooks, which writes them
}

// Deliveries lists deliveries, newest first, as JSON: of one application, or of
// all when application is empty.
func (l *DeliveryLog) Deliveries(ctx context.Context, application string, limit int) (json.RawMessage, error) {
	if limit <= 0 || limit > 500 {
		limit = 50
	}
	list, err := l.list(ctx, application, limit, time.Now())
	if err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

// newID sorts newest first, so that the first page of the list holds the newest
// deliveries, and pruning removes the end of the list.
func newID(at time.Time) string {
	return fmt.Sprintf("%016x-%08x", uint64(math.MaxInt64-at.UnixNano()), rand.Uint32())
}

func (l *DeliveryLog) add(ctx context.Context, d Delivery) error {
	data, err := json.Marshal(d)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "trigger.delivery", "encoding a delivery")
	}
	if _, err := l.Records.PutRecord(ctx, record.Record{Collection: deliveries, Key: d.ID, Data: data}); err != nil {
		return problem.Wrap(err, "", "trigger.delivery", "keeping a delivery")
	}
	return nil
}

// prune removes deliveries beyond the number to keep.
func (l *DeliveryLog) prune(ctx context.Context) error {
	const page = 500
	for after, seen := "", 0; ; {
		list, err := l.Records.ListRecords(ctx, deliveries, "", after, page)
		if err != nil {
			return err
		}
		for _, r := range list {
			after = r.Key
			if seen++; seen <= l.Keep {
				continue
			}
			err := l.Records.DeleteRecord(ctx, deliveries, r.Key, r.Version)
			if code := problem.CodeOf(err); err != nil && code != problem.NotFound && code != problem.Conflict {
				return err
			}
		}
		if len(list) < page {
			return nil
		}
	}
}

// list returns the newest deliveries, of one application or all.
func (l *DeliveryLog) list(ctx context.Context, application string, limit int, now time.Time) ([]Delivery, error) {
	const page = 200
	found := []Delivery{}
	withBody := 0 // of those seen; the payloads of more than keptBodies may be gone
	for after := ""; ; {
		list, err := l.Records.ListRecords(ctx, deliveries, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "trigger.deliveries", "listing deliveries")
		}
		for _, r := range list {
			after = r.Key
			var d Delivery
			if err := json.Unmarshal(r.Data, &d); err != nil {
				return nil, problem.Wrap(err, problem.Internal, "trigger.deliveries", "delivery %s is damaged", r.Key)
			}
			if d.Redeliverable {
				withBody++
				d.Redeliverable = withBody <= keptBodies && now.Sub(d.Received) <= bodyAge
			}
			if !d.concerns(application) {
				continue
			}
			if found = append(found, d); len(found) == limit {
				return found, nil
			}
		}
		if len(list) < page {
			return found, nil
		}
	}
}

func (d Delivery) concerns(application string) bool {
	return application == "" || d.Application == application ||
		slices.ContainsFunc(d.Outcomes, func(o Outcome) bool { return o.Application == application })
}
