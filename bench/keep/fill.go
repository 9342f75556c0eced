package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/stage"
	"showrunner/store"
	"showrunner/store/record"
)

// sample is an execution as it is kept.
type sample struct {
	head   execution.Head
	plan   []byte
	stages []execution.StageRow
	events []record.Event
}

// commitOf is the commit that the nth execution was started by.
func commitOf(n int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(n)))
	return hex.EncodeToString(sum[:20])
}

func definition() pipeline.Pipeline {
	return pipeline.Pipeline{Name: "release", Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{
		{Name: "source", Kind: "act"}, {Name: "build", Kind: "act", Needs: []string{"source"}}, {Name: "deploy", Kind: "act", Needs: []string{"build"}}}}
}

// template carries one execution out.
func template(ctx context.Context, st store.Store) (*sample, error) {
	run, stop := context.WithCancel(ctx)
	defer stop()
	done := func(context.Context, *stage.Input) (stage.Result, error) {
		return stage.Result{Outcome: stage.Done, Outputs: map[string]any{"commit": commitOf(0), "branch": "main", "url": "https://git.example.com/team/storefront.git"}}, nil
	}
	e, err := execution.New(execution.Config{Store: st, Resolver: executiontest.Plain{},
		Kinds: []stage.Kind{executiontest.Kind{KindName: "act", List: []stage.Task{{Name: "do", Run: done, Resume: done}}}}})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Run(run) }()
	<-e.Ready()
	x, _, err := e.Start(ctx, execution.StartRequest{Application: "app0", Pipeline: "release", Definition: definition(), By: "webhook github",
		Trigger: map[string]any{"kind": "push", "branch": "main", "commit": commitOf(0), "message": "Mend the checkout of empty carts", "repository": "team/storefront"}})
	if err != nil {
		return nil, err
	}
	for range e.Follow(ctx, 0, record.Filter{Types: []string{"execution.succeeded"}}) {
		break
	}
	stop()
	if err := <-ended; err != nil {
		return nil, err
	}
	snap, err := st.Load(ctx, x.ID)
	if err != nil {
		return nil, err
	}
	events, err := st.ReadEvents(ctx, 0, record.Filter{Execution: x.ID}, 1000)
	if err != nil {
		return nil, err
	}
	t := &sample{head: snap.Head, stages: snap.Stages, events: events.Events}
	t.plan, err = st.Plan(ctx, snap.Head.Plan)
	return t, err
}

// fill commits the sample n times under new names.
func fill(ctx context.Context, st store.Store, t *sample, n int) error {
	s, err := st.Join(ctx, time.Now)
	if err != nil {
		return err
	}
	defer func() { _ = s.Leave(ctx) }() // the store is closed next
	const batch = 512
	for done := 0; done < n; {
		changes := make([]*execution.Change, 0, batch)
		for range min(batch, n-done) {
			changes = append(changes, t.again(done))
			done++
		}
		if err := s.Commit(ctx, changes); err != nil {
			return err
		}
		for _, c := range changes {
			if c.Err != nil {
				return c.Err
			}
		}
		if done%102_400 == 0 {
			fmt.Printf("  %d\n", done)
		}
	}
	return nil
}

// again is the nth copy.
func (t *sample) again(n int) *execution.Change {
	h := t.head
	h.ID = fmt.Sprintf("kept%014d", n)
	h.Application = "app" + strconv.Itoa(n%50)
	if n%20 == 0 {
		h.Status = execution.Terminal
	}
	h.Created = t.head.Created.Add(time.Duration(n) * time.Millisecond)
	started, ended := h.Created.Add(time.Millisecond), h.Created.Add(40*time.Millisecond)
	h.Started, h.Ended = &started, &ended
	h.Request.Trigger = map[string]any{"kind": "push", "branch": "main", "commit": commitOf(n), "message": "Mend the checkout of empty carts", "repository": "team/storefront"}
	h.Request.TriggerID, h.Request.EventID = h.Application+"/release/push", commitOf(n)
	c := &execution.Change{ID: h.ID, Epoch: 1, Create: &execution.Creation{Head: h, PlanData: t.plan}, Stages: t.stages}
	c.Events = make([]record.Event, len(t.events))
	for i, e := range t.events {
		e.Position, e.Execution, e.Application, e.Time = 0, h.ID, h.Application, h.Created
		c.Events[i] = e
	}
	return c
}

// digest reads everything back, and says it in a few letters.
func digest(ctx context.Context, st store.Store) (string, error) {
	sum := sha256.New()
	executions, events := 0, 0
	for after := ""; ; {
		heads, next, err := st.List(ctx, execution.Query{After: after, Limit: 500})
		if err != nil {
			return "", err
		}
		for _, h := range heads {
			executions++
			fmt.Fprintln(sum, h.Seq, h.ID, h.Number, h.Status, h.Created.UnixMilli(), h.Request.Trigger["commit"])
		}
		if len(heads) > 0 { // one of each page in full
			if err := digestOne(ctx, st, heads[0].ID, sum); err != nil {
				return "", err
			}
		}
		if after = next; after == "" {
			break
		}
	}
	for from := int64(0); ; {
		s, err := st.ReadEvents(ctx, from, record.Filter{}, 5000)
		if err != nil {
			return "", err
		}
		for _, e := range s.Events {
			events++
			fmt.Fprintln(sum, e.Position, e.Type, e.Execution, e.Stage, string(e.Data))
		}
		if s.Next <= from {
			break
		}
		from = s.Next
	}
	if executions == 0 || events == 0 {
		return "", errors.New("nothing is there")
	}
	return fmt.Sprintf("%d executions, %d events, %x", executions, events, sum.Sum(nil)[:6]), nil
}

func digestOne(ctx context.Context, st store.Store, id string, sum hash.Hash) error {
	snap, err := st.Load(ctx, id)
	for _, r := range snap.Stages {
		fmt.Fprintln(sum, r.Index, string(r.Data))
	}
	return err
}
