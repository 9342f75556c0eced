package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"showrunner/problem"
)

// Labels name a series. The label MetricName holds the metric's name.
type Labels map[string]string

// MetricName is the label of a metric's name.
const MetricName = "__name__"

// Sample is a value of a series at a time, to the millisecond. NaN and ±Inf are refused.
type Sample struct {
	Labels Labels
	Time   time.Time
	Value  float64
}

// Series is the samples of one series, oldest first.
type Series struct {
	Labels Labels
	Times  []int64 // milliseconds since 1970
	Values []float64
}

// Match selects series by a label: Value exactly, or any value but none when Value
// is empty and Present is true.
type Match struct {
	Name, Value string
	Present     bool
}

// Options are how a store is kept.
type Options struct {
	// Retention is how long samples are kept; 0 is 15 days.
	Retention time.Duration
	// MaxBytes bounds the blocks on disk; the oldest go first. 0 is 1 GiB.
	MaxBytes int64
	// MaxSeries bounds the series that were written to lately; 0 is 1,000,000.
	MaxSeries uint64
	// Late is how far behind the newest sample one may be; 0 is 15 days.
	Late time.Duration
	Log  *slog.Logger // default: none
}

const day = 24 * time.Hour

// Store is an open database of metrics. What Append has acknowledged is there after
// kill -9 of the process; the operating system writes it to disk, so that a machine
// that loses power may lose the last seconds.
type Store struct {
	db        *tsdb.DB
	maxSeries uint64

	mu        sync.Mutex
	described map[string]Meta
}

// Open opens the database of a folder, which one process has at a time, and makes it
// where there is none. Errors: unavailable.
func Open(dir string, o Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "telemetry.open", "folder %s", dir)
	}
	orDefault := func(v *time.Duration, otherwise time.Duration) {
		if *v == 0 {
			*v = otherwise
		}
	}
	orDefault(&o.Retention, 15*day)
	orDefault(&o.Late, 15*day)
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = 1_000_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	options := tsdb.DefaultOptions()
	options.RetentionDuration = o.Retention.Milliseconds()
	options.MaxBytes = o.MaxBytes
	options.OutOfOrderTimeWindow = o.Late.Milliseconds()
	options.StripeSize = 1 << 8 // the default is for millions of series and costs memory when idle
	db, err := tsdb.Open(dir, o.Log, nil, options, nil)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "telemetry.open", "the metrics in %s", dir).
			WithHelp("when the folder is damaged, move it away: metrics begin anew, and nothing else depends on it")
	}
	return &Store{db: db, maxSeries: o.MaxSeries}, nil
}

// InUse says whether Open failed because another process has the folder.
func InUse(err error) bool { return errors.Is(err, syscall.EAGAIN) }

// Close writes what is in memory, as far as the next start needs it.
func (s *Store) Close() error { return s.db.Close() }

// Append adds samples, all or none. Errors: invalid for a value that is no number or
// a time that is too old, precondition for too many series.
func (s *Store) Append(ctx context.Context, samples []Sample) error {
	const op = "telemetry.append"
	if s.db.Head().NumSeries() >= s.maxSeries {
		return problem.New(problem.Precondition, op, "there are %d series, and no more are kept", s.maxSeries)
	}
	a := s.db.Appender(ctx)
	for _, x := range samples {
		if math.IsNaN(x.Value) || math.IsInf(x.Value, 0) {
			return errors.Join(problem.New(problem.Invalid, op, "%v is no value of a metric", x.Value), a.Rollback())
		}
		if _, err := a.Append(0, labels.FromMap(x.Labels), timestamp.FromTime(x.Time), x.Value); err != nil {
			code := problem.Unavailable
			if errors.Is(err, storage.ErrTooOldSample) || errors.Is(err, storage.ErrOutOfBounds) || errors.Is(err, storage.ErrDuplicateSampleForTimestamp) {
				code = problem.Invalid
			}
			return errors.Join(problem.Wrap(err, code, op, "the sample of %s", x.Time.UTC().Format(time.RFC3339)), a.Rollback())
		}
	}
	if err := a.Commit(); err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "writing %d samples", len(samples))
	}
	return nil
}

// Select returns the samples of the matching series from one time, included, to
// another, excluded; series without any are left out.
func (s *Store) Select(ctx context.Context, from, to time.Time, matches ...Match) ([]Series, error) {
	q, found, err := s.search(ctx, from, to, matches)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	var list []Series
	var it chunkenc.Iterator
	for found.Next() {
		series := found.At()
		one := Series{Labels: series.Labels().Map()}
		it = series.Iterator(it)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if kind != chunkenc.ValFloat {
				continue
			}
			t, v := it.At()
			one.Times, one.Values = append(one.Times, t), append(one.Values, v)
		}
		if err := it.Err(); err != nil {
			return nil, problem.Wrap(err, problem.Unavailable, "telemetry.select", "reading a series")
		}
		if len(one.Times) > 0 {
			list = append(list, one)
		}
	}
	return list, failed(found)
}

// Names returns the labels of the matching series that may have samples between two
// times, in no order.
func (s *Store) Names(ctx context.Context, from, to time.Time, matches ...Match) ([]Labels, error) {
	q, found, err := s.search(ctx, from, to, matches)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	var list []Labels
	for found.Next() {
		list = append(list, found.At().Labels().Map())
	}
	return list, failed(found)
}

func (s *Store) search(ctx context.Context, from, to time.Time, matches []Match) (storage.Querier, storage.SeriesSet, error) {
	const op = "telemetry.select"
	// The database's range includes its end.
	q, err := s.db.Querier(from.UnixMilli(), to.UnixMilli()-1)
	if err != nil {
		return nil, nil, problem.Wrap(err, problem.Unavailable, op, "reading metrics")
	}
	matchers := make([]*labels.Matcher, len(matches))
	for i, m := range matches {
		kind := labels.MatchEqual
		if m.Present {
			kind = labels.MatchNotEqual
		}
		if matchers[i], err = labels.NewMatcher(kind, m.Name, m.Value); err != nil {
			return nil, nil, errors.Join(problem.Wrap(err, problem.Invalid, op, "the label %s", m.Name), q.Close())
		}
	}
	return q, q.Select(ctx, false, nil, matchers...), nil
}

func failed(found storage.SeriesSet) error {
	if err := found.Err(); err != nil {
		return problem.Wrap(err, problem.Unavailable, "telemetry.select", "reading metrics")
	}
	return nil
}

// Queryable is the store for package promapi, which evaluates queries over it.
func (s *Store) Queryable() storage.Queryable { return s.db }

// Meta says what a metric means.
type Meta struct {
	Type string `json:"type"` // counter, gauge, histogram, summary or unknown
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// mostDescribed bounds the metrics whose meaning is kept.
const mostDescribed = 10_000

// Describe keeps what a metric means, for readers. It is not durable: writers say it
// again after a restart.
func (s *Store) Describe(metric string, m Meta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.described == nil {
		s.described = map[string]Meta{}
	}
	if _, known := s.described[metric]; known || len(s.described) < mostDescribed {
		s.described[metric] = m
	}
}

// Described is what is known of metrics.
func (s *Store) Described() map[string]Meta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.described)
}
