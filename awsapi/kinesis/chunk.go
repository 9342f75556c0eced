package kinesis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"showrunner/awsapi/state"
	"showrunner/problem"
)

// record is one record as it is kept.
type record struct {
	Key     string    `json:"k"`
	Hash    string    `json:"h,omitempty"` // an explicit hash key
	Data    []byte    `json:"d"`
	Arrived time.Time `json:"a"`
}

// chunk is records that were committed together.
type chunk struct {
	Records []record `json:"r,omitempty"`
	// Sealed ends a shard: it is the last chunk, without records.
	Sealed bool `json:"s,omitempty"`
}

// errClosed is that a shard was closed by a split or a merge.
var errClosed = errors.New("the shard is closed")

// biggestChunk bounds what puts share, in bytes.
const biggestChunk = 1 << 20

// writer appends to one shard. Puts that wait while a chunk is being written go
// together into the next one.
type writer struct {
	chunks state.Collection[chunk]
	prefix string // of the chunks' keys

	mu      sync.Mutex
	waiting []*put
	busy    bool
	next    int64 // the number of the next chunk; 0: it is not known yet
}

// put is the records of one call for one shard.
type put struct {
	records []record
	size    int
	done    chan struct{}
	chunk   int64 // after done, with the place of its first record
	place   int
	err     error
}

// chunkKey orders chunks by their numbers, which begin with 1.
func chunkKey(prefix string, n int64) string { return fmt.Sprintf("%s%020d", prefix, n) }

// append adds records and returns where the first of them is. The others follow it
// in the same chunk.
func (w *writer) append(ctx context.Context, records []record) (int64, int, error) {
	p := &put{records: records, done: make(chan struct{})}
	for _, r := range records {
		p.size += len(r.Data) + len(r.Key)
	}
	w.mu.Lock()
	w.waiting = append(w.waiting, p)
	lead := !w.busy
	w.busy = true
	w.mu.Unlock()
	if lead {
		w.drain(context.WithoutCancel(ctx)) // the others wait for it, whoever hangs up
	}
	<-p.done
	return p.chunk, p.place, p.err
}

// drain writes chunks until nobody waits.
func (w *writer) drain(ctx context.Context) {
	for {
		w.mu.Lock()
		var together []*put
		size := 0
		for len(w.waiting) > 0 && (len(together) == 0 || size+w.waiting[0].size <= biggestChunk) {
			size += w.waiting[0].size
			together = append(together, w.waiting[0])
			w.waiting = w.waiting[1:]
		}
		if len(together) == 0 {
			w.busy = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		w.write(ctx, together)
	}
}

// write commits one chunk. Another replica may have taken the number: then the
// next free one is looked for.
func (w *writer) write(ctx context.Context, together []*put) {
	var c chunk
	for _, p := range together {
		p.place = len(c.Records)
		c.Records = append(c.Records, p.records...)
	}
	number, err := w.next, error(nil)
	for {
		if number == 0 {
			var last int64
			var sealed bool
			if last, sealed, err = lastChunk(ctx, w.chunks, w.prefix); err == nil && sealed {
				err = errClosed
			}
			if err != nil {
				break
			}
			number = last + 1
		}
		if err = w.chunks.Create(ctx, chunkKey(w.prefix, number), c); problem.CodeOf(err) != problem.Conflict {
			break
		}
		number = 0
	}
	w.next = 0
	if err == nil {
		w.next = number + 1
	}
	for _, p := range together {
		p.chunk, p.err = number, err
		close(p.done)
	}
}

// lastChunk is the number of the last chunk below a prefix, 0 when there is none,
// and whether it seals the shard.
func lastChunk(ctx context.Context, chunks state.Collection[chunk], prefix string) (last int64, sealed bool, err error) {
	first, err := firstChunk(ctx, chunks, prefix)
	if err != nil || first == 0 {
		return 0, false, err
	}
	there := func(n int64) (bool, error) {
		c, err := chunks.Get(ctx, chunkKey(prefix, n))
		if err == nil {
			sealed = c.Sealed
		}
		if problem.CodeOf(err) == problem.NotFound {
			return false, nil
		}
		return err == nil, err
	}
	low, step := first, int64(1)
	for { // low is there
		ok, err := there(low + step)
		if err != nil {
			return 0, false, err
		}
		if !ok {
			break
		}
		low, step = low+step, 2*step
	}
	high := low + step // which is not there
	for high-low > 1 {
		middle := low + (high-low)/2
		ok, err := there(middle)
		if err != nil {
			return 0, false, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	_, err = there(low)
	return low, sealed, err
}

// seal closes a shard for good and returns its last chunk with records. Sealing it
// again returns the same.
func seal(ctx context.Context, chunks state.Collection[chunk], prefix string) (int64, error) {
	for {
		last, sealed, err := lastChunk(ctx, chunks, prefix)
		if err != nil {
			return 0, err
		}
		if sealed {
			return last - 1, nil
		}
		if err := chunks.Create(ctx, chunkKey(prefix, last+1), chunk{Sealed: true}); problem.CodeOf(err) != problem.Conflict {
			return last, err
		}
	}
}

// firstChunk is the number of the first chunk that is kept, 0 when there is none.
func firstChunk(ctx context.Context, chunks state.Collection[chunk], prefix string) (int64, error) {
	for e, err := range chunks.Paged(1).All(ctx, prefix) {
		if err != nil {
			return 0, err
		}
		return number(e.Key, prefix), nil
	}
	return 0, nil
}

func number(key, prefix string) (n int64) {
	_, _ = fmt.Sscanf(key[len(prefix):], "%d", &n) // our own key
	return n
}
