// Package deliverytest is a control plane in memory for tests of the services that
// make pipelines: applications are checked by the language, executions are what the
// test says.
package deliverytest

import (
	"context"
	"encoding/base32"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// Control is an empty control plane when made by New.
type Control struct {
	// Fail, when it returns an error, refuses the operation with it.
	Fail func(op string) error
	Now  func() time.Time

	mu         sync.Mutex
	apps       map[string]control.Application
	executions []execution.Execution // oldest first
	events     map[string]string     // execution by trigger and event
	Calls      []string
	Regions    map[string][]string
	Names      map[string]string // repositories
	Secrets    map[string]string
	Written    map[string]string // what stages wrote, by EXECUTION/STAGE
}

// New is a control plane whose two regions have the buckets named.
func New(buckets map[string]string) *Control {
	c := &Control{apps: map[string]control.Application{}, events: map[string]string{}, Names: map[string]string{}, Secrets: map[string]string{}, Written: map[string]string{}, Regions: map[string][]string{}, Now: time.Now}
	for bucket, region := range buckets {
		c.Regions[bucket] = []string{region}
	}
	return c
}

func (c *Control) begin(op, subject string) error {
	c.Calls = append(c.Calls, op+" "+subject)
	if c.Fail != nil {
		return c.Fail(op)
	}
	return nil
}

// Called are the calls so far, and forgets them.
func (c *Control) Called() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.Calls
	c.Calls = nil
	return calls
}

// BucketRegion implements delivery.Buckets.
func (c *Control) BucketRegion(_ context.Context, bucket string) (string, error) {
	if r := c.Regions[bucket]; len(r) > 0 {
		return r[0], nil
	}
	return "", problem.New(problem.NotFound, "buckets", "there is no bucket %s", bucket)
}

// AWSRepositories implements delivery.Repositories.
func (c *Control) AWSRepositories(context.Context, control.Principal) ([]control.AWSRepository, error) {
	var list []control.AWSRepository
	for _, name := range slices.Sorted(maps.Keys(c.Names)) {
		list = append(list, control.AWSRepository{Name: name, URL: c.Names[name]})
	}
	return list, nil
}

// Resolve implements delivery.Secrets.
func (c *Control) Resolve(_ context.Context, name string) (string, error) {
	if v, ok := c.Secrets[name]; ok {
		return v, nil
	}
	return "", problem.New(problem.NotFound, "secret.resolve", "no secret %s", name)
}

// Set implements codepipeline.Values.
func (c *Control) Set(_ context.Context, name string, value []byte) error {
	c.Secrets[name] = string(value)
	return nil
}

// Delete implements codepipeline.Values.
func (c *Control) Delete(_ context.Context, name string) error {
	delete(c.Secrets, name)
	return nil
}

// Check checks a file by the language.
func (c *Control) Check(_ context.Context, f control.File) (*pipeline.Document, pipeline.Diagnostics) {
	return pipeline.Parse(f.Name, f.Source)
}

// Apply keeps an application.
func (c *Control) Apply(ctx context.Context, _ control.Principal, f control.File, _ int64) (control.Applied, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	doc, diags := c.Check(ctx, f)
	if diags.HasErrors() {
		return control.Applied{}, problem.New(problem.Invalid, "apply", "%s", diags.Text())
	}
	if err := c.begin("apply", doc.Application); err != nil {
		return control.Applied{}, err
	}
	old := c.apps[doc.Application]
	c.apps[doc.Application] = control.Application{Name: doc.Application, Version: old.Version + 1, Updated: c.Now(), Source: string(f.Source), Pipelines: doc.Pipelines}
	return control.Applied{Application: doc.Application, Version: old.Version + 1, Changed: old.Source != string(f.Source)}, nil
}

// Application is one that was applied.
func (c *Control) Application(_ context.Context, _ control.Principal, name string) (control.Application, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.apps[name]; ok {
		return a, nil
	}
	return control.Application{}, problem.New(problem.NotFound, "application", "no application %s", name)
}

// Applications are all of them.
func (c *Control) Applications(context.Context, control.Principal) ([]control.Application, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []control.Application
	for _, name := range slices.Sorted(maps.Keys(c.apps)) {
		list = append(list, c.apps[name])
	}
	return list, nil
}

// DeleteApplication forgets one.
func (c *Control) DeleteApplication(_ context.Context, _ control.Principal, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("delete", name); err != nil {
		return err
	}
	if _, ok := c.apps[name]; !ok {
		return problem.New(problem.NotFound, "application", "no application %s", name)
	}
	delete(c.apps, name)
	return nil
}

