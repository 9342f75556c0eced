package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

// Records keeps the tickets that have been used, for every control plane of the
// database and beyond a restart.
type Records interface {
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

const ticketCollection = "ticket"

type usedTicket struct {
	Expires time.Time `json:"expires"`
}

// use says whether the ticket is used for the first time anywhere: of two uses at
// once, one is. Errors: unavailable.
func (a *Auth) use(ctx context.Context, ticket string, expires time.Time) (bool, error) {
	a.forgetTickets(ctx)
	sum := sha256.Sum256([]byte(ticket)) // the record is no ticket
	data, err := json.Marshal(usedTicket{expires.UTC()})
	if err != nil {
		return false, problem.Wrap(err, problem.Internal, "auth", "encoding")
	}
	_, err = a.records.PutRecord(ctx, record.Record{Collection: ticketCollection, Key: hex.EncodeToString(sum[:]), Data: data})
	if problem.CodeOf(err) == problem.Conflict {
		return false, nil
	}
	return err == nil, err
}

// forgetTickets removes those that have expired, a few at a time; what it cannot
// remove it leaves to the next sign-in.
func (a *Auth) forgetTickets(ctx context.Context) {
	used, err := a.records.ListRecords(ctx, ticketCollection, "", "", 100)
	if err != nil {
		return
	}
	for _, r := range used {
		var t usedTicket
		if json.Unmarshal(r.Data, &t) == nil && a.now().After(t.Expires) {
			_ = a.records.DeleteRecord(ctx, ticketCollection, r.Key, r.Version)
		}
	}
}
