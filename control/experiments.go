package control

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/chaos/experiment"
	"showrunner/problem"
	"showrunner/store/record"
)

// experimentRecords holds a document for each run of an experiment: its journal, by which
// a run whose control plane died is undone.
const experimentRecords = "chaos-experiments"

// experimentsKept is how long a run is remembered after its end.
const experimentsKept = 90 * 24 * time.Hour

// AlarmStates tells how alarms stand.
type AlarmStates interface {
	// AlarmState tells whether an alarm is open, and whether there is one of that name.
	AlarmState(ctx context.Context, name string) (open, known bool, err error)
}

// underWay are the runs that this process carries out now.
type runsUnderWay struct {
	mu    sync.Mutex
	ids   map[string]bool
	fresh map[string]bool // started by this process, and not yet under way
}

func (r *runsUnderWay) set(which *map[string]bool, id string, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if *which == nil {
		*which = map[string]bool{}
	}
	if on {
		(*which)[id] = true
		return
	}
	delete(*which, id)
}

func (r *runsUnderWay) has(which *map[string]bool, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return (*which)[id]
}

// ParseExperiment reads and checks an experiment; query says what is wrong with a query
// of PromQL, and may be nil. Errors: invalid.
func ParseExperiment(text []byte, query func(string) error) (*experiment.Experiment, error) {
	return experiment.Parse(text, texts(KnownFaults()), query)
}

// StartExperiment begins a run, which goes on without the caller. The same key again
// answers with the same run. Errors: invalid, precondition (chaos is held, an alarm is
// not there), denied.
func (s *Service) StartExperiment(ctx context.Context, p Principal, source string, key string) (run experiment.Run, err error) {
	e, err := ParseExperiment([]byte(source), s.CheckQuery)
	if err != nil {
		return run, err
	}
	id := runName(e.Name, key)
	subject := Subject{Kind: KindExperiment, Name: id, Application: e.Application}
	err = s.perform(ctx, p, opExperimentStart, subject, map[string]any{"experiment": e.Name}, func() (map[string]any, error) {
		if kept, _, err := s.experiment(ctx, id); err == nil {
			run = kept
			return nil, nil
		}
		if why := s.ChaosHeld(ctx, e.Application); why != "" {
			return nil, problem.New(problem.Precondition, opExperimentStart, "nothing was begun: %s", why).WithHelp("%s", chaosHelp("stop"))
		}
		if err := s.knowConditions(ctx, e); err != nil {
			return nil, err
		}
		run = e.NewRun(id, p.Name, s.session(), s.Now().UTC())
		s.runs.set(&s.runs.fresh, id, true)
		if err := s.putExperiment(ctx, 0, run); err != nil {
			s.runs.set(&s.runs.fresh, id, false)
			return nil, err
		}
		s.wakeExperiments()
		return nil, nil
	})
	return run, err
}

// runName names a run by its experiment and the request's key.
func runName(name, key string) string {
	id := ""
	for _, c := range strings.ToLower(name) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			id += string(c)
		} else if id != "" && !strings.HasSuffix(id, "-") {
			id += "-"
		}
	}
	id = strings.Trim(id[:min(len(id), 40)], "-")
	return strings.TrimPrefix(faultName(FaultRequest{}, key), "-") + "-" + id
}

func (s *Service) wakeExperiments() {
	select {
	case s.wakeRuns <- struct{}{}:
	default:
	}
}

// Experiments lists the runs that are remembered, the newest first.
func (s *Service) Experiments(ctx context.Context, p Principal) ([]experiment.Run, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindExperiment}); err != nil {
		return nil, err
	}
	return s.experiments(s.direct(ctx))
}

// Experiment reads one run. Errors: not_found.
func (s *Service) Experiment(ctx context.Context, p Principal, id string) (experiment.Run, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindExperiment, Name: id}); err != nil {
		return experiment.Run{}, err
	}
	run, _, err := s.experiment(s.direct(ctx), id)
	return run, err
}

// StopExperiment asks for the end of a run: what it did is undone, and its rollbacks run.
// It does not wait for them. A run that has ended is success. Errors: not_found, denied.
func (s *Service) StopExperiment(ctx context.Context, p Principal, id string) (run experiment.Run, err error) {
	ctx = s.direct(ctx)
	err = s.perform(ctx, p, opExperimentStop, Subject{Kind: KindExperiment, Name: id}, nil, func() (map[string]any, error) {
		err := s.changeExperiment(ctx, id, func(kept *experiment.Run) bool {
			run = *kept
			if kept.Status != experiment.Running || kept.StopAsked != "" {
				return false
			}
			kept.StopAsked = p.Name
			run = *kept
			return true
		})
		s.wakeExperiments()
		return nil, err
	})
	return run, err
}

func (s *Service) experiments(ctx context.Context) ([]experiment.Run, error) {
	list := []experiment.Run{}
	const page = 200
	for after := ""; ; {
		recs, err := s.Records.ListRecords(ctx, experimentRecords, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "chaos.experiment", "listing experiments")
		}
		for _, rec := range recs {
			after = rec.Key
			run, err := readRun(rec)
			if err != nil {
				return nil, err
			}
			list = append(list, run)
		}
		if len(recs) < page {
			break
		}
	}
	slices.SortStableFunc(list, func(a, b experiment.Run) int { return b.Began.Compare(a.Began) })
	return list, nil
}

func readRun(rec record.Record) (run experiment.Run, err error) {
	if err := json.Unmarshal(rec.Data, &run); err != nil {
		return run, problem.Wrap(err, problem.Internal, "chaos.experiment", "the stored form of run %s cannot be read", rec.Key)
	}
	return run, nil
}

func (s *Service) experiment(ctx context.Context, id string) (experiment.Run, int64, error) {
	rec, err := s.Records.GetRecord(ctx, experimentRecords, id)
	if problem.CodeOf(err) == problem.NotFound {
		err = problem.New(problem.NotFound, "chaos.experiment", "there is no run %q of an experiment", id).WithHelp("showrunner chaos experiment list shows them")
	}
	if err != nil {
		return experiment.Run{}, 0, err
	}
	run, err := readRun(rec)
	return run, rec.Version, err
}

func (s *Service) putExperiment(ctx context.Context, version int64, run experiment.Run) error {
	data, err := json.Marshal(run)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "chaos.experiment", "encoding run %s", run.ID)
	}
	short := run
	short.Source, short.Before, short.After = "", nil, nil
	told, err := json.Marshal(short)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "chaos.experiment", "encoding run %s", run.ID)
	}
	event := record.Event{Time: s.Now().UTC(), Type: "chaos.experiment-" + string(run.Status), Application: run.Application, By: run.By, Data: told}
	_, err = s.Records.PutRecord(ctx, record.Record{Collection: experimentRecords, Key: run.ID, Version: version, Data: data}, event)
	return err
}

// changeExperiment changes a run's record, again when another one was faster. change
// answers false when there is nothing to change.
func (s *Service) changeExperiment(ctx context.Context, id string, change func(*experiment.Run) bool) error {
	for {
		run, version, err := s.experiment(ctx, id)
		if err != nil || !change(&run) {
			return err
		}
		if err = s.putExperiment(ctx, version, run); problem.CodeOf(err) == problem.Conflict && ctx.Err() == nil {
			continue
		}
		return err
	}
}
