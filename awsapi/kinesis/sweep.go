package kinesis

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"showrunner/problem"
)

// Run removes what is older than the streams' retention, and what is left of
// deleted streams, every so often until ctx ends; then subscriptions end too. It is
// called once.
func (s *Streams) Run(ctx context.Context, every time.Duration, log *slog.Logger) {
	defer close(s.ended)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				log.Warn("removing old records of streams", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Sweep removes them once. The last chunk of a shard stays, so that numbers go on
// from it; its records are told to nobody when they are too old.
func (s *Streams) Sweep(ctx context.Context) error {
	graves, err := s.graves.List(ctx, "")
	if err != nil {
		return err
	}
	for _, g := range graves {
		if err := s.bury(ctx, g.Doc); err != nil {
			return err
		}
	}
	streams, err := s.docs.List(ctx, "")
	if err != nil {
		return err
	}
	for _, e := range streams {
		region, _, _ := strings.Cut(e.Key, "/")
		oldest := s.now().Add(-time.Duration(e.Doc.RetentionHours) * time.Hour)
		for _, sh := range e.Doc.Shards {
			if err := s.expire(ctx, chunkPrefix(region, e.Doc, sh.Index), oldest); err != nil {
				return err
			}
		}
	}
	return nil
}

// expire removes a shard's chunks whose records are all too old.
func (s *Streams) expire(ctx context.Context, prefix string, oldest time.Time) error {
	last, _, err := lastChunk(ctx, s.chunks, prefix)
	if err != nil {
		return err
	}
	return s.trim(ctx, prefix, func(n int64, c chunk) bool {
		return n < last && len(c.Records) > 0 && c.Records[len(c.Records)-1].Arrived.Before(oldest)
	})
}

// grave is a stream that is being deleted.
type grave struct {
	Region string `json:"region"`
	Stream stream `json:"stream"`
}

func (g grave) key() string {
	return g.Region + "/" + g.Stream.Name + "/" + g.Stream.Created.UTC().Format(time.RFC3339Nano)
}

// errAnother is that the stream of a name is another one than the deleted.
var errAnother = errors.New("another stream has the name")

// bury deletes a stream with its chunks; to be called again after a crash.
func (s *Streams) bury(ctx context.Context, g grave) error {
	err := s.docs.Delete(ctx, g.Region+"/"+g.Stream.Name, func(d stream) error {
		if !d.Created.Equal(g.Stream.Created) {
			return errAnother
		}
		return nil
	})
	if err != nil && !errors.Is(err, errAnother) && problem.CodeOf(err) != problem.NotFound {
		return err
	}
	for _, sh := range g.Stream.Shards {
		if err := s.trim(ctx, chunkPrefix(g.Region, g.Stream, sh.Index), func(int64, chunk) bool { return true }); err != nil {
			return err
		}
	}
	if err := s.graves.Delete(ctx, g.key(), nil); err != nil && problem.CodeOf(err) != problem.NotFound {
		return err
	}
	return nil
}
