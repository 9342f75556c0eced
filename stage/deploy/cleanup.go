package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/stage"
	"showrunner/store/record"
)

// cleanUps is the collection of clean-ups that rollouts have left, by account,
// cluster and region.
const cleanUps = "cleanup"

// Events of clean-ups. They name the execution whose rollout left the clean-up.
const (
	EventCleanUpPlanned  = "cleanup.planned"
	EventCleanUpDone     = "cleanup.done"
	EventCleanUpFailing  = "cleanup.failing"  // several attempts in a row have failed; it is tried again
	EventCleanUpReplaced = "cleanup.replaced" // a later rollout of the cluster decides what is kept
)

// cleanUpVersion is the persisted form's version.
const cleanUpVersion = 1

// CleanUp is the clean-up that one rollout has left in one region. The stage of
// the rollout does not wait for it. A region of a cluster has at most one.
type CleanUp struct {
	V           int               `json:"v"`
	Account     string            `json:"account"`
	Cluster     string            `json:"cluster"`
	Region      string            `json:"region"`
	Application string            `json:"application"`
	Pipeline    string            `json:"pipeline,omitempty"`
	Key         stage.Key         `json:"key"` // of the rollout
	Leftovers   rollout.Leftovers `json:"leftovers"`
	// Held is a later rollout of the cluster. While that rollout is under way
	// nothing is cleaned up, since it may return to a group that would be
	// removed.
	Held *stage.Key `json:"held,omitempty"`
	// Acting is the end of the lease of a cleaner that may be making changes. A
	// rollout that begins waits for it; the lease is released as soon as the
	// changes are made.
	Acting time.Time `json:"acting,omitzero"`
	// Tries counts the failed attempts in a row; Problem is the last error.
	Tries   int    `json:"tries,omitempty"`
	Problem string `json:"problem,omitempty"`
	// Done lists the changes made so far.
	Done []string `json:"done,omitempty"`
}

// CleanUps keeps clean-ups.
type CleanUps struct {
	Records Records
	Claims  *Claims
	Now     func() time.Time
	// Changed is called with the key of every record that is written; may be nil.
	Changed func(key string)
}

// subject is the object of a rollout.
type subject struct {
	account, cluster string
	regions          []string
	// away are regions that a rollback should change and cannot reach. Their
	// groups are kept, since they may be returned to later.
	unreachable []string
	// claimed are the regions whose claims the rollback has; it includes all of
	// regions. It is fixed at the first call: two rollouts that both extended
	// their claims while they wait could wait for each other.
	claimed []string
}

func (s subject) key(region string) string { return claimKey(s.account, s.cluster, region) }

// untouched are the claimed regions in which there is nothing to change.
func (s subject) untouched() []string {
	return slices.DeleteFunc(slices.Clone(s.claimed), func(r string) bool { return slices.Contains(s.regions, r) || slices.Contains(s.unreachable, r) })
}

// read returns a clean-up and its record; nil when there is none.
func (c *CleanUps) read(ctx context.Context, key string) (*CleanUp, record.Record, error) {
	r, err := c.Records.GetRecord(ctx, cleanUps, key)
	if problem.CodeOf(err) == problem.NotFound {
		return nil, record.Record{Collection: cleanUps, Key: key}, nil
	}
	if err != nil {
		return nil, r, err
	}
	u, err := decodeCleanUp(r)
	return u, r, err
}

func decodeCleanUp(r record.Record) (*CleanUp, error) {
	var u CleanUp
	if err := json.Unmarshal(r.Data, &u); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "deploy.clean-up", "the record of %s is damaged", r.Key)
	}
	if u.V > cleanUpVersion {
		return nil, problem.New(problem.Precondition, "deploy.clean-up", "the record of %s was written by a newer version of showrunner", r.Key)
	}
	return &u, nil
}

