package lambda

import (
	"context"
	"encoding/json"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
)

// part is a part of a batch that is carried out by itself.
type part struct {
	records []object
	tries   int // that ended with a failure of the function
	waits   int // in a row, because the function could not run
}

// What is said of a part that did not run.
const (
	throttled = "PROBLEM: Function call throttled"
	notRun    = "PROBLEM: Lambda internal error"
)

// carry carries a batch out, in its order, and keeps how far it has come. It returns when
// all of it has succeeded or was given up.
func (r *reader) carry(ctx context.Context, batch []object) error {
	todo := []part{{records: batch}}
	for len(todo) > 0 {
		p := todo[0]
		m, err := r.s.mappings.Get(ctx, r.mapping)
		if err != nil {
			return err
		}
		done, failure, err := r.try(ctx, m, p)
		if err != nil {
			return err
		}
		if done > 0 || failure == "" {
			if err := r.keep(ctx, p.records[done-1].Text("SequenceNumber"), orOK(failure)); err != nil {
				return err
			}
			if p.records = p.records[done:]; len(p.records) == 0 {
				todo = todo[1:]
				continue
			}
			p.tries = 0
		}
		if failure == throttled || failure == notRun {
			p.waits++
			todo[0] = p
			r.s.noteResult(ctx, m, failure)
			if err := r.pause(ctx, p.waits); err != nil {
				return err
			}
			continue
		}
		p.waits = 0
		if r.givenUp(m, p) {
			r.s.Log.Warn("records were given up by an event source mapping", "mapping", m.UUID, "records", len(p.records), "why", failure)
			if err := r.keep(ctx, p.records[len(p.records)-1].Text("SequenceNumber"), failure); err != nil {
				return err
			}
			todo = todo[1:]
			continue
		}
		r.s.noteResult(ctx, m, failure)
		if m.Settings.Is("BisectBatchOnFunctionError") && len(p.records) > 1 {
			half := len(p.records) / 2
			todo = append([]part{{records: p.records[:half], tries: p.tries}, {records: p.records[half:], tries: p.tries}}, todo[1:]...)
		} else {
			p.tries++
			todo[0] = p
		}
		if err := r.pause(ctx, p.tries); err != nil {
			return err
		}
	}
	return nil
}

func orOK(failure string) string {
	if failure == "" {
		return "OK"
	}
	return failure
}

// keep makes a record the last one that was carried out.
func (r *reader) keep(ctx context.Context, sequence, result string) error {
	_, err := r.s.mappings.Update(ctx, r.mapping, func(m *mapping) error {
		m.set(r.shard.id, position{After: sequence})
		m.Result = result
		return nil
	})
	return err
}

// givenUp says whether the mapping's limits forbid another try.
func (r *reader) givenUp(m mapping, p part) bool {
	if most := m.Settings.Number("MaximumRetryAttempts", -1); most >= 0 && p.tries >= most {
		return !(m.Settings.Is("BisectBatchOnFunctionError") && len(p.records) > 1)
	}
	age := m.Settings.Number("MaximumRecordAgeInSeconds", -1)
	at, _ := p.records[0]["ApproximateArrivalTimestamp"].(time.Time)
	return age >= 0 && r.s.Now().Sub(at) > time.Duration(age)*time.Second
}

// pause waits before another try: less and less often.
func (r *reader) pause(ctx context.Context, tries int) error {
	timer := time.NewTimer(min(500*time.Millisecond<<min(tries, 6), 30*time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try runs the function with a part. done is how many records were carried out, from the
// first one on; failure says why not all were.
func (r *reader) try(ctx context.Context, m mapping, p part) (done int, failure string, err error) {
	f, v, err := r.s.target(ctx, m.Region, which{m.Function, m.Qualifier})
	if wire.CodeOf(err) == "ResourceNotFoundException" {
		return 0, "PROBLEM: Function not found", nil
	}
	if err != nil {
		return 0, "", err
	}
	payload, err := r.s.batchEvent(m, v.Settings.Text("Role"), r.shard.id, p.records)
	if err != nil {
		return 0, "", err
	}
	first, last := p.records[0].Text("SequenceNumber"), p.records[len(p.records)-1].Text("SequenceNumber")
	joins := m.key() + "/" + r.shard.id + "/" + first + "/" + last + "/" + number(p.tries)
	result, err := r.s.run(ctx, request{region: m.Region, f: &f, v: v, qualifier: m.Qualifier, id: carry.NewUUID(), payload: payload, joins: joins})
	switch {
	case ctx.Err() != nil:
		return 0, "", ctx.Err()
	case wire.CodeOf(err) == "TooManyRequestsException":
		return 0, throttled, nil
	case err != nil:
		return 0, notRun, nil
	case result.Failed:
		return 0, "PROBLEM: Function call failed", nil
	}
	if list := m.Settings.Texts("FunctionResponseTypes"); len(list) > 0 {
		return partial(result.Payload, p.records)
	}
	return len(p.records), "", nil
}

// partial reads which records a function could not carry out: what comes before the first
// of them was.
func partial(payload []byte, records []object) (done int, failure string, err error) {
	var said struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if string(payload) == "null" || len(payload) == 0 {
		return len(records), "", nil
	}
	if json.Unmarshal(payload, &said) != nil {
		return 0, "PROBLEM: Function response is not valid", nil
	}
	done = len(records)
	for _, one := range said.BatchItemFailures {
		at := -1
		for n, r := range records {
			if r.Text("SequenceNumber") == one.ItemIdentifier {
				at = n
			}
		}
		if at < 0 { // an identifier of nothing: all of them again
			return 0, "PROBLEM: Function response is not valid", nil
		}
		done = min(done, at)
	}
	if done < len(records) {
		failure = "PROBLEM: Function reported batch item failures"
	}
	return done, failure, nil
}
