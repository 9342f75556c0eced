// Package injection owns what faults do to requests on their way, at the edge and at a
// region's load balancer: which requests a fault hits, and what becomes of those. It
// refuses to know when faults begin and end (package fleet) and which instance a
// request is sent to (package balancer).
package injection

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Fault is a fault of requests.
type Fault struct {
	ID        string   `json:"id"`
	Cluster   string   `json:"cluster,omitempty"`
	Instances []string `json:"instances,omitempty"` // none: every one of the cluster
	// From is the calling service: a cluster or a server group, whose instances alone
	// are hit. Empty: whoever calls.
	From    string  `json:"from,omitempty"`
	Percent float64 `json:"percent,omitempty"` // 0: all
	Path    string  `json:"path,omitempty"`    // what the request's path begins with
	Header  string  `json:"header,omitempty"`  // "Name" or "Name: value" that the request has
	// What happens: a delay by Latency plus a uniform time in [-Jitter, Jitter), an
	// answer with Status, an end without answer, no answer until the fault is over, an
	// answer whose body comes at Bandwidth bytes a second, or whose end comes so late.
	Latency   time.Duration `json:"latency,omitempty"`
	Jitter    time.Duration `json:"jitter,omitempty"`
	Status    int           `json:"status,omitempty"`
	Abort     bool          `json:"abort,omitempty"`
	Blackhole bool          `json:"blackhole,omitempty"`
	Bandwidth int64         `json:"bandwidth,omitempty"`
	SlowClose time.Duration `json:"slowClose,omitempty"`
}

// Err is why a request ended that a fault has broken off.
var Err = errors.New("a fault that was injected broke the request off")

// Matches says whether the fault is for requests such as this one, whoever sent it.
func (f Fault) Matches(r *http.Request) bool {
	if f.Path != "" && !strings.HasPrefix(pathOf(r), f.Path) {
		return false
	}
	if f.Header == "" {
		return true
	}
	name, value, exact := strings.Cut(f.Header, ":")
	values := r.Header.Values(strings.TrimSpace(name))
	return len(values) > 0 && (!exact || slices.Contains(values, strings.TrimSpace(value)))
}

// pathOf is the path that a request asks for. The proxy leaves plain paths unread.
func pathOf(r *http.Request) string {
	if r.URL != nil && r.URL.Path != "" {
		return r.URL.Path
	}
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return u.Path
	}
	return "/"
}

// Draw says by chance whether one of the requests that the fault is for is hit.
func (f Fault) Draw() bool { return f.Percent == 0 || rand.Float64()*100 < f.Percent }

// Effect is what several faults together do to one request.
type Effect struct {
	Delay     time.Duration
	Status    int      // of the answer in place of the one that would come; 0: none
	Abort     bool     // it is broken off
	Blackhole []string // the faults until whose end it is not answered
	Bandwidth int64    // bytes a second of the answer's body; 0: no limit
	SlowClose time.Duration
}

// Of is the effect of the faults that hit a request.
func Of(hit []Fault) (e Effect) {
	for _, f := range hit {
		switch {
		case f.Abort:
			e.Abort = true
		case f.Blackhole:
			e.Blackhole = append(e.Blackhole, f.ID)
		case f.Status > 0 && e.Status == 0:
			e.Status = f.Status
		case f.Bandwidth > 0 && (e.Bandwidth == 0 || f.Bandwidth < e.Bandwidth):
			e.Bandwidth = f.Bandwidth
		}
		e.SlowClose = max(e.SlowClose, f.SlowClose)
		e.Delay += f.Latency
		if f.Jitter > 0 {
			e.Delay += rand.N(2*f.Jitter) - f.Jitter
		}
	}
	return e
}

// Answer is the answer of a fault.
func Answer(r *http.Request, status int) *http.Response {
	text := "An injected fault answers here.\n"
	return &http.Response{Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text))}
}

// Shape has an answer's body come as slowly as the effect says. ended is closed when
// nobody waits for the answer any more. A switch to another protocol stays as it is.
func (e Effect) Shape(res *http.Response, ended <-chan struct{}) {
	if e.Bandwidth == 0 && e.SlowClose == 0 || res.StatusCode == http.StatusSwitchingProtocols || res.Body == http.NoBody {
		return
	}
	res.Body = &slowBody{ReadCloser: res.Body, effect: e, ended: ended}
	if e.SlowClose > 0 && res.ContentLength >= 0 {
		// A length would tell the client where the end is before it comes.
		res.ContentLength = -1
		res.Header.Del("Content-Length")
	}
}

// slice is how long one piece of a body of limited bandwidth takes at most.
const slice = 100 * time.Millisecond

// slowBody is a body that comes slowly.
type slowBody struct {
	io.ReadCloser
	effect Effect
	ended  <-chan struct{}
	closed bool // the end was delayed already
}

// Read implements io.Reader.
func (b *slowBody) Read(p []byte) (int, error) {
	if rate := b.effect.Bandwidth; rate > 0 && len(p) > 0 {
		p = p[:min(int64(len(p)), max(1, rate*int64(slice)/int64(time.Second)))]
	}
	n, err := b.ReadCloser.Read(p)
	if rate := b.effect.Bandwidth; rate > 0 && n > 0 {
		if !Pause(time.Duration(int64(n)*int64(time.Second)/rate), b.ended) {
			return n, Err
		}
	}
	if err == io.EOF && b.effect.SlowClose > 0 && !b.closed {
		if n > 0 {
			return n, nil // what there is comes at once, its end later
		}
		b.closed = true
		if !Pause(b.effect.SlowClose, b.ended) {
			return n, Err
		}
	}
	return n, err
}

// Pause waits; false when it was ended before.
func Pause(d time.Duration, ended <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ended:
		return false
	}
}
