package store

import (
	"context"
	"encoding/json"
	"time"

	"showrunner/execution"
	"showrunner/problem"
)

// envelope is a notice on its way through the database.
type envelope struct {
	To     string           `json:"to,omitempty"` // owner; empty: everybody
	From   string           `json:"from,omitempty"`
	Notice execution.Notice `json:"n"`
}

// Announce implements execution.Session.
func (s *pgSession) Announce(ctx context.Context, n execution.Notice) error {
	return s.notify(ctx, s.store.pool, envelope{Notice: n})
}

func (s *pgSession) notify(ctx context.Context, q pgExecutor, e envelope) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "store.announce", "a notice")
	}
	_, err = q.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, string(payload))
	return pgError(err, "store.announce")
}

// notifyAsync is notify for notices that may be lost when the server ends. It does
// not wait for the disk, and does not delay other notifications.
func (s *pgSession) notifyAsync(ctx context.Context, e envelope) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "store.announce", "a notice")
	}
	_, err = s.store.pool.Exec(ctx, `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`, channel, string(payload))
	return pgError(err, "store.announce")
}

// announceGrowth has announceLoop tell the peers that the event log has grown.
func (s *pgSession) announceGrowth(position int64) {
	s.mu.Lock()
	alone := len(s.peers) == 0
	s.logEnd = max(s.logEnd, position)
	s.mu.Unlock()
	if alone {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// announceEvery is how often a replica is told that the log has grown, by all of its
// peers together.
const announceEvery = 10 * time.Millisecond

// announceLoop tells the peers about the log, once for many commits.
func (s *pgSession) announceLoop(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		n, peers := s.logEnd, len(s.peers)
		s.mu.Unlock()
		// Readers look by themselves too, when this does not arrive.
		_ = s.notifyAsync(ctx, envelope{From: s.owner, Notice: execution.Notice{Kind: execution.NoticeEvents, Position: n}})
		t.Reset(announceEvery * time.Duration(max(peers, 1)))
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}
