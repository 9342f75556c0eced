package build

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"showrunner/build"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// Where replicas on several hosts share a database, a record says which host
// has an attempt's build, how many times it was started, and its result. It is
// the fence: a result counts only when the record names the host and the start
// that it is of, and both are compared in the write that keeps the result.

// Collections of the records here.
const (
	claims = "build"      // by attempt: which host has its build
	hosts  = "build-host" // by host: that it lives
)

// maxHosts is how many hosts one attempt's build may be lost with.
const maxHosts = 3

// Records is what claims are kept in.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// claim says which host has the build of an attempt.
type claim struct {
	Key   stage.Key `json:"key"`
	Host  string    `json:"host"`
	Name  string    `json:"name"`  // of the host, for people
	Start int       `json:"start"` // 1, and 1 more with every host it was lost with
	// Cancel asks the host to end the build; see build.ErrStopped and ErrTimedOut.
	Cancel string `json:"cancel,omitempty"`
	// Awaited says that another host waits for the result, so that a build that
	// has not begun is given up by its host.
	Awaited bool `json:"awaited,omitempty"`
	// GivenUp says that this start has not begun and never will.
	GivenUp bool `json:"givenUp,omitempty"`
	// Unbegun is how many of the starts before were given up.
	Unbegun int `json:"unbegun,omitempty"`
	// Result is the build's end, without what no later stage sees.
	Result  *build.Result `json:"result,omitempty"`
	version int64
}

func (c claim) same(o claim) bool { return c.Host == o.Host && c.Start == o.Start }

// closed says that the build was canceled before it began, so that no host may begin it.
func (c claim) closed() bool { return c.GivenUp && c.Cancel != "" }

// claimKey is of the whole key: two attempts must never have one claim. uuid has
// no more than 16 bits of a stage's name.
func claimKey(k stage.Key) string {
	k.Task = "execute"
	return digestUUID(k.String())
}

// claim reads which host has an attempt's build; a zero Start says that none has.
func (f *Fleet) claim(ctx context.Context, k stage.Key) (c claim, err error) {
	r, err := f.Records.GetRecord(ctx, claims, claimKey(k))
	if problem.CodeOf(err) == problem.NotFound {
		return claim{}, nil
	}
	if err == nil {
		err = json.Unmarshal(r.Data, &c)
	}
	c.version = r.Version
	return c, err
}

// put writes a claim over the one that was read. Errors: conflict when another
// was faster, unavailable.
func (f *Fleet) put(ctx context.Context, c claim, events ...record.Event) (claim, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return c, problem.Wrap(err, problem.Internal, "build.claim", "encoding")
	}
	r, err := f.Records.PutRecord(ctx, record.Record{Collection: claims, Key: claimKey(c.Key), Version: c.version, Data: data}, events...)
	c.version = r.Version
	return c, err
}

// next is the claim by which this host takes an attempt's build after another.
func (f *Fleet) next(k stage.Key, before claim) claim {
	c := claim{Key: k, Host: f.ID, Name: f.Name, Start: before.Start + 1, Unbegun: before.Unbegun, version: before.version}
	if c.Key.Task = "execute"; before.GivenUp {
		c.Unbegun++
	}
	return c
}

// take makes an attempt's build this host's, after the claim that was read.
func (f *Fleet) take(ctx context.Context, in *stage.Input, before claim) (claim, error) {
	c := f.next(in.Key, before)
	if before.Start == 0 {
		return f.put(ctx, c)
	}
	note := fmt.Sprintf("%s, which ran this build, has been silent for %s; the build is started anew on %s (start %d of at most %d), and what the other still makes of it is refused",
		before.Name, f.Patience, f.Name, c.Start-c.Unbegun, maxHosts+1)
	if before.GivenUp {
		note = fmt.Sprintf("the control plane of %s was gone before this build had begun there; it is started on %s", before.Name, f.Name)
	}
	data, err := json.Marshal(map[string]any{"attempt": in.Key.Attempt, "from": before.Name, "to": f.Name, "start": c.Start - c.Unbegun, "reason": note})
	if err != nil {
		return c, problem.Wrap(err, problem.Internal, "build.claim", "encoding")
	}
	c, err = f.put(ctx, c, record.Event{Time: f.Now(), Type: EventMoved, Application: in.Application, Pipeline: in.Pipeline,
		Execution: in.Key.Execution, Stage: in.Key.Stage, Data: data})
	if err == nil {
		fmt.Fprintf(in.Log, "\n%s\n", note)
		in.Progress("started anew on %s", f.Name)
		f.Log.Warn("a build is started anew", "build", c.Key.String(), "from", before.Name, "start", c.Start)
	}
	return c, err
}

