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
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"showrunner/problem"
)

// Labels name a series. The label MetricName holds the metric's name.
type Labels map[string]string

// MetricName is the label of a metric's name.
const MetricName = "__name__"

// Sample is a value of a series at a time, to the millisecond. NaN and ±Inf are refused,
// apart from Stale.
type Sample struct {
	Labels Labels
	Time   time.Time
	Value  float64
}

// Stale is the value that ends a series, as in Prometheus: queries of a later time do not
// find its last value any more. Select leaves it out.
var Stale = math.Float64frombits(value.StaleNaN)

// IsStale says whether a value is Stale; another NaN is not.
func IsStale(v float64) bool { return value.IsStaleNaN(v) }

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
	_, err := s.append(ctx, samples, s.maxSeries, false)
	return err
}

// foreignShare is the part of the greatest number of series that AppendSome leaves to
// Append.
const foreignShare = 0.25

// AppendSome adds the samples of series that are there, and new series as long as there
// are few enough: a quarter of all series is kept free for Append. So a service with too
// many series never stops what is measured of the others. It says how many samples were
// left out. Errors: as Append, apart from precondition.
func (s *Store) AppendSome(ctx context.Context, samples []Sample) (left int, err error) {
	return s.append(ctx, samples, s.maxSeries-uint64(foreignShare*float64(s.maxSeries)), true)
}

// append adds samples. A new series beyond the limit is refused, with everything, or is
// left out where some may be.
func (s *Store) append(ctx context.Context, samples []Sample, limit uint64, some bool) (left int, err error) {
	const op = "telemetry.append"
	a := s.db.Appender(ctx)
	for _, x := range samples {
		if (math.IsNaN(x.Value) || math.IsInf(x.Value, 0)) && !IsStale(x.Value) {
			return 0, errors.Join(problem.New(problem.Invalid, op, "%v is no value of a metric", x.Value), a.Rollback())
		}
		names := labels.FromMap(x.Labels)
		if s.db.Head().NumSeries() >= limit && !known(a, names) {
			if some {
				left++
				continue
			}
			return 0, errors.Join(problem.New(problem.Precondition, op, "there are %d series, and no more are kept", limit), a.Rollback())
		}
		if _, err := a.Append(0, names, timestamp.FromTime(x.Time), x.Value); err != nil {
			code := problem.Unavailable
			if errors.Is(err, storage.ErrTooOldSample) || errors.Is(err, storage.ErrOutOfBounds) || errors.Is(err, storage.ErrDuplicateSampleForTimestamp) {
				code = problem.Invalid
			}
			return 0, errors.Join(problem.Wrap(err, code, op, "the sample of %s", x.Time.UTC().Format(time.RFC3339)), a.Rollback())
		}
	}
	if err := a.Commit(); err != nil {
		return 0, problem.Wrap(err, problem.Unavailable, op, "writing %d samples", len(samples))
	}
	return left, nil
}

// Series is how many series were written to lately.
func (s *Store) Series() uint64 { return s.db.Head().NumSeries() }

// known says whether a series was written to lately.
func known(a storage.Appender, names labels.Labels) bool {
	refs, ok := a.(storage.GetRef)
	if !ok {
		return false
	}
	ref, _ := refs.GetRef(names, names.Hash())
	return ref != 0
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
			if IsStale(v) {
				continue
			}
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
