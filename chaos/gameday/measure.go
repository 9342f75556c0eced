package gameday

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Answer is the result of one request.
type Answer struct {
	Due        time.Time
	Took       time.Duration // since it was due: a stall shows in its full length
	OK         bool
	Repeatable bool
	Why        string // of a failure: a status or an error, without what differs between requests
}

// meter counts answers by the second in which they were due.
type meter struct {
	mu    sync.Mutex
	began time.Time
	secs  map[int]*second
	why   [2]map[string]int // of repeatable requests and of others
}

type second struct {
	requests, failed [2]int
	took             []time.Duration // of repeatable requests
}

func newMeter(began time.Time) *meter {
	return &meter{began: began, secs: map[int]*second{}, why: [2]map[string]int{{}, {}}}
}

func (m *meter) add(a Answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, kind := int(a.Due.Sub(m.began)/time.Second), 1
	s := m.secs[at]
	if s == nil {
		s = &second{}
		m.secs[at] = s
	}
	if a.Repeatable {
		kind = 0
		s.took = append(s.took, a.Took)
	}
	s.requests[kind]++
	if !a.OK {
		s.failed[kind]++
		m.why[kind][a.Why]++
	}
}

// Stretch is what users had in a part of the day.
type Stretch struct {
	Requests     int     `json:"requests"` // repeatable ones
	Failed       int     `json:"failed"`
	Others       int     `json:"others"` // requests that must not be repeated
	OthersFailed int     `json:"othersFailed"`
	P50          Seconds `json:"p50Seconds"`
	P99          Seconds `json:"p99Seconds"`
	Max          Seconds `json:"maxSeconds"`
}

// Availability is the share of repeatable requests that were answered; 0 without any.
func (s Stretch) Availability() float64 {
	if s.Requests == 0 {
		return 0
	}
	return float64(s.Requests-s.Failed) / float64(s.Requests)
}

// between sums up the seconds from one time to another.
func (m *meter) between(from, to Seconds) Stretch {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out Stretch
	var took []time.Duration
	for at, s := range m.secs {
		if d := Seconds(at) * Seconds(time.Second); d < from || d >= to {
			continue
		}
		out.Requests, out.Failed = out.Requests+s.requests[0], out.Failed+s.failed[0]
		out.Others, out.OthersFailed = out.Others+s.requests[1], out.OthersFailed+s.failed[1]
		took = append(took, s.took...)
	}
	out.P50, out.P99, out.Max = quantiles(took)
	return out
}

func quantiles(took []time.Duration) (p50, p99, most Seconds) {
	if len(took) == 0 {
		return 0, 0, 0
	}
	slices.Sort(took)
	n := len(took)
	return Seconds(took[n/2]), Seconds(took[min(n-1, n*99/100)]), Seconds(took[n-1])
}

// Point is one second of the timeline.
type Point struct {
	Second   int     `json:"second"`
	Requests int     `json:"requests"`
	Failed   int     `json:"failed"`
	Others   int     `json:"othersFailed,omitempty"` // failed requests that must not be repeated
	P99      Seconds `json:"p99Seconds"`
}

func (m *meter) timeline() []Point {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Point
	for at, s := range m.secs {
		_, p99, _ := quantiles(s.took)
		out = append(out, Point{Second: at, Requests: s.requests[0], Failed: s.failed[0], Others: s.failed[1], P99: p99})
	}
	slices.SortFunc(out, func(a, b Point) int { return a.Second - b.Second })
	return out
}

// failures are the reasons with how often each was, the most frequent first.
func (m *meter) failures(kind int) []Reason {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Reason
	for why, n := range m.why[kind] {
		out = append(out, Reason{Why: why, Requests: n})
	}
	slices.SortFunc(out, func(a, b Reason) int {
		if a.Requests != b.Requests {
			return b.Requests - a.Requests
		}
		return slices.Compare([]byte(a.Why), []byte(b.Why))
	})
	return out
}

// Reason is why requests failed.
type Reason struct {
	Why      string `json:"why"`
	Requests int    `json:"requests"`
}

func milliseconds(s Seconds) string { return fmt.Sprintf("%.1f ms", s.float()*1000) }