// EventMoved is the type of the event that a build was started anew elsewhere.
const EventMoved = "stage.moved"

// ask marks the claim that was read, so that its host looks after it.
func (f *Fleet) ask(ctx context.Context, c claim) error {
	if c.Awaited {
		return nil
	}
	c.Awaited = true
	if _, err := f.put(ctx, c); err != nil && problem.CodeOf(err) != problem.Conflict { // then the next look asks
		return err
	}
	return nil
}

// giveUp says that a start of this host has not begun and never will.
func (f *Fleet) giveUp(ctx context.Context, own claim) error {
	for {
		c, err := f.claim(ctx, own.Key)
		if err != nil || !c.same(own) || c.GivenUp {
			return err
		}
		c.GivenUp = true
		if _, err = f.put(ctx, c); problem.CodeOf(err) != problem.Conflict {
			return err
		}
	}
}

// keep writes down the result of a start of a build. Errors: unavailable, also
// when the build is another host's by now, so that a later call finds that one.
func (f *Fleet) keep(ctx context.Context, own claim, r build.Result) error {
	for {
		c, err := f.claim(ctx, own.Key)
		if err != nil {
			return err
		}
		if !c.same(own) {
			return problem.New(problem.Unavailable, "build.claim", "the build is %s's by now; the result from %s is refused", cmp.Or(c.Name, "nobody"), own.Name)
		}
		if c.Result != nil {
			return nil
		}
		kept := slim(r)
		c.Result = &kept
		if _, err = f.put(ctx, c); problem.CodeOf(err) != problem.Conflict {
			return err
		}
	}
}

// claimOrClose reads which host has an attempt's build that is to be canceled. When none
// has it, it is closed, so that no host to which it was offered begins it afterwards.
func (f *Fleet) claimOrClose(ctx context.Context, k stage.Key) (claim, error) {
	for {
		c, err := f.claim(ctx, k)
		if err != nil || c.Start != 0 && !c.GivenUp || c.closed() {
			return c, err
		}
		next := f.next(k, c)
		next.GivenUp, next.Cancel = true, build.ErrStopped.Error()
		if c, err = f.put(ctx, next); problem.CodeOf(err) != problem.Conflict {
			return c, err
		}
	}
}

// slim leaves out of a result what only the build's own folder needs to tell.
func slim(r build.Result) build.Result {
	artifacts := make([]build.Artifact, len(r.Artifacts))
	for i, a := range r.Artifacts {
		a.Paths = nil
		artifacts[i] = a
	}
	reports := make([]build.Report, len(r.Reports))
	for i, rep := range r.Reports {
		failing := rep.Failing()
		rep.Files, rep.Cases = nil, failing[:min(len(failing), maxFailing)]
		reports[i] = rep
	}
	r.Artifacts, r.Reports = artifacts, reports
	return r
}

// askCancel has the host that has a build end it.
func (f *Fleet) askCancel(ctx context.Context, k stage.Key, reason string) (claim, error) {
	for {
		c, err := f.claim(ctx, k)
		if err != nil || c.Start == 0 || c.Result != nil || c.GivenUp || c.Cancel != "" {
			return c, err
		}
		c.Cancel = reason
		if c, err = f.put(ctx, c); problem.CodeOf(err) != problem.Conflict {
			return c, err
		}
	}
}

// Prune forgets claims that have not changed since a time and whose execution
// has ended. It stops at the first that cannot be judged.
func (f *Fleet) Prune(ctx context.Context, before time.Time, ended func(execution string) (bool, error)) error {
	after := ""
	for {
		list, err := f.Records.ListRecords(ctx, claims, "", after, 500)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, r := range list {
			after = r.Key
			var c claim
			if !r.Updated.Before(before) {
				continue
			}
			if err := json.Unmarshal(r.Data, &c); err != nil {
				return problem.Wrap(err, problem.Internal, "build.claim", "the claim %s", r.Key)
			}
			free, err := ended(c.Key.Execution)
			if err == nil && free {
				err = f.Records.DeleteRecord(ctx, claims, r.Key, r.Version)
			}
			if code := problem.CodeOf(err); err != nil && code != problem.NotFound && code != problem.Conflict {
				return err
			}
		}
	}
}
