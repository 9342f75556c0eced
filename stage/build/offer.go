package build

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

// A process whose builds wait for a place offers them to the other hosts, in a record
// of its own. An offer is a hint: it may be of a moment ago. Which host begins a
// build is decided by the claim alone.

// offered is the collection of the records, by process.
const offered = "build-offer"

const (
	// offerEach and offerAll bound how many builds a process offers: of each
	// application, and in all.
	offerEach = 256
	offerAll  = 512
	// offerAnew is how often an offer that has not changed is made again.
	offerAnew = 10 * time.Second
	// forgetOffer is when an offer that was not made again is no longer looked at,
	// and removed.
	forgetOffer = time.Minute
)

// offer is what a process offers.
type offer struct {
	Host  string   `json:"host"` // its Fleet.ID
	First []ticket `json:"first"`
}

// offers is what this process offers at present.
type offers struct {
	key     string
	version int64 // of the record; 0: there is none
	said    []byte
	at      time.Time
}

// offer tells the other hosts which builds of this process go on waiting, when there
// is another host and something new to tell. What fails is tried again with the next
// look.
func (b *Builder) offer(ctx context.Context, o *offers) {
	var first []ticket
	if b.Fleet.others() {
		first = b.Places.firstWaiting(offerEach)
		slices.SortFunc(first, byArrival)
		first = first[:min(len(first), offerAll)]
	}
	if len(first) == 0 {
		if o.version > 0 {
			err := b.Fleet.Records.DeleteRecord(ctx, offered, o.key, o.version)
			if code := problem.CodeOf(err); err == nil || code == problem.NotFound || code == problem.Conflict {
				*o = offers{}
			}
		}
		return
	}
	data, err := json.Marshal(offer{Host: b.Fleet.ID, First: first})
	now := b.Fleet.Now()
	if err != nil || bytes.Equal(data, o.said) && now.Sub(o.at) < offerAnew {
		return
	}
	if o.version == 0 {
		o.key = b.Fleet.ID + "." + rand.Text()
	}
	r, err := b.Fleet.Records.PutRecord(ctx, record.Record{Collection: offered, Key: o.key, Version: o.version, Data: data})
	switch problem.CodeOf(err) {
	case "":
		o.version, o.said, o.at = r.Version, data, now
	case problem.Conflict: // it was put and not answered, or taken for that of a process that is gone
		*o = offers{}
	}
}

// offersOfOthers reads what the other hosts offer, and removes what processes that are
// gone have offered.
func (b *Builder) offersOfOthers(ctx context.Context) (list []ticket, err error) {
	now := b.Fleet.Now()
	for after := ""; ; {
		records, err := b.Fleet.Records.ListRecords(ctx, offered, "", after, 500)
		if err != nil || len(records) == 0 {
			return list, err
		}
		for _, r := range records {
			after = r.Key
			var o offer
			switch {
			case now.Sub(r.Updated) > forgetOffer:
				_ = b.Fleet.Records.DeleteRecord(ctx, offered, r.Key, r.Version) // the next look tries again
			case json.Unmarshal(r.Data, &o) == nil && o.Host != b.Fleet.ID:
				list = append(list, o.First...)
			}
		}
	}
}

// others tells whether another host lives.
func (f *Fleet) others() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, h := range f.heard {
		if id != f.ID && h.version > 0 && h.quiet < f.Patience {
			return true
		}
	}
	return false
}
