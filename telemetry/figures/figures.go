package figures

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"showrunner/execution"
	"showrunner/store/record"
)

// Executions are the engine's, as the figures need them.
type Executions interface {
	Get(ctx context.Context, id string) (execution.Execution, error)
	List(ctx context.Context, q execution.Query) (execution.Page, error)
	Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice
	End(ctx context.Context) (int64, error)
}

// Figures are a control plane's figures since it began.
type Figures struct {
	executions Executions
	log        *slog.Logger

	ended, deployments, verdicts             *prometheus.CounterVec
	duration, queued, stages, lead, restored *prometheus.HistogramVec
	unfinished                               *prometheus.Desc
}

// The buckets of durations, in seconds: of work, and of what takes days.
var (
	short = []float64{0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	long  = []float64{60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600}
)

// New makes figures of zero, and puts them into a registry.
func New(e Executions, r *prometheus.Registry, log *slog.Logger) *Figures {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "showrunner", Subsystem: "control", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "showrunner", Subsystem: "control", Name: name, Help: help, Buckets: buckets}, labels)
	}
	f := &Figures{executions: e, log: log,
		ended:       counter("executions_total", "Executions that have ended.", "application", "pipeline", "status"),
		duration:    histogram("execution_duration_seconds", "From the start of an execution to its end.", short, "application", "pipeline"),
		queued:      histogram("execution_queue_seconds", "From the creation of an execution to its start.", short, "application", "pipeline"),
		stages:      histogram("stage_duration_seconds", "Time of the last attempt at a stage.", short, "kind", "status"),
		verdicts:    counter("verdicts_total", "Verdicts of canaries' judges, one for each region.", "application", "decision"),
		deployments: counter("deployments_total", "Executions with a deployment, which is deployment frequency; the share of failed ones is the change failure rate.", "application", "outcome"),
		lead:        histogram("lead_time_seconds", "Lead time for changes: from the commit, or where its time is not known from the creation of the execution, to the end of its deployment.", long, "application"),
		restored:    histogram("restore_seconds", "Time to restore: from the first of failed deployments in a row to the next one that succeeded.", long, "application"),
		unfinished:  prometheus.NewDesc("showrunner_control_executions", "Executions that have not ended, at most 500 of each status.", []string{"status"}, nil),
	}
	r.MustRegister(f.ended, f.duration, f.queued, f.stages, f.verdicts, f.deployments, f.lead, f.restored, f)
	return f
}

// askTimeout bounds the question for executions that have not ended.
const askTimeout = 2 * time.Second

// Describe implements prometheus.Collector.
func (f *Figures) Describe(out chan<- *prometheus.Desc) { out <- f.unfinished }

// Collect implements prometheus.Collector: how many executions wait and run now. While
// the database does not answer there is no value.
func (f *Figures) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	for _, status := range []execution.Status{execution.NotStarted, execution.Running, execution.Paused} {
		page, err := f.executions.List(ctx, execution.Query{Statuses: []execution.Status{status}, Limit: 500})
		if err != nil {
			f.log.Debug("executions for a metric", "error", err)
			return
		}
		out <- prometheus.MustNewConstMetric(f.unfinished, prometheus.GaugeValue, float64(len(page.Executions)), string(status))
	}
}

// ends are the events of executions that have ended.
var ends = []string{"execution.succeeded", "execution.failed", "execution.canceled"}

// retryAfter is the pause after the event log could not be read.
const retryAfter = 5 * time.Second

