package balancer

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is a fault of the connections between the balancer and instances. It
// concerns an attempt, as if the instance behaved so: the balancer reacts with
// what it has against ill instances.
type Fault struct {
	Cluster   string
	Instances []string // none: every one of the cluster
	Percent   float64  // of the attempts; 0: all
	Path      string   // what the request's path begins with
	Header    string   // "Name" or "Name: value" that the request has
	// One of: a delay of the answer by Latency plus a uniform time in [-Jitter,
	// Jitter), an answer with Status in the instance's place, or an end without answer.
	Latency, Jitter time.Duration
	Status          int
	Abort           bool
}

// SetFaults replaces the faults.
func (b *Balancer) SetFaults(list []Fault) {
	if len(list) == 0 {
		b.faults.Store(nil)
		return
	}
	list = slices.Clone(list)
	b.faults.Store(&list)
}

var errFault = errors.New("a fault that was injected broke the request off")

// faultsOf are the faults that hit an attempt.
func (b *Balancer) faultsOf(r *http.Request, t *target) (hit []Fault) {
	all := b.faults.Load()
	if all == nil {
		return nil
	}
	for _, f := range *all {
		if f.concerns(r, t) && (f.Percent == 0 || rand.Float64()*100 < f.Percent) {
			hit = append(hit, f)
		}
	}
	return hit
}

func (f Fault) concerns(r *http.Request, t *target) bool {
	// A server group is called as its cluster, with -v and three digits.
	cluster := t.group[:max(0, strings.LastIndex(t.group, "-v"))]
	switch {
	case f.Cluster != cluster, len(f.Instances) > 0 && !slices.Contains(f.Instances, t.id), f.Path != "" && !strings.HasPrefix(urlOf(r).Path, f.Path):
		return false
	case f.Header == "":
		return true
	}
	name, value, exact := strings.Cut(f.Header, ":")
	values := r.Header.Values(strings.TrimSpace(name))
	return len(values) > 0 && (!exact || slices.Contains(values, strings.TrimSpace(value)))
}

// send makes the attempt's exchange, or what faults make of it: do is the exchange
// itself.
func (b *Balancer) send(r *http.Request, f *flight, do func() (*http.Response, bool, error)) (res *http.Response, sent bool, err error) {
	hit := b.faultsOf(r, f.target)
	if len(hit) == 0 {
		return do()
	}
	var delay time.Duration
	replaced := false
	for _, fault := range hit {
		switch {
		case fault.Abort:
			res, sent, err, replaced = nil, true, fmt.Errorf("%s: %w", f.target.id, errFault), true
		case fault.Status > 0 && !replaced:
			res, sent, replaced = faultAnswer(r, fault.Status), true, true
		default:
			delay += fault.Latency
			if fault.Jitter > 0 {
				delay += rand.N(2*fault.Jitter) - fault.Jitter
			}
		}
	}
	if !replaced {
		res, sent, err = do()
	} else if f.written != nil {
		f.written() // the time for an answer begins
	}
	if delay > 0 && err == nil {
		if ended := f.pause(r, delay); ended != nil {
			res.Body.Close()
			return nil, true, ended
		}
	}
	return res, sent, err
}

// pause waits before an answer is passed on. Errors: why the attempt was called off.
func (f *flight) pause(r *http.Request, d time.Duration) error {
	ended := make(chan struct{})
	if err := f.cancel.Ends(sync.OnceFunc(func() { close(ended) })); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
	case <-r.Context().Done():
	}
	return f.cancel.Ends(nil)
}

func faultAnswer(r *http.Request, status int) *http.Response {
	text := "An injected fault answers in the instance's place.\n"
	return &http.Response{Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text))}
}
