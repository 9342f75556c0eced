package lambda

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

const (
	// pollEvery is how often a shard is read when nothing tells of new records.
	pollEvery = time.Second
	// mappedEvery is how often mappings and shards are looked at.
	mappedEvery = 5 * time.Second
	// readFor is how long a process keeps the right to read a mapping.
	readFor = 30 * time.Second
	// mostBatch bounds the records of a batch, in bytes of the request.
	mostBatch = mostPayload - 64<<10
)

// Run carries out what is queued and reads what functions are fed with, until ctx ends.
func (s *Service) Run(ctx context.Context, every time.Duration) {
	var work sync.WaitGroup
	work.Go(func() { s.runQueue(ctx, every) })
	work.Go(func() { s.runMappings(ctx) })
	work.Wait()
}

// runMappings keeps one reader for each shard of each mapping that is enabled.
func (s *Service) runMappings(ctx context.Context) {
	tick := time.NewTicker(mappedEvery)
	defer tick.Stop()
	readers := map[string]*reader{} // by mapping and shard
	var work sync.WaitGroup
	defer work.Wait()
	for {
		wanted, err := s.wantedReaders(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("looking for event source mappings", "error", err)
		}
		if err == nil {
			for key, r := range readers {
				if _, still := wanted[key]; !still {
					r.cancel()
					delete(readers, key)
				}
			}
			for key, r := range wanted {
				if old := readers[key]; old != nil {
					select {
					case <-old.ended: // it is begun anew
					default:
						continue
					}
				}
				own, cancel := context.WithCancel(ctx)
				r.cancel = cancel
				readers[key] = r
				work.Go(func() { defer cancel(); defer close(r.ended); r.run(own) })
			}
		}
		select {
		case <-s.mapped:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// wantedReaders are those that this process has to have.
func (s *Service) wantedReaders(ctx context.Context) (map[string]*reader, error) {
	out := map[string]*reader{}
	for _, region := range s.Regions {
		list, err := s.mappings.List(ctx, region+"/")
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			m := e.Doc
			if !m.Enabled {
				continue
			}
			if m, err = s.claim(ctx, m); err != nil {
				continue // another process reads it, or it is gone
			}
			shards, err := s.shards(ctx, m)
			if err != nil {
				s.noteResult(ctx, m, "PROBLEM: "+wire.CodeOf(err))
				continue
			}
			for _, sh := range shards {
				if !m.Positions[sh.id].Done && ready(sh, shards, m.Positions) {
					out[m.key()+"/"+sh.id] = &reader{s: s, mapping: m.key(), shard: sh, ended: make(chan struct{})}
				}
			}
		}
	}
	return out, nil
}

// claim makes this process the reader of a mapping. Errors: precondition while another one is.
func (s *Service) claim(ctx context.Context, m mapping) (mapping, error) {
	now := s.Now()
	if m.By == s.process && m.Until.Sub(now) > readFor/2 || s.Alone {
		return m, nil
	}
	return s.mappings.Update(ctx, m.key(), func(m *mapping) error {
		if m.By != s.process && now.Before(m.Until) {
			return problem.New(problem.Precondition, "lambda.mapping", "another control plane reads it")
		}
		m.By, m.Until = s.process, now.Add(readFor)
		return nil
	})
}

// shard is a shard of a stream, and those that it took over from.
type shard struct {
	id      string
	parents []string
}

// ready says whether everything in the shards before one has been carried out.
func ready(sh shard, all []shard, p positions) bool {
	for _, parent := range sh.parents {
		there := slices.ContainsFunc(all, func(o shard) bool { return o.id == parent })
		if there && !p[parent].Done {
			return false
		}
	}
	return true
}

// call asks Kinesis.
func (s *Service) call(ctx context.Context, m mapping, operation string, in map[string]any) (object, error) {
	return s.Services.Call(ctx, wire.Call{Account: s.Account, Region: m.Region, Caller: "arn:aws:iam::" + s.Account + ":root"}, "kinesis", operation, in)
}

// shards are those of a mapping's stream.
func (s *Service) shards(ctx context.Context, m mapping) (list []shard, err error) {
	in := map[string]any{"StreamARN": m.Stream}
	for {
		out, err := s.call(ctx, m, "ListShards", in)
		if err != nil {
			return nil, err
		}
		for _, o := range out.Objects("Shards") {
			sh := shard{id: o.Text("ShardId")}
			for _, member := range []string{"ParentShardId", "AdjacentParentShardId"} {
				if p := o.Text(member); p != "" {
					sh.parents = append(sh.parents, p)
				}
			}
			list = append(list, sh)
		}
		next := out.Text("NextToken")
		if next == "" {
			return list, nil
		}
		in = map[string]any{"NextToken": next}
	}
}

// noteResult keeps what happened last.
func (s *Service) noteResult(ctx context.Context, m mapping, result string) {
	if m.Result == result {
		return
	}
	if _, err := s.mappings.Update(ctx, m.key(), func(m *mapping) error { m.Result = result; return nil }); err != nil && ctx.Err() == nil && problem.CodeOf(err) != problem.NotFound {
		s.Log.Warn("the result of an event source mapping was not kept", "mapping", m.UUID, "error", err)
	}
}

// reader reads one shard for one mapping.
type reader struct {
	s       *Service
	mapping string
	shard   shard
	cancel  context.CancelFunc
	ended   chan struct{}

	iterator string
	buffer   []object // read and not yet carried out
	last     bool     // the shard has no more than what is in the buffer
}

// run reads and carries out until ctx ends, the shard does, or something fails that the
// next reader may be luckier with.
func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		m, err := r.s.mappings.Get(ctx, r.mapping)
		if err == nil {
			err = r.step(ctx, m)
		}
		if err == nil {
			continue
		}
		if ctx.Err() == nil && err != errNothing && problem.CodeOf(err) != problem.NotFound {
			r.s.Log.Warn("reading a stream for a function", "mapping", r.mapping, "shard", r.shard.id, "error", err)
			r.s.noteResult(ctx, m, "PROBLEM: "+wire.CodeOf(err))
		}
		return
	}
}