// Run counts executions that end from now on, until ctx ends.
func (f *Figures) Run(ctx context.Context) {
	from, known := int64(0), false
	for ctx.Err() == nil {
		err := error(nil)
		if !known {
			from, err = f.executions.End(ctx)
			known = err == nil
		}
		if known {
			for slice := range f.executions.Follow(ctx, from, record.Filter{Types: ends}) {
				for _, e := range slice.Events {
					if err := f.take(ctx, e.Execution); err != nil && ctx.Err() == nil {
						f.log.Warn("an execution is missing in the figures", "execution", e.Execution, "error", err)
					}
				}
				from = max(from, slice.Next)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// take counts one execution.
func (f *Figures) take(ctx context.Context, id string) error {
	e, err := f.executions.Get(ctx, id)
	if err != nil {
		return err
	}
	if e.Ended == nil {
		return nil // restarted meanwhile: its next end counts
	}
	f.ended.WithLabelValues(e.Application, e.Pipeline, string(e.Status)).Inc()
	if e.Started != nil {
		f.duration.WithLabelValues(e.Application, e.Pipeline).Observe(e.Ended.Sub(*e.Started).Seconds())
		f.queued.WithLabelValues(e.Application, e.Pipeline).Observe(max(0, e.Started.Sub(e.Created).Seconds()))
	}
	for _, st := range e.Stages {
		if st.Started != nil && st.Ended != nil {
			f.stages.WithLabelValues(st.Kind, string(st.Status)).Observe(st.Ended.Sub(*st.Started).Seconds())
		}
		for _, decision := range decisions(st.Outputs["verdicts"]) {
			f.verdicts.WithLabelValues(e.Application, decision).Inc()
		}
	}
	return f.deployment(ctx, e)
}

// decisions are those of the verdicts that a stage put out.
func decisions(verdicts any) (list []string) {
	raw, err := json.Marshal(verdicts)
	if err != nil {
		return nil
	}
	var reports map[string]struct {
		Verdict struct {
			Decision string `json:"decision"`
		} `json:"verdict"`
	}
	if json.Unmarshal(raw, &reports) != nil {
		return nil
	}
	for _, r := range reports {
		if r.Verdict.Decision != "" {
			list = append(list, r.Verdict.Decision)
		}
	}
	return list
}

// IsDeployment says whether an execution has a stage that deploys and did begin.
func IsDeployment(e execution.Execution) bool {
	return slices.ContainsFunc(e.Stages, func(st execution.StageState) bool {
		return (st.Kind == "deploy" || st.Kind == "deploy-site") && st.Started != nil
	})
}

// deployment counts for DORA's four figures. A deployment that was canceled is neither.
func (f *Figures) deployment(ctx context.Context, e execution.Execution) error {
	if !IsDeployment(e) || e.Status == execution.Canceled {
		return nil
	}
	if e.Status != execution.Succeeded {
		f.deployments.WithLabelValues(e.Application, "failed").Inc()
		return nil
	}
	f.deployments.WithLabelValues(e.Application, "succeeded").Inc()
	f.lead.WithLabelValues(e.Application).Observe(e.Ended.Sub(Committed(e)).Seconds())
	since, err := f.failingSince(ctx, e)
	if err == nil && !since.IsZero() {
		f.restored.WithLabelValues(e.Application).Observe(e.Ended.Sub(since).Seconds())
	}
	return err
}

// Committed is when the change that an execution delivers was committed, as a source
// stage says it.
func Committed(e execution.Execution) time.Time {
	for _, st := range e.Stages {
		text, _ := st.Outputs["date"].(string)
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.Before(*e.Ended) {
			return at
		}
	}
	return e.Created
}

// failuresKept bounds how many failures in a row are looked at.
const failuresKept = 20

// failingSince is when the first of the failed deployments right before an execution
// ended; zero when the one before it succeeded.
func (f *Figures) failingSince(ctx context.Context, e execution.Execution) (since time.Time, err error) {
	page, err := f.executions.List(ctx, execution.Query{Application: e.Application, Pipeline: e.Pipeline, Until: e.Created, Limit: failuresKept})
	if err != nil {
		return since, err
	}
	for _, head := range page.Executions {
		switch {
		case head.ID == e.ID || head.Ended == nil || head.Status == execution.Canceled:
			continue
		case head.Status == execution.Succeeded:
			return since, nil
		}
		before, err := f.executions.Get(ctx, head.ID)
		if err != nil {
			return since, err
		}
		if IsDeployment(before) {
			since = *before.Ended
		}
	}
	return since, nil
}