// put replaces the record. Errors: conflict when another writer changed it
// meanwhile.
func (c *CleanUps) put(ctx context.Context, r record.Record, u *CleanUp, events ...record.Event) (record.Record, error) {
	data, err := json.Marshal(u)
	if err != nil {
		return r, err
	}
	return c.Records.PutRecord(ctx, record.Record{Collection: cleanUps, Key: r.Key, Version: r.Version, Data: data}, events...)
}

// write is put for callers other than the cleaner; it notifies the cleaner.
func (c *CleanUps) write(ctx context.Context, r record.Record, u *CleanUp, events ...record.Event) error {
	_, err := c.put(ctx, r, u, events...)
	if err == nil && c.Changed != nil {
		c.Changed(r.Key)
	}
	return err
}

// update changes the clean-up of a region, and retries when another writer did so
// at the same time. change says whether there is anything to write.
func (c *CleanUps) update(ctx context.Context, key string, change func(u *CleanUp) bool) error {
	for {
		u, r, err := c.read(ctx, key)
		if err != nil || u == nil || !change(u) {
			return err
		}
		if err := c.write(ctx, r, u); problem.CodeOf(err) != problem.Conflict {
			return err
		}
	}
}

// hold suspends the clean-ups of earlier rollouts while a rollout is under way.
// fresh says that a clean-up was not held before, so the caller's observations of
// the cluster are out of date. busy is how long changes may still be under way.
// pinned are the groups whose minimum has yet to be restored, by region.
func (c *CleanUps) hold(ctx context.Context, s subject, k stage.Key) (fresh bool, busy time.Duration, pinned map[string]map[string]int, err error) {
	pinned = map[string]map[string]int{}
	for _, region := range s.claimed {
		err := c.update(ctx, s.key(region), func(u *CleanUp) bool {
			if len(u.Leftovers.Unpin) > 0 {
				pinned[region] = u.Leftovers.Unpin
			}
			busy = max(busy, u.Acting.Sub(c.Now()))
			if u.Held != nil && *u.Held == k {
				return false
			}
			u.Held, fresh = &k, true
			return true
		})
		if err != nil {
			return fresh, busy, nil, err
		}
	}
	return fresh, max(busy, 0), pinned, nil
}

