package deploy

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/cloud"
	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/stage"
	"showrunner/store/record"
)

// Cleaner carries out clean-ups. The actions are decided anew at every look, from
// the present state of the cloud; the record holds only the goal. Every control
// plane has a Cleaner. A lease in the record makes sure that one of them at a
// time makes changes; every change may be repeated.
type Cleaner struct {
	CleanUps *CleanUps
	Accounts Accounts
	Watchers *Watchers
	Waker    stage.Waker
	Now      func() time.Time
	Log      *slog.Logger

	mu     sync.Mutex
	due    map[string]time.Time // by record key: the time of the next look
	busy   map[string]bool
	wakeUp chan struct{}
}

const (
	// actingLease is how long a rollout that begins waits for a cleaner that may
	// have died while it made changes; actTimeout is shorter, so calls to the
	// cloud end before.
	actingLease = 10 * time.Second
	actTimeout  = 8 * time.Second
	// sweepEvery is how often all records are listed, to find those of other
	// control planes.
	sweepEvery = 30 * time.Second
	// holdPollInterval is how soon a held clean-up checks whether the rollout that holds
	// it is still under way.
	holdPollInterval = 5 * time.Second
	// drainPollInterval is how soon draining is checked again when no notice of its end
	// comes.
	drainPollInterval = 30 * time.Second
	// Failed attempts are repeated with pauses that double.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 30 * time.Second
	// failingAfter is the number of failed attempts in a row after which an event
	// reports the failure.
	failingAfter = 5
	// maxConcurrentRegions is how many regions are cleaned up at the same time.
	maxConcurrentRegions = 8
)

// NewCleaner completes a Cleaner; Run then does the work. The Cleaner is notified
// of every record that is written.
func NewCleaner(c *Cleaner) *Cleaner {
	c.due, c.busy, c.wakeUp = map[string]time.Time{}, map[string]bool{}, make(chan struct{}, 1)
	c.CleanUps.Changed = c.scheduleNow
	return c
}

// scheduleNow schedules a look at a record now.
func (c *Cleaner) scheduleNow(key string) { c.at(key, time.Time{}) }

// at schedules a look at a record; an earlier time that is already scheduled
// stays.
func (c *Cleaner) at(key string, t time.Time) {
	c.mu.Lock()
	if have, ok := c.due[key]; !ok || t.Before(have) {
		c.due[key] = t
	}
	c.mu.Unlock()
	select {
	case c.wakeUp <- struct{}{}:
	default:
	}
}

// Run cleans up until ctx ends.
func (c *Cleaner) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	slots := make(chan struct{}, maxConcurrentRegions)
	clock := time.NewTimer(0)
	defer clock.Stop()
	sweep := time.Time{}
	for {
		if now := c.Now(); !now.Before(sweep) {
			if err := c.sweep(ctx); err != nil && ctx.Err() == nil {
				c.Log.Warn("the list of clean-ups cannot be read; it is tried again", "error", err)
			}
			sweep = now.Add(sweepEvery)
		}
		ready, next := c.ready(sweep)
		for _, key := range ready {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			work.Go(func() {
				defer func() { <-slots }()
				c.look(ctx, key)
			})
		}
		clock.Reset(max(next.Sub(c.Now()), time.Millisecond))
		select {
		case <-clock.C:
		case <-c.wakeUp:
		case <-ctx.Done():
			return
		}
	}
}

// sweep schedules every record that is not scheduled yet.
func (c *Cleaner) sweep(ctx context.Context) error {
	list, err := c.CleanUps.List(ctx, "", "")
	for _, u := range list {
		key := claimKey(u.Account, u.Cluster, u.Region)
		c.mu.Lock()
		_, known := c.due[key]
		known = known || c.busy[key]
		c.mu.Unlock()
		if !known {
			c.at(key, u.Leftovers.Due)
		}
	}
	return err
}

// ready returns the records that are due now, and the time of the next one, at
// most last.
func (c *Cleaner) ready(last time.Time) (keys []string, next time.Time) {
	now := c.Now()
	next = last
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, at := range c.due {
		switch {
		case c.busy[key]: // scheduled again after the look
		case !at.After(now):
			delete(c.due, key)
			c.busy[key] = true
			keys = append(keys, key)
		case at.Before(next):
			next = at
		}
	}
	slices.Sort(keys)
	return keys, next
}

// look handles one record, and schedules another look when more has to be done.
func (c *Cleaner) look(ctx context.Context, key string) {
	again, err := c.step(ctx, key)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		c.Log.Warn("a clean-up failed; it is tried again", "cluster", key, "error", err)
		again = c.Now().Add(holdPollInterval)
	}
	c.mu.Lock()
	delete(c.busy, key)
	c.mu.Unlock()
	if !again.IsZero() {
		c.at(key, again)
	}
	select {
	case c.wakeUp <- struct{}{}: // the record may have been scheduled meanwhile
	default:
	}
}

