package store

import (
	"context"
	"time"

	"showrunner/execution"
)

// sqliteSession is the one session of this process.
type sqliteSession struct {
	store   *SQLite
	owner   string
	notices chan execution.Notice
	ended   bool // the store is locked
}

// end closes the session; the store is locked.
func (n *sqliteSession) end() {
	if !n.ended {
		n.ended = true
		close(n.notices)
	}
}

// Owner implements execution.Session.
func (n *sqliteSession) Owner() string { return n.owner }

// Notices implements execution.Session.
func (n *sqliteSession) Notices() <-chan execution.Notice { return n.notices }

// tell gives this session a notice; the store is locked. A full channel drops
// it, which the engine's sweep makes up for.
func (n *sqliteSession) tell(x execution.Notice) {
	if n == nil || n.ended {
		return
	}
	select {
	case n.notices <- x:
	default:
	}
}

// Announce implements execution.Session.
func (n *sqliteSession) Announce(_ context.Context, x execution.Notice) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.store.session.tell(x)
	return nil
}

// Leave implements execution.Session.
func (n *sqliteSession) Leave(context.Context) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.end()
	if n.store.session == n {
		n.store.session = nil
	}
	return nil
}

// Adopt implements execution.Session.
func (n *sqliteSession) Adopt(ctx context.Context, own bool) ([]execution.Claim, bool, error) {
	s := n.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != n || n.ended {
		return nil, false, execution.ErrLost
	}
	var claims []execution.Claim
	err := s.transaction(ctx, "store.adopt", func(ctx context.Context) error {
		claims = nil
		rows, err := s.conn.QueryContext(ctx, `SELECT id, epoch + (owner <> ?), lane FROM execution WHERE live = 1 AND (owner <> ? OR ?) ORDER BY seq`, n.owner, n.owner, own)
		if err != nil {
			return sqliteError(err, "store.adopt")
		}
		defer rows.Close()
		for rows.Next() {
			var c execution.Claim
			if err := rows.Scan(&c.ID, &c.Epoch, &c.Ordered); err != nil {
				return sqliteError(err, "store.adopt")
			}
			claims = append(claims, c)
		}
		if err := rows.Err(); err != nil {
			return sqliteError(err, "store.adopt")
		}
		_, err = s.conn.ExecContext(ctx, `UPDATE execution SET owner = ?, epoch = epoch + 1 WHERE live = 1 AND owner <> ?`, n.owner, n.owner)
		return sqliteError(err, "store.adopt")
	})
	return claims, false, err
}

// Due implements execution.Session.
func (n *sqliteSession) Due(ctx context.Context, before time.Time) ([]execution.Due, error) {
	rows, err := n.store.reads.QueryContext(ctx, `SELECT execution, min(wake) FROM stage INDEXED BY stage_wake
		WHERE wake IS NOT NULL AND wake < ? GROUP BY execution`, before.UnixMilli())
	if err != nil {
		return nil, sqliteError(err, "store.due")
	}
	defer rows.Close()
	var out []execution.Due
	for rows.Next() {
		var d execution.Due
		var at int64
		if err := rows.Scan(&d.ID, &at); err != nil {
			return nil, sqliteError(err, "store.due")
		}
		d.At = fromMillis(at)
		out = append(out, d)
	}
	return out, sqliteError(rows.Err(), "store.due")
}

// Mail implements execution.Session.
func (n *sqliteSession) Mail(ctx context.Context, id string, after int64) ([]execution.Mail, error) {
	return n.store.mail(ctx, n.store.reads, id, after)
}