// release ends the hold of a rollout that has made no lasting change.
func (c *CleanUps) release(ctx context.Context, s subject, k stage.Key) error {
	for _, region := range s.claimed {
		err := c.update(ctx, s.key(region), func(u *CleanUp) bool {
			if u.Held == nil || *u.Held != k {
				return false
			}
			u.Held = nil
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// take records the clean-ups that a rollout has left, in place of those of
// earlier rollouts, and yields the cluster to the next rollout. It may be
// repeated. It leaves alone a region that another rollout has taken meanwhile.
func (c *CleanUps) take(ctx context.Context, s subject, in *stage.Input, left map[string]rollout.Leftovers) error {
	var lost []string
	for _, region := range s.regions {
		have, r, err := c.Claims.read(ctx, s.key(region))
		if err != nil {
			return err
		}
		l, any := left[region]
		switch {
		case r.Version > 0 && have.Key != in.Key:
			lost = append(lost, region)
		case !any: // both versions stay in traffic: the earlier clean-up is still due
			err = c.release(ctx, subject{account: s.account, cluster: s.cluster, claimed: []string{region}}, in.Key)
		default:
			err = c.replace(ctx, s.key(region), &CleanUp{V: cleanUpVersion, Account: s.account, Cluster: s.cluster, Region: region,
				Application: in.Application, Pipeline: in.Pipeline, Key: in.Key, Leftovers: l})
		}
		if err != nil {
			return err
		}
	}
	for _, region := range s.unreachable {
		if err := c.keepAll(ctx, s.key(region), in.Key); err != nil {
			return err
		}
	}
	if len(lost) > 0 {
		fmt.Fprintf(in.Log, "another execution has begun to change %s in %s: nothing is cleaned up there\n", s.cluster, strings.Join(lost, ", "))
	}
	if err := c.release(ctx, subject{account: s.account, cluster: s.cluster, claimed: s.untouched()}, in.Key); err != nil {
		return err
	}
	return c.Claims.Yield(ctx, s.account, s.cluster, s.claimed, in.Key)
}

// replace writes a clean-up in place of the earlier one, and takes over the
// minimums that have yet to be restored.
func (c *CleanUps) replace(ctx context.Context, key string, u *CleanUp) error {
	for {
		earlier, r, err := c.read(ctx, key)
		if err != nil || earlier != nil && earlier.Key == u.Key {
			return err
		}
		now := *u
		events := []record.Event{now.event(c.Now(), EventCleanUpPlanned, map[string]any{"due": now.Leftovers.Due})}
		if earlier != nil {
			now.Leftovers = now.Leftovers.After(earlier.Leftovers)
			events = append(events, earlier.event(c.Now(), EventCleanUpReplaced, map[string]any{"by": u.Key.Execution}))
		}
		if err := c.write(ctx, r, &now, events...); problem.CodeOf(err) != problem.Conflict {
			return err
		}
	}
}

// removeBaselines records that the baseline of a rollout that ended badly may be left in
// regions that it could not reach. Every clean-up of a cluster removes baselines, so one
// that is recorded already is enough. It may be repeated.
func (c *CleanUps) removeBaselines(ctx context.Context, s subject, in *stage.Input, regions []string) error {
	for _, region := range regions {
		u, r, err := c.read(ctx, s.key(region))
		if err != nil {
			return err
		}
		if u != nil {
			continue
		}
		u = &CleanUp{V: cleanUpVersion, Account: s.account, Cluster: s.cluster, Region: region, Application: in.Application, Pipeline: in.Pipeline, Key: in.Key,
			Leftovers: rollout.Leftovers{Keep: -1, Due: c.Now()}}
		if err := c.write(ctx, r, u, u.event(c.Now(), EventCleanUpPlanned, map[string]any{"due": u.Leftovers.Due})); err != nil && problem.CodeOf(err) != problem.Conflict {
			return err
		}
	}
	return nil
}

// keepAll changes a clean-up that a rollback holds so that it removes and shrinks
// nothing: the region may be returned to its groups. Raised minimums are still
// restored.
func (c *CleanUps) keepAll(ctx context.Context, key string, k stage.Key) error {
	return c.update(ctx, key, func(u *CleanUp) bool {
		if u.Held == nil || *u.Held != k {
			return false
		}
		u.Leftovers.Keep, u.Leftovers.Shrink, u.Held = -1, false, nil
		return true
	})
}

// event makes the log event of a clean-up.
func (u *CleanUp) event(now time.Time, typ string, more map[string]any) record.Event {
	data := map[string]any{"account": u.Account, "cluster": u.Cluster, "region": u.Region, "serverGroup": u.Leftovers.Current}
	for k, v := range more {
		data[k] = v
	}
	raw, _ := json.Marshal(data) // strings, numbers and times can always be encoded
	return record.Event{Time: now.UTC(), Type: typ, Application: u.Application, Pipeline: u.Pipeline, Execution: u.Key.Execution, Stage: u.Key.Stage, Data: raw}
}

// listPage is how many records are read at once.
const listPage = 500

// List returns the clean-ups, only those of account and cluster where these are
// given.
func (c *CleanUps) List(ctx context.Context, account, cluster string) ([]CleanUp, error) {
	prefix := ""
	if account != "" {
		if prefix = account + "/"; cluster != "" {
			prefix += cluster + "/"
		}
	}
	var list []CleanUp
	for after := ""; ; {
		page, err := c.Records.ListRecords(ctx, cleanUps, prefix, after, listPage)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			u, err := decodeCleanUp(r)
			if err != nil {
				return nil, err
			}
			list = append(list, *u)
		}
		if len(page) < listPage {
			return list, nil
		}
		after = page[len(page)-1].Key
	}
}
