package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// claims is the collection of who changes a cluster in a region.
const claims = "rollout"

// Records is what claims are kept in.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
}

// Claims see to it that one rollout at a time changes a cluster in a region,
// whatever pipeline, application or control plane it is of. A claim is never
// given back: it counts as long as the attempt that has it is under way, so that
// nothing that dies can keep it.
type Claims struct {
	Records Records
	// UnderWay says whether an attempt at a stage has begun and not ended. An error
	// means that nobody can say, and then the claim counts.
	UnderWay func(ctx context.Context, k stage.Key) (bool, error)
}

// claim is who changes a cluster in a region.
type claim struct {
	Key stage.Key `json:"key"`
	// Yields says that nothing is done now, and whoever comes may take it: the old
	// version is only kept for a while before it is cleaned up.
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

// Yield lets others have what the attempt has, until it keeps it.
func (c *Claims) Yield(ctx context.Context, account, cluster string, regions []string, k stage.Key) error {
	_, err := c.turn(ctx, account, cluster, regions, k, true)
	return err
}

// Keep ends the yielding where nobody has come, and returns the regions that are others' by now.
func (c *Claims) Keep(ctx context.Context, account, cluster string, regions []string, k stage.Key) (lost []string, err error) {
	return c.turn(ctx, account, cluster, regions, k, false)
}

func (c *Claims) turn(ctx context.Context, account, cluster string, regions []string, k stage.Key, yields bool) (lost []string, err error) {
	for _, region := range regions {
		have, r, err := c.read(ctx, claimKey(account, cluster, region))
		if err == nil && have.Key == k && have.Yields != yields {
			if err = c.write(ctx, r, claim{Key: k, Yields: yields}); problem.CodeOf(err) == problem.Conflict {
				have.Key, err = stage.Key{}, nil // somebody has just come
			}
		}
		if err != nil {
			return lost, err
		}
		if have.Key != k {
			lost = append(lost, region)
		}
	}
	return lost, nil
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

// How far a stage is with its claim.
const (
	claimHeld    = "held"
	claimYielded = "yielded"
)

// begin takes the claim of a rollout that has not begun. A result that is not nil
// is the stage's answer: it waits for another, or has to write down that it need
// not, after which what it found out before has to be found out anew.
func (c *Claims) begin(ctx context.Context, in *stage.Input, account, cluster string, st *serviceState) (*stage.Result, error) {
	if st.Claim != "" || st.Rollout.Version != 0 { // one that an earlier version of this program began has none
		return nil, nil
	}
	fresh, other, err := c.Take(ctx, account, cluster, waveRegions(st.Waves), in.Key)
	if err != nil {
		return nil, err
	}
	answer := stage.Result{Outcome: stage.Again, After: waitForOthers}
	switch {
	case other != nil:
		text := fmt.Sprintf("waits for execution %s, whose stage %s changes %s", other.Execution, other.Stage, cluster)
		in.Progress("%s", text)
		if st.WaitsFor != text {
			fmt.Fprintln(in.Log, text)
		}
		st.WaitsFor = text
	case !fresh:
		st.Claim, st.WaitsFor = claimHeld, ""
		return nil, nil
	default:
		answer.After = time.Millisecond
	}
	answer.State, err = json.Marshal(st)
	return &answer, err
}