// errNothing ends a reader that has nothing more to do.
var errNothing = problem.New(problem.Precondition, "lambda.reader", "there is nothing more to read")

// step carries out one batch, once there is one.
func (r *reader) step(ctx context.Context, m mapping) error {
	if err := r.fill(ctx, m); err != nil {
		return err
	}
	if len(r.buffer) == 0 {
		if !r.last {
			return nil
		}
		_, err := r.s.mappings.Update(ctx, r.mapping, func(m *mapping) error { m.set(r.shard.id, position{m.Positions[r.shard.id].After, true}); return nil })
		if err == nil {
			r.s.remap() // for the shards that took over
			err = errNothing
		}
		return err
	}
	batch := r.cut(m)
	if err := r.carry(ctx, batch); err != nil {
		return err
	}
	r.buffer = r.buffer[len(batch):]
	return nil
}

func (m *mapping) set(shard string, p position) {
	if m.Positions == nil {
		m.Positions = positions{}
	}
	m.Positions[shard] = p
}

// fill reads until there is a batch: as many records as it may have, or what came within
// the mapping's window.
func (r *reader) fill(ctx context.Context, m mapping) error {
	size := m.Settings.Number("BatchSize", 100)
	window := time.Duration(m.Settings.Number("MaximumBatchingWindowInSeconds", 0)) * time.Second
	var until time.Time
	told, stop := r.s.watch(m.Region, m.streamName())
	defer stop()
	for len(r.buffer) < size && !r.last {
		if len(r.buffer) > 0 {
			if until.IsZero() {
				until = r.s.Now().Add(window)
			}
			if !r.s.Now().Before(until) {
				return nil
			}
		}
		n := len(r.buffer)
		if err := r.read(ctx, m); err != nil {
			return err
		}
		if len(r.buffer) > n || r.last {
			continue
		}
		pause := pollEvery
		if !until.IsZero() {
			pause = min(pause, max(until.Sub(r.s.Now()), time.Millisecond))
		}
		timer := time.NewTimer(pause)
		select {
		case <-told:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n == 0 { // the mapping may have changed meanwhile
			return nil
		}
	}
	return nil
}

// read asks for the next records of the shard.
func (r *reader) read(ctx context.Context, m mapping) error {
	if r.iterator == "" {
		in := map[string]any{"StreamARN": m.Stream, "ShardId": r.shard.id, "ShardIteratorType": "TRIM_HORIZON"}
		switch p := m.Positions[r.shard.id]; {
		case p.After != "":
			in["ShardIteratorType"], in["StartingSequenceNumber"] = "AFTER_SEQUENCE_NUMBER", p.After
		case !m.Start.IsZero():
			in["ShardIteratorType"], in["Timestamp"] = "AT_TIMESTAMP", m.Start
		}
		out, err := r.s.call(ctx, m, "GetShardIterator", in)
		if err != nil {
			return err
		}
		r.iterator = out.Text("ShardIterator")
	}
	out, err := r.s.call(ctx, m, "GetRecords", map[string]any{"ShardIterator": r.iterator})
	switch wire.CodeOf(err) {
	case "ProvisionedThroughputExceededException": // others read it too
		return nil
	case "ExpiredIteratorException":
		r.iterator, r.buffer = "", nil
		return nil
	}
	if err != nil {
		return err
	}
	r.buffer = append(r.buffer, out.Objects("Records")...)
	r.iterator = out.Text("NextShardIterator")
	r.last = r.iterator == ""
	return nil
}

// cut is the next batch of the buffer.
func (r *reader) cut(m mapping) []object {
	size, bytes := min(m.Settings.Number("BatchSize", 100), len(r.buffer)), 0
	for n, record := range r.buffer[:size] {
		data, _ := record["Data"].([]byte)
		if bytes += len(data)*4/3 + len(record.Text("PartitionKey")) + 800; bytes > mostBatch && n > 0 {
			return r.buffer[:n]
		}
	}
	return r.buffer[:size]
}

// batchEvent is a batch as a function gets it.
func (s *Service) batchEvent(m mapping, role, shard string, batch []object) ([]byte, error) {
	records := make([]object, len(batch))
	for n, b := range batch {
		at, _ := b["ApproximateArrivalTimestamp"].(time.Time)
		data, _ := b["Data"].([]byte)
		records[n] = object{
			"kinesis": object{"kinesisSchemaVersion": "1.0", "partitionKey": b.Text("PartitionKey"), "sequenceNumber": b.Text("SequenceNumber"), "data": data,
				"approximateArrivalTimestamp": float64(at.UnixMilli()) / 1000},
			"eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": shard + ":" + b.Text("SequenceNumber"), "eventName": "aws:kinesis:record",
			"invokeIdentityArn": role, "awsRegion": m.Region, "eventSourceARN": m.Stream,
		}
	}
	return json.Marshal(map[string]any{"Records": records})
}