// step looks at one region once and makes the changes that are due now. It
// returns when to look again; zero when nothing is left to do.
func (c *Cleaner) step(ctx context.Context, key string) (again time.Time, err error) {
	u, r, err := c.CleanUps.read(ctx, key)
	if err != nil || u == nil {
		return again, err
	}
	now := c.Now()
	if u.Held != nil {
		live, err := c.CleanUps.Claims.UnderWay(ctx, *u.Held)
		if err != nil || live {
			return now.Add(holdPollInterval), err
		}
		u.Held = nil // the rollout ended without lasting changes
	}
	if due := later(u.Leftovers.Due, u.Acting); now.Before(due) {
		return due, nil
	}
	account, err := c.Accounts.Account(u.Account)
	if err != nil {
		return c.failed(ctx, r, u, err)
	}
	told := c.Watchers.Watch(account, []string{u.Region}, u.Cluster, "clean-up/"+key, func() { c.scheduleNow(key) })
	changes, underWay, err := c.plan(ctx, account, u)
	switch {
	case err != nil:
		return c.failed(ctx, r, u, err)
	case len(changes) > 0:
		return c.act(ctx, account, r, u)
	case underWay && told:
		return now.Add(drainPollInterval), nil
	case underWay:
		return now.Add(pollInterval), nil
	}
	c.Watchers.Forget(account, []string{u.Region}, u.Cluster, "clean-up/"+key)
	done := u.event(now, EventCleanUpDone, map[string]any{"done": u.Done})
	err = c.CleanUps.Records.DeleteRecord(ctx, cleanUps, key, r.Version, done)
	if code := problem.CodeOf(err); code == problem.Conflict || code == problem.NotFound {
		return now, nil // another writer changed the record meanwhile: it is read again
	}
	return again, err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// plan decides the changes from the present state of the cloud.
func (c *Cleaner) plan(ctx context.Context, account *cloud.Account, u *CleanUp) ([]rollout.Change, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout/2)
	defer cancel()
	groups, err := account.ServerGroups(ctx, u.Region, u.Cluster)
	if err != nil {
		return nil, false, err
	}
	changes, underWay := u.Leftovers.CleanUp(u.Region, groups, c.Now())
	return changes, underWay, nil
}

// act makes changes. It takes the lease and then plans once more: from then on a
// rollout that begins waits until the lease is released.
func (c *Cleaner) act(ctx context.Context, account *cloud.Account, r record.Record, u *CleanUp) (again time.Time, err error) {
	now := c.Now()
	u.Acting = now.Add(actingLease)
	if r, err = c.CleanUps.put(ctx, r, u); err != nil {
		return ignoreConflict(now, err)
	}
	bounded, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	changes, _, failure := c.plan(bounded, account, u)
	for _, change := range changes {
		if err := makeChange(bounded, account, u.Cluster, change, u.Key.String()+"/"); err != nil {
			failure = fmt.Errorf("%s: %w", change, err)
			break
		}
		u.Done = append(u.Done, change.String())
	}
	if failure != nil && ctx.Err() != nil {
		return again, failure // the lease expires
	}
	if code := problem.CodeOf(failure); code == problem.Precondition || code == problem.NotFound || code == problem.Conflict {
		failure = nil // the group serves again, is gone, or was changed: the changes are planned anew
		again = now.Add(firstRetry)
	}
	if failure != nil {
		u.Acting = time.Time{}
		return c.failed(ctx, r, u, failure)
	}
	u.Acting, u.Tries, u.Problem = time.Time{}, 0, ""
	if again.IsZero() {
		again = now
	}
	return again, c.finish(ctx, r, u)
}

// ignoreConflict ignores a conflict: another writer has changed the record, so the
// record is looked at again.
func ignoreConflict(now time.Time, err error) (time.Time, error) {
	if problem.CodeOf(err) == problem.Conflict {
		return now, nil
	}
	return now, err
}

// finish records the changes and releases the lease. A rollout that came meanwhile
// keeps its hold, and is woken.
func (c *Cleaner) finish(ctx context.Context, r record.Record, u *CleanUp, events ...record.Event) error {
	_, err := c.CleanUps.put(ctx, r, u, events...)
	if problem.CodeOf(err) != problem.Conflict {
		return err
	}
	return c.CleanUps.update(ctx, r.Key, func(now *CleanUp) bool {
		if now.Key != u.Key {
			return false
		}
		now.Acting, now.Done, now.Tries, now.Problem = time.Time{}, u.Done, u.Tries, u.Problem
		if now.Held != nil {
			c.Waker.Wake(*now.Held)
		}
		return true
	})
}

// failed records a failed attempt, and writes an event when several have failed.
func (c *Cleaner) failed(ctx context.Context, r record.Record, u *CleanUp, failure error) (time.Time, error) {
	now := c.Now()
	u.Tries++
	u.Problem = failure.Error()
	var events []record.Event
	if u.Tries == failingAfter {
		events = append(events, u.event(now, EventCleanUpFailing, map[string]any{"problem": u.Problem, "tries": u.Tries}))
	}
	return now.Add(min(firstRetry<<min(u.Tries-1, 10), lastRetry)), c.finish(ctx, r, u, events...)
}

// makeChange makes one change of a clean-up.
func makeChange(ctx context.Context, account *cloud.Account, cluster string, c rollout.Change, prefix string) error {
	switch c.Kind {
	case rollout.Destroy:
		return account.Destroy(ctx, c.Region, c.ServerGroup, c.Guard, prefix+c.Key)
	case rollout.Shift:
		return account.SetWeights(ctx, c.Region, cluster, c.Weights, c.Guard, prefix+c.Key)
	}
	return account.Resize(ctx, c.Region, c.ServerGroup, c.Capacity, c.Guard, prefix+c.Key)
}

// Text describes the state of a clean-up for people.
func (u CleanUp) Text(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "clean-up of %s in %s", u.Cluster, u.Region)
	switch {
	case u.Held != nil:
		fmt.Fprintf(&b, " waits for execution %s, which changes the cluster", u.Held.Execution)
	case u.Problem != "":
		fmt.Fprintf(&b, " has failed %d times and is tried again: %s", u.Tries, u.Problem)
	case now.Before(u.Leftovers.Due):
		fmt.Fprintf(&b, ": the replaced groups are kept for rollback until %s", u.Leftovers.Due.UTC().Format("15:04:05 UTC"))
	default:
		b.WriteString(": the replaced groups are being removed")
	}
	return b.String()
}
