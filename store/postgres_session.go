package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/problem"
)

const (
	// replicaLock is the first key of every replica's advisory lock.
	replicaLock = 0x5368
	// watchEvery is how often peers are looked at, and so how soon a killed one is noticed.
	watchEvery = 100 * time.Millisecond
	// sessionGrace is how long the dedicated connection may be unreachable before the
	// session counts as lost and running work is handed over.
	sessionGrace = time.Second
	channel      = "showrunner"
)

// pgSession is a replica: a row, an advisory lock on a connection of its own
// that the server gives up when the process dies, and a lease for when the
// process hangs.
type pgSession struct {
	store   *Postgres
	owner   string
	lock    int32
	conn    *pgx.Conn
	notices chan execution.Notice
	stop    context.CancelFunc
	loops   sync.WaitGroup

	// Of the committer alone.
	batch   int64
	inDoubt bool // whether the last batch was committed is not known

	mu     sync.Mutex
	closed bool
	peers  map[string]bool // whether its lock has been seen held since this connection was made
	dead   map[string]bool
	logEnd int64 // position of the last event, to be announced to peers
	wake   chan struct{}
}

// Join implements execution.Store. The lock is taken before the row is visible,
// so that a living replica is never seen without its lock.
func (p *Postgres) Join(ctx context.Context, _ func() time.Time) (execution.Session, error) {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	s := &pgSession{store: p, owner: "r" + strconv.FormatUint(binary.BigEndian.Uint64(b[:8]), 36), lock: int32(binary.BigEndian.Uint32(b[8:]) >> 1),
		notices: make(chan execution.Notice, 4096), peers: map[string]bool{}, dead: map[string]bool{}, wake: make(chan struct{}, 1)}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	last := p.last
	p.last = s.owner
	p.mu.Unlock()
	_, err := p.pool.Exec(ctx, `INSERT INTO replica VALUES ($1, $2, now() + $3, 0)`, s.owner, s.lock, p.options.Lease)
	if err == nil && last != "" {
		_, err = p.pool.Exec(ctx, `DELETE FROM replica WHERE id = $1`, last)
	}
	if err == nil {
		_, err = s.findDead(ctx, true)
	}
	if err != nil {
		_ = s.conn.Close(ctx)
		return nil, pgError(err, "store.join")
	}
	loops, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.loops.Go(func() { s.listen(loops) })
	s.loops.Go(func() { s.watch(loops) })
	s.loops.Go(func() { s.announceLoop(loops) })
	return s, nil
}

// connect makes the dedicated connection with its lock.
func (s *pgSession) connect(ctx context.Context) error {
	const op = "store.join"
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.store.direct.Copy())
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "the database")
	}
	if err := notPooled(ctx, conn, op); err != nil {
		_ = conn.Close(ctx)
		return pgError(err, op)
	}
	var locked bool
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, $2)`, int32(replicaLock), s.lock).Scan(&locked)
	if err == nil && locked {
		_, err = conn.Exec(ctx, `LISTEN `+channel)
	}
	if err != nil || !locked {
		_ = conn.Close(ctx)
		return problem.Wrap(err, problem.Unavailable, op, "the replica's lock could not be taken")
	}
	s.conn = conn
	return nil
}

// Owner implements execution.Session.
func (s *pgSession) Owner() string { return s.owner }

// Notices implements execution.Session.
func (s *pgSession) Notices() <-chan execution.Notice { return s.notices }

// markLost ends the session. The channel of notices is closed, which tells its reader.
func (s *pgSession) markLost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.notices)
		s.stop()
	}
}

func (s *pgSession) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *pgSession) tell(n execution.Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	select {
	case s.notices <- n:
	default: // the engine is far behind; its sweep makes up for it
	}
}

// listen receives notifications, and makes the dedicated connection again when it breaks.
func (s *pgSession) listen(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := s.conn.WaitForNotification(ctx)
		if err != nil {
			if ctx.Err() == nil && !s.reconnect(ctx) {
				s.markLost()
			}
			continue
		}
		var e envelope
		if json.Unmarshal([]byte(n.Payload), &e) != nil || e.To != "" && e.To != s.owner || e.From == s.owner {
			continue
		}
		s.tell(e.Notice)
	}
	_ = s.conn.Close(context.WithoutCancel(ctx)) // gives up the lock
}

// reconnect makes the dedicated connection again; false when that took too long,
// or when another replica has taken the work over meanwhile.
func (s *pgSession) reconnect(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, sessionGrace)
	defer cancel()
	_ = s.conn.Close(ctx) // it is broken
	for ctx.Err() == nil {
		if err := s.connect(ctx); err == nil {
			var mine bool
			if err := s.conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM replica WHERE id = $1)`, s.owner).Scan(&mine); err == nil {
				s.mu.Lock()
				s.peers = map[string]bool{} // what was seen before says nothing now
				s.mu.Unlock()
				return mine
			}
		}
		t := time.NewTimer(50 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	return false
}

