package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/trigger"
)

// definitions keeps every pipeline in memory, in step with the event log, so
// that what one replica takes in the others see.
type definitions struct {
	control *control.Service
	engine  *execution.Engine
	log     *slog.Logger

	mu      sync.Mutex
	all     []trigger.Definition
	loaded  bool
	changed chan struct{}
}

func newDefinitions(c *control.Service, engine *execution.Engine, log *slog.Logger) *definitions {
	return &definitions{control: c, engine: engine, log: log, changed: make(chan struct{})}
}

// All implements trigger.Definitions.
func (d *definitions) All(ctx context.Context) ([]trigger.Definition, error) {
	d.mu.Lock()
	all, loaded := d.all, d.loaded
	d.mu.Unlock()
	if loaded {
		return all, nil
	}
	if err := d.load(ctx); err != nil {
		return nil, err
	}
	return d.All(ctx)
}

// Changed implements trigger.Definitions.
func (d *definitions) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

func (d *definitions) load(ctx context.Context) error {
	docs, err := d.control.Documents(ctx)
	if err != nil {
		return problem.Wrap(err, "", "definitions", "reading the applications")
	}
	var all []trigger.Definition
	for _, doc := range docs {
		for _, p := range doc.Pipelines {
			all = append(all, trigger.Definition{Application: doc.Application, Pipeline: p})
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all, d.loaded = all, true
	close(d.changed)
	d.changed = make(chan struct{})
	return nil
}

// reload is how soon a reading that failed is tried again.
const reload = time.Second

// watch reads anew whatever the log says has changed, until ctx ends.
func (d *definitions) watch(ctx context.Context) {
	for ctx.Err() == nil {
		from, err := d.engine.End(ctx)
		if err == nil {
			err = d.load(ctx)
		}
		if err != nil {
			d.log.Warn("reading the applications", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(reload):
			}
			continue
		}
		for range d.engine.Follow(ctx, from, record.Filter{Types: []string{"audit.application."}}) {
			if err := d.load(ctx); err != nil {
				d.log.Warn("reading the applications", "error", err)
			}
		}
	}
}

// eventLog is the engine's log as triggers read it.
type eventLog struct{ *execution.Engine }

// Last implements trigger.Events.
func (l eventLog) Last(ctx context.Context) (int64, error) { return l.End(ctx) }
