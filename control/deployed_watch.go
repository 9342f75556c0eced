package control

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// deployedReader follows the event log, and keeps what stages put into traffic.
// Any number of control planes may do so: what is kept is the same.
type deployedReader struct {
	mu       sync.Mutex
	begun    bool
	position int64 // everything up to it has been taken in
	saved    int64 // the position that is kept
	version  int64 // of the record that keeps it
}

const (
	positionRecords = "positions"
	deployedReading = "deployed"
	// savePositionEvery is after how many events the position is kept although
	// none of them was about a deployment.
	savePositionEvery = 10_000
	// seeded bounds how many executions are looked at where nothing is kept yet.
	seeded = 2000
)

var deployedEvents = record.Filter{Types: []string{"stage.succeeded", "stage.failed"}}

type deployedPosition struct {
	Position int64 `json:"position"`
}

// WatchDeployed keeps what stages put into traffic, until ctx ends.
func (s *Service) WatchDeployed(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.readDeployed(ctx)
		if err == nil {
			s.deployedReader.mu.Lock()
			from := s.deployedReader.position
			s.deployedReader.mu.Unlock()
			for range s.Engine.Follow(ctx, from, deployedEvents) {
				if err = s.readDeployed(ctx); err != nil {
					break
				}
			}
		}
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("what was deployed could not be read from the event log", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(recheck):
			}
		}
	}
}

// readDeployed takes in everything up to the present end of the event log.
func (s *Service) readDeployed(ctx context.Context) error {
	r := &s.deployedReader
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		if err := s.beginReading(ctx, r); err != nil {
			return err
		}
		r.begun = true
	}
	for {
		slice, err := s.Engine.Events(ctx, r.position, deployedEvents, 1000)
		if err != nil {
			return err
		}
		found := false
		for _, e := range slice.Events {
			if !bytes.Contains(e.Data, []byte(`"kind":"deploy`)) && !bytes.Contains(e.Data, []byte(`"kind":"rollback"`)) {
				continue
			}
			found = true
			if err := s.takeIn(ctx, e); err != nil {
				return err
			}
		}
		end := slice.Next <= r.position
		r.position = max(r.position, slice.Next)
		if found || r.position-r.saved >= savePositionEvery {
			if err := s.savePosition(ctx, r); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
	}
}

// takeIn keeps what one stage put into traffic when it ended. An attempt that has
// been restarted since has nothing to tell any more; Restart reads before it acts.
func (s *Service) takeIn(ctx context.Context, e record.Event) error {
	var data struct{ Attempt int }
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return problem.Wrap(err, problem.Internal, "deployed", "event %d is damaged", e.Position)
	}
	x, err := s.Engine.Get(ctx, e.Execution)
	if problem.CodeOf(err) == problem.NotFound {
		return nil // retention has removed it
	}
	if err != nil {
		return err
	}
	st, ok := x.Stage(e.Stage)
	if !ok || st.Attempt != data.Attempt {
		return nil
	}
	for _, d := range deployedBy(x, st, e.Position) {
		if err := s.putDeployed(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// beginReading finds where the reading stopped. Where nothing is kept yet, the
// newest executions tell what was deployed.
func (s *Service) beginReading(ctx context.Context, r *deployedReader) error {
	rec, err := s.Records.GetRecord(ctx, positionRecords, deployedReading)
	if err == nil {
		var at deployedPosition
		if err := json.Unmarshal(rec.Data, &at); err != nil {
			return problem.Wrap(err, problem.Internal, "deployed", "the position of the reading is damaged")
		}
		r.position, r.saved, r.version = at.Position, at.Position, rec.Version
		return nil
	}
	if problem.CodeOf(err) != problem.NotFound {
		return err
	}
	end, err := s.Engine.End(ctx)
	if err != nil {
		return err
	}
	if err := s.seedDeployed(ctx); err != nil {
		return err
	}
	r.position, r.saved, r.version = end, -1, 0
	return s.savePosition(ctx, r)
}

func (s *Service) seedDeployed(ctx context.Context) error {
	after := ""
	for n := 0; n < seeded; {
		page, err := s.Engine.List(ctx, execution.Query{After: after, Limit: 200})
		if err != nil {
			return err
		}
		for _, head := range page.Executions {
			e, err := s.Engine.Get(ctx, head.ID)
			if problem.CodeOf(err) == problem.NotFound {
				continue
			}
			if err != nil {
				return err
			}
			for _, st := range e.Stages {
				for _, d := range deployedBy(e, st, 0) {
					if err := s.putDeployed(ctx, d); err != nil {
						return err
					}
				}
			}
		}
		if n += len(page.Executions); page.Next == "" {
			return nil
		}
		after = page.Next
	}
	return nil
}

// savePosition keeps how far the reading is; another control plane that is further
// counts.
func (s *Service) savePosition(ctx context.Context, r *deployedReader) error {
	for {
		data, err := json.Marshal(deployedPosition{r.position})
		if err != nil {
			return problem.Wrap(err, problem.Internal, "deployed", "encoding the position")
		}
		rec, err := s.Records.PutRecord(ctx, record.Record{Collection: positionRecords, Key: deployedReading, Version: r.version, Data: data})
		if err == nil {
			r.version, r.saved = rec.Version, r.position
			return nil
		}
		if problem.CodeOf(err) != problem.Conflict {
			return err
		}
		if rec, err = s.Records.GetRecord(ctx, positionRecords, deployedReading); err != nil {
			return err
		}
		var theirs deployedPosition
		if err := json.Unmarshal(rec.Data, &theirs); err != nil {
			return problem.Wrap(err, problem.Internal, "deployed", "the position of the reading is damaged")
		}
		r.version = rec.Version
		if theirs.Position >= r.position {
			r.saved = r.position
			return nil
		}
	}
}