// watch renews the lease and looks after the peers.
func (s *pgSession) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	renewed := time.Now()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if time.Since(renewed) > s.store.options.Lease/3 {
			asked := time.Now()
			mine, err := s.renew(ctx)
			if err == nil && mine {
				renewed = asked
			}
			// Others may reach the database where we do not: once our lease is over by
			// our own clock, what we do may be theirs to do.
			if err == nil && !mine || err != nil && time.Since(renewed) > s.store.options.Lease {
				s.markLost()
				return
			}
		}
		gone, err := s.checkPeers(ctx)
		if err != nil {
			continue // the database is unreachable; so it is for the peers
		}
		s.mu.Lock()
		found := gone || len(s.dead) > 0
		s.mu.Unlock()
		if found {
			s.tell(execution.Notice{Kind: execution.NoticeAdopt})
		}
	}
}

// watchTimeout is how long the database may take to answer a replica that watches.
const watchTimeout = time.Second

// renew renews the lease; false: it is not ours any more.
func (s *pgSession) renew(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	tag, err := s.store.pool.Exec(ctx, `UPDATE replica SET expires = now() + $2 WHERE id = $1`, s.owner, s.store.options.Lease)
	return err == nil && tag.RowsAffected() > 0, err
}

func (s *pgSession) checkPeers(ctx context.Context) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	return s.findDead(ctx, false)
}

// Peers implements Store: how many other replicas hold their lock or lease.
func (p *Postgres) Peers(ctx context.Context) (int, error) {
	p.mu.Lock()
	own := p.last
	p.mu.Unlock()
	var n int
	err := p.pool.QueryRow(ctx, `SELECT count(*) FROM replica r WHERE r.id <> $1 AND r.expires > now() AND `+lockHeld, own, uint32(replicaLock)).Scan(&n)
	return n, pgError(err, "store.peers")
}

// Lives implements Store: it holds its lock, and its lease is not over.
func (p *Postgres) Lives(ctx context.Context, owner string) (lives bool, err error) {
	err = p.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM replica r WHERE r.id = $1 AND r.expires > now() AND `+lockHeld+`)`, owner, uint32(replicaLock)).Scan(&lives)
	return lives, pgError(err, "store.lives")
}

// lockHeld tells whether the replica r holds its lock; $2 is replicaLock.
const lockHeld = `EXISTS (SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted
		AND l.classid = $2 AND l.objid::bigint = r.lock AND l.objsubid = 2
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))`

// findDead finds the peers that are dead: their lock is free although it was seen
// held before, or their lease has run out. With atOnce every free lock counts, as
// at a start, when no lock has been seen yet. Gone says that a peer that lived
// is not there any more: another replica was the first to find it dead, or it left.
func (s *pgSession) findDead(ctx context.Context, atOnce bool) (gone bool, err error) {
	rows, err := s.store.pool.Query(ctx, `SELECT r.id, r.expires < now(), `+lockHeld+`
		FROM replica r WHERE r.id <> $1`, s.owner, uint32(replicaLock))
	if err != nil {
		return false, err
	}
	defer rows.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	there := map[string]bool{}
	for rows.Next() {
		var id string
		var expired, held bool
		if err := rows.Scan(&id, &expired, &held); err != nil {
			return false, err
		}
		there[id] = true
		if held {
			s.peers[id] = true
		}
		if expired || !held && (atOnce || s.peers[id]) {
			s.dead[id] = true
		}
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	for id := range s.dead {
		if !there[id] {
			delete(s.dead, id) // somebody has taken care of it
		}
	}
	for id := range s.peers {
		if !there[id] {
			delete(s.peers, id)
			gone = true
		}
	}
	return gone, nil
}

// Leave implements execution.Session.
func (s *pgSession) Leave(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, s.store.pool, func(tx pgx.Tx) error {
		for _, text := range []string{
			`DELETE FROM replica WHERE id = $1`,
			`UPDATE pipeline SET owner = '' WHERE owner = $1`,
			`UPDATE execution SET owner = '' WHERE owner = $1 AND live = 1`,
		} {
			if _, err := tx.Exec(ctx, text, s.owner); err != nil {
				return err
			}
		}
		return s.notify(ctx, tx, envelope{From: s.owner, Notice: execution.Notice{Kind: execution.NoticeAdopt}})
	})
	s.markLost()
	s.loops.Wait()
	return pgError(err, "store.leave")
}