// ID is the identifier of the nth execution.
func ID(n int) string {
	enc := base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
	return enc.EncodeToString([]byte(fmt.Sprintf("run-%07d-", n)))[:18]
}

// Start keeps an execution that has not begun.
func (c *Control) Start(_ context.Context, _ control.Principal, r execution.StartRequest) (execution.Execution, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin("start", r.Application+"/"+r.Pipeline); err != nil {
		return execution.Execution{}, false, err
	}
	key := r.TriggerID + "\n" + r.EventID
	if id, ok := c.events[key]; ok && r.EventID != "" {
		for _, e := range c.executions {
			if e.ID == id {
				return e, false, nil
			}
		}
	}
	def := r.Definition
	if def.Name == "" {
		for _, p := range c.apps[r.Application].Pipelines {
			if p.Name == r.Pipeline {
				def = p
			}
		}
	}
	if def.Name == "" {
		return execution.Execution{}, false, problem.New(problem.NotFound, "start", "no pipeline %s", r.Pipeline)
	}
	parameters, err := pipeline.ResolveParameters(def, r.Parameters)
	if err != nil {
		return execution.Execution{}, false, err
	}
	e := execution.Execution{ID: ID(len(c.executions) + 1), Application: r.Application, Pipeline: r.Pipeline, Number: len(c.executions) + 1, Status: execution.Running,
		Parameters: parameters, Trigger: r.Trigger, By: r.By, Created: c.Now(), Definition: &def}
	for _, st := range def.Stages {
		e.Stages = append(e.Stages, execution.StageState{Name: st.Name, Kind: st.Kind, Status: execution.NotStarted})
	}
	c.executions = append(c.executions, e)
	c.events[key] = e.ID
	return e, true, nil
}

// Change changes an execution as the engine would.
func (c *Control) Change(id string, change func(e *execution.Execution)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.executions {
		if c.executions[i].ID == id {
			change(&c.executions[i])
		}
	}
}

// Execution is one execution.
func (c *Control) Execution(_ context.Context, _ control.Principal, id string) (execution.Execution, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.executions {
		if e.ID == id {
			e.Stages = slices.Clone(e.Stages)
			return e, nil
		}
	}
	return execution.Execution{}, problem.New(problem.NotFound, "execution", "no execution %s", id)
}

// Executions lists them, newest first, on one page.
func (c *Control) Executions(_ context.Context, _ control.Principal, q execution.Query) (execution.Page, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var page execution.Page
	for _, e := range slices.Backward(c.executions) {
		if e.Application == q.Application && (q.Pipeline == "" || e.Pipeline == q.Pipeline) && (len(q.Statuses) == 0 || slices.Contains(q.Statuses, e.Status)) {
			page.Executions = append(page.Executions, e)
		}
	}
	return page, nil
}

// Cancel ends an execution at once.
func (c *Control) Cancel(_ context.Context, _ control.Principal, id, reason string) error {
	c.Change(id, func(e *execution.Execution) {
		now := c.Now()
		e.Status, e.Ended, e.Canceling = execution.Canceled, &now, &execution.Cancellation{Reason: reason, At: now}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begin("cancel", id)
}

// StageLog is what a stage wrote.
func (c *Control) StageLog(_ context.Context, _ control.Principal, r control.LogRequest, w io.Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := io.WriteString(w, c.Written[r.Execution+"/"+r.Stage][r.From:])
	return err
}

// Restart only counts.
func (c *Control) Restart(_ context.Context, _ control.Principal, id, stageName string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begin("restart", id+" "+stageName)
}

// Decide asks may, and counts.
func (c *Control) Decide(ctx context.Context, p control.Principal, id, stageName string, d control.Decision, may control.MayDecide) error {
	e, err := c.Execution(ctx, p, id)
	if err != nil {
		return err
	}
	st, _ := e.Stage(stageName)
	if err := may(p, e, st, d); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begin("decide", fmt.Sprintf("%s %s %v %s", id, stageName, d.Approve, d.Comment))
}

// End is the end of an empty log.
func (c *Control) End(context.Context) (int64, error) { return 0, nil }

// Follow is a log to which nothing is added.
func (c *Control) Follow(ctx context.Context, _ control.Principal, _ int64, _ record.Filter) (<-chan record.Slice, error) {
	changes := make(chan record.Slice)
	context.AfterFunc(ctx, func() { close(changes) })
	return changes, nil
}
