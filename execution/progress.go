package execution

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"showrunner/store/record"
)

// progressEvery is how often at most the line of one stage becomes an event.
const progressEvery = 250 * time.Millisecond

type progressKey struct {
	id    string
	stage int
}

type progressLine struct {
	text   string
	event  record.Event
	dirty  bool
	posted time.Time
}

// progressLines holds the line last reported by each running task. Lines are
// not durable; the event log gets the latest one, at most four times a second.
type progressLines struct {
	mu    sync.Mutex
	lines map[progressKey]*progressLine
	wake  chan struct{}
	now   func() time.Time
}

func newProgressLines(now func() time.Time) *progressLines {
	return &progressLines{lines: map[progressKey]*progressLine{}, wake: make(chan struct{}, 1), now: now}
}

func (p *progressLines) set(h *Head, i int, stage string, attempt int, text string) {
	data, _ := json.Marshal(map[string]any{"attempt": attempt, "line": text}) // a number and a string always marshal
	p.mu.Lock()
	k := progressKey{h.ID, i}
	l := p.lines[k]
	if l == nil {
		l = &progressLine{}
		p.lines[k] = l
	}
	if l.text == text {
		p.mu.Unlock()
		return
	}
	l.text, l.dirty = text, true
	l.event = record.Event{Type: "stage.progress", Application: h.Application, Pipeline: h.Pipeline, Execution: h.ID, Stage: stage, Data: data}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *progressLines) get(id string, i int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lines[progressKey{id, i}]; l != nil {
		return l.text
	}
	return ""
}

func (p *progressLines) clear(id string, i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lines, progressKey{id, i})
}

// take returns the lines that may be posted now, and how long until the next may.
func (p *progressLines) take() (events []record.Event, wait time.Duration) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if !l.dirty {
			continue
		}
		if next := l.posted.Add(progressEvery).Sub(now); next > 0 {
			if wait == 0 || next < wait {
				wait = next
			}
			continue
		}
		l.dirty, l.posted = false, now
		l.event.Time = now
		events = append(events, l.event)
	}
	return events, wait
}

// progressLoop puts progress lines into the event log.
func (e *Engine) progressLoop(ctx context.Context) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		select {
		case <-e.progress.wake:
		case <-clock.C:
		case <-ctx.Done():
			return
		}
		events, wait := e.progress.take()
		if m := e.session.Load(); len(events) > 0 && m != nil && !m.lost() {
			e.enqueue(&pendingChange{member: m, Change: Change{Events: events}, after: func(*Change) job { return nil }}, false)
		}
		if wait > 0 {
			clock.Reset(wait)
		}
	}
}
