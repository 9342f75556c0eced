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

// claims is the collection of records that say which attempt may change a cluster
// in a region.
const claims = "rollout"

// Records keeps claims and clean-ups.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// Claims make sure that one rollout at a time changes a cluster in a region,
// whatever pipeline, application or control plane it belongs to. A claim counts
// as long as its attempt is under way, so a process that dies cannot keep it. An
// attempt that has finished yields its claim earlier.
type Claims struct {
	Records Records
	// UnderWay says whether an attempt of a stage has begun and not ended. After
	// an error this is unknown, and the claim counts.
	UnderWay func(ctx context.Context, k stage.Key) (bool, error)
	// Waker wakes a stage that waits for a claim once the claim is yielded; nil
	// makes the stage poll.
	Waker stage.Waker

	mu      sync.Mutex
	waiting map[string]map[stage.Key]bool // by claim
}

// claim says which attempt may change a cluster in a region.
type claim struct {
	Key stage.Key `json:"key"`
	// Yields says that the attempt changes nothing more: the next attempt may
	// take the claim.
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

// Take claims a cluster for the attempt in every one of the regions, and says
// whether any claim is new. When another attempt has a region, Take returns that
// attempt; the remaining regions are claimed by a later call. Regions are claimed
// in a fixed order, so that no two attempts wait for each other.
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

// Yield ends the attempt's claim, and wakes the stages that wait for it.
func (c *Claims) Yield(ctx context.Context, account, cluster string, regions []string, k stage.Key) error {
	for _, region := range regions {
		key := claimKey(account, cluster, region)
		have, r, err := c.read(ctx, key)
		if err == nil && have.Key == k && !have.Yields {
			err = c.write(ctx, r, claim{Key: k, Yields: true})
		}
		if err != nil && problem.CodeOf(err) != problem.Conflict { // another attempt has just taken it
			return err
		}
		c.wakeNext(key)
	}
	return nil
}

// waitFor has a stage woken when this process yields one of the claims.
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

// Holder is the execution that may change a cluster in one of the regions now,
// and the region; "" when there is none.
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

// waitForOthers is how soon a rollout that waits for another checks again.
const waitForOthers = time.Second

// claimHeld is the state of a stage that has its claim. Earlier versions of this
// program also wrote "yielded".
const claimHeld = "held"

// begin takes the claim of a rollout that has not begun, and puts the clean-ups
// of earlier rollouts on hold. A result that is not nil is the stage's answer:
// either the stage has to wait, or it has to save that the claim is taken and
// then read the state of the cluster again, since its earlier observations are
// out of date.
func (r *Rollouts) begin(ctx context.Context, in *stage.Input, s subject, st *serviceState) (*stage.Result, error) {
	if st.Claim != "" || st.Rollout.Version != 0 { // a rollout that an earlier version of this program began has no claim
		return nil, nil
	}
	r.Claims.waitFor(s.account, s.cluster, s.claimed, in.Key) // registered before the claim is checked, so that no wake-up is missed
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
		answer.Waits, answer.After = fmt.Sprintf("waits for the clean-up of %s to finish the change it is making", s.cluster), min(busy, waitForOthers)
	case fresh:
		answer.After = immediately
	default:
		st.Claim, st.WaitsFor = claimHeld, ""
		return nil, nil
	}
	answer.State, err = json.Marshal(st)
	return &answer, err
}
