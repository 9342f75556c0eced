package control

import (
	"context"
	"encoding/json"
	"regexp"
	"time"

	"showrunner/chaos/experiment"
	"showrunner/chaos/toolkit"
	"showrunner/problem"
)

// reportedWithin is how long ago the last report of a run may be that a command carries
// out; after that the command is taken to be gone.
const reportedWithin = 2 * time.Minute

// runIDs are the names of runs that a command may choose.
var runIDs = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,79}$`)

// RecordJournal keeps the journal of a run that a command carries out, in Chaos Toolkit's
// form, or of one that was carried out elsewhere. It is called again as the run goes on,
// and answers with the record, which says whether the run's end was asked for. A run
// that has ended stays as it is; the journal of one that was taken to be gone replaces
// its record. Errors: invalid, conflict (the run is an own experiment), denied.
func (s *Service) RecordJournal(ctx context.Context, p Principal, id string, journal []byte) (run experiment.Run, err error) {
	var j toolkit.Journal
	if err := json.Unmarshal(journal, &j); err != nil {
		return run, problem.Wrap(err, problem.Invalid, opExperimentRecord, "this is no journal of Chaos Toolkit")
	}
	switch {
	case !runIDs.MatchString(id):
		return run, problem.New(problem.Invalid, opExperimentRecord, "%q is no name of a run", id).WithHelp("small letters, digits and hyphens, at most 80")
	case j.Status == "" || j.Start.IsZero() || j.Experiment == nil:
		return run, problem.New(problem.Invalid, opExperimentRecord, "this is no journal of Chaos Toolkit: status, start and experiment belong to one")
	}
	record, err := j.Public().Record(id)
	if err != nil {
		return run, problem.Wrap(err, problem.Invalid, opExperimentRecord, "the experiment of the journal cannot be encoded")
	}
	ctx = s.direct(ctx)
	kept, version, err := s.experiment(ctx, id)
	switch {
	case problem.CodeOf(err) == problem.NotFound:
		record.By, record.Seen = p.Name, s.Now().UTC()
		err = s.perform(ctx, p, opExperimentRecord, Subject{Kind: KindExperiment, Name: id}, map[string]any{"experiment": record.Name}, func() (map[string]any, error) {
			return nil, s.putExperiment(ctx, 0, record)
		})
		return record, err
	case err != nil:
		return run, err
	case kept.Format == "":
		return run, problem.New(problem.Conflict, opExperimentRecord, "run %s is one of an own experiment", id).WithHelp("choose another name")
	}
	if err := s.permit(p, opExperimentRecord, Subject{Kind: KindExperiment, Name: id}); err != nil {
		return run, err
	}
	for {
		if ended := kept.Status != experiment.Running && kept.Owner == ""; ended {
			return kept, nil
		}
		next := record
		next.By, next.Seen, next.StopAsked = kept.By, s.Now().UTC(), kept.StopAsked
		err := s.putExperiment(ctx, version, next)
		if problem.CodeOf(err) != problem.Conflict || ctx.Err() != nil {
			return next, err
		}
		if kept, version, err = s.experiment(ctx, id); err != nil {
			return run, err
		}
	}
}

// unreported marks the record of a run whose command is taken to be gone; a later report
// replaces it.
const unreported = "unreported"

// endUnreported ends the record of a run whose command reports nothing any more.
func (s *Service) endUnreported(ctx context.Context, run experiment.Run) error {
	if s.Now().Sub(run.Seen) < reportedWithin {
		return nil
	}
	err := s.changeExperiment(ctx, run.ID, func(kept *experiment.Run) bool {
		if kept.Status != experiment.Running || s.Now().Sub(kept.Seen) < reportedWithin {
			return false
		}
		kept.Status, kept.Owner, kept.Ended = experiment.Interrupted, unreported, s.Now().UTC()
		kept.Reason = "its command has reported nothing since " + kept.Seen.UTC().Format(time.RFC3339) + "; `showrunner chaos experiment rollback JOURNAL` undoes what it did"
		kept.Skip(s.Now().UTC())
		return true
	})
	if problem.CodeOf(err) == problem.NotFound {
		return nil // another control plane has forgotten it
	}
	return err
}
