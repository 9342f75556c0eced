package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// claims is the collection of who changes a cluster in a region.
const claims = "rollout"

// Records is what claims and clean-ups are kept in.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// Claims see to it that one rollout at a time changes a cluster in a region,
// whatever pipeline, application or control plane it is of. A claim counts as long
// as the attempt that has it is under way, so that nothing that dies can keep it,
// or until the attempt yields it because it has finished.
type Claims struct {
	Records Records
	// UnderWay says whether an attempt at a stage has begun and not ended. An error
	// means that nobody can say, and then the claim counts.
	UnderWay func(ctx context.Context, k stage.Key) (bool, error)
	// Waker has a stage called that waits for a claim which is yielded; nil lets it
	// look again by itself.
	Waker stage.Waker

	mu      sync.Mutex
	waiting map[string]map[stage.Key]bool // by claim
}

// claim is who changes a cluster in a region.
type claim struct {
	Key stage.Key `json:"key"`
	// Yields says that nothing more is changed under this claim: the next may take it.
	Yields bool `json:"yields,omitempty"`
}

func claimKey(account, cluster, region string) string {
	return account + "/" + cluster + "/" + region
}

// read returns the claim and its record, whose Version is 0 when there is none.
func (c *Claims) read(ctx context.Context, key string) (claim, record.Record, error) {
	var have claim
	r, err := c.Records.GetRecord(ctx, claims, key)
	if problem.CodeOf(err) == problem.NotFound {
		return have, record.Record{Collection: claims, Key: key}, nil
	}
	if err == nil {
		err = json.Unmarshal(r.Data, &have)
	}
	return have, r, err
}

func (c *Claims) write(ctx context.Context, r record.Record, to claim) error {
	data, err := json.Marshal(to)
	if err != nil {
		return err
	}
	_, err = c.Records.PutRecord(ctx, record.Record{Collection: claims, Key: r.Key, Version: r.Version, Data: data})
	return err
}

// Take makes a cluster the attempt's in every one of the regions, and says
// whether any was not before. Where another attempt has one, that is returned,
// and regions are left for the next call; they are taken in one order, so that no
// two attempts wait for each other.
func (c *Claims) Take(ctx context.Context, account, cluster string, regions []string, k stage.Key) (fresh bool, other *stage.Key, err error) {
	for _, region := range slices.Sorted(slices.Values(regions)) {
		for {
			have, r, err := c.read(ctx, claimKey(account, cluster, region))
			if err != nil {
				return fresh, nil, err
			}
			if have == (claim{Key: k}) {
				break
			}
			if have.Key != k && !have.Yields && r.Version > 0 {
				live, err := c.UnderWay(ctx, have.Key)
				if err != nil {
					return fresh, nil, err
				}
				if live {
					return fresh, &have.Key, nil
				}
			}
			err = c.write(ctx, r, claim{Key: k})
			if err == nil {
				fresh = true
				break
			}
			if problem.CodeOf(err) != problem.Conflict {
				return fresh, nil, err
			}
		}
	}
	return fresh, nil, nil
}

// Yield ends the attempt's claim. Calls the stages that wait for it.
func (c *Claims) Yield(ctx context.Context, account, cluster string, regions []string, k stage.Key) error {
	for _, region := range regions {
		key := claimKey(account, cluster, region)
		have, r, err := c.read(ctx, key)
		if err == nil && have.Key == k && !have.Yields {
			err = c.write(ctx, r, claim{Key: k, Yields: true})
		}
		if err != nil && problem.CodeOf(err) != problem.Conflict { // somebody else has just taken it
			return err
		}
		c.wakeNext(key)
	}
	return nil
}

// waitFor has a stage woken when one of the claims is yielded by this process.
func (c *Claims) waitFor(account, cluster string, regions []string, k stage.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = map[string]map[stage.Key]bool{}
	}
	for _, region := range regions {
		key := claimKey(account, cluster, region)
		if c.waiting[key] == nil {
			c.waiting[key] = map[stage.Key]bool{}
		}
		c.waiting[key][k] = true
	}
}

func (c *Claims) wakeNext(key string) {
	c.mu.Lock()
	waiting := c.waiting[key]
	delete(c.waiting, key)
	c.mu.Unlock()
	for k := range waiting {
		if c.Waker != nil {
			c.Waker.Wake(k)
		}
	}
}

// Holder is the execution that changes a cluster in one of the regions now, and
// the region; "" when there is none.
func (c *Claims) Holder(ctx context.Context, account, cluster string, regions []string) (execution, region string, err error) {
	for _, region := range regions {
		have, r, err := c.read(ctx, claimKey(account, cluster, region))
		if err != nil || r.Version == 0 || have.Yields {
			if err != nil {
				return "", "", err
			}
			continue
		}
		if live, err := c.UnderWay(ctx, have.Key); err != nil || live {
			return have.Key.Execution, region, err
		}
	}
	return "", "", nil
}

// waitForOthers is how soon a rollout that waits for another looks again.
const waitForOthers = time.Second

// claimHeld says that a stage has its claim. Earlier versions of this program wrote
// "yielded" as well.
const claimHeld = "held"

// begin takes the claim of a rollout that has not begun, and holds what earlier ones
// have left. A result that is not nil is the stage's answer: it waits, or has to
// write down that it need not, after which what it found out before has to be found
// out anew.
func (r *Rollouts) begin(ctx context.Context, in *stage.Input, s subject, st *serviceState) (*stage.Result, error) {
	if st.Claim != "" || st.Rollout.Version != 0 { // one that an earlier version of this program began has none
		return nil, nil
	}
	r.Claims.waitFor(s.account, s.cluster, s.claimed, in.Key) // before it is asked: nothing is missed
	fresh, other, err := r.Claims.Take(ctx, s.account, s.cluster, s.claimed, in.Key)
	if err != nil {
		return nil, err
	}
	answer := stage.Result{Outcome: stage.Again, After: waitForOthers}
	var busy time.Duration
	if other == nil && !fresh {
		fresh, busy, st.Pinned, err = r.CleanUps.hold(ctx, s, in.Key)
		if err != nil {
			return nil, err
		}
	}
	switch {
	case other != nil:
		answer.Waits = fmt.Sprintf("waits for execution %s, whose stage %s changes %s", other.Execution, other.Stage, s.cluster)
		if st.WaitsFor != answer.Waits {
			fmt.Fprintln(in.Log, answer.Waits)
		}
		st.WaitsFor = answer.Waits
	case busy > 0:
		answer.Waits, answer.After = fmt.Sprintf("waits for a change of the clean-up of %s that is just being made", s.cluster), min(busy, waitForOthers)
	case fresh:
		answer.After = atOnce
	default:
		st.Claim, st.WaitsFor = claimHeld, ""
		return nil, nil
	}
	answer.State, err = json.Marshal(st)
	return &answer, err
}
