package control

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"showrunner/problem"
)

// faultsKept is how long a fault is remembered after its end.
const faultsKept = 30 * 24 * time.Hour

// Faults lists the faults that are remembered, the newest first.
func (s *Service) Faults(ctx context.Context, p Principal) ([]ChaosFault, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindFault}); err != nil {
		return nil, err
	}
	return s.faults(s.direct(ctx))
}

func (s *Service) faults(ctx context.Context) ([]ChaosFault, error) {
	list := []ChaosFault{}
	const page = 200
	for after := ""; ; {
		recs, err := s.Records.ListRecords(ctx, faultRecords, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "chaos.fault", "listing faults")
		}
		for _, rec := range recs {
			after = rec.Key
			var f ChaosFault
			if err := json.Unmarshal(rec.Data, &f); err != nil {
				return nil, problem.Wrap(err, problem.Internal, "chaos.fault", "the stored form of fault %s cannot be read", rec.Key)
			}
			list = append(list, f)
		}
		if len(recs) < page {
			break
		}
	}
	slices.SortStableFunc(list, func(a, b ChaosFault) int { return b.Began.Compare(a.Began) })
	return list, nil
}

// Open tells whether a fault may have an effect.
func (f ChaosFault) Open() bool { return f.State == FaultBegun || f.State == FaultActive }

// UndoFault ends a fault at once. One that has ended is success. Errors: not_found,
// unavailable (its region does not answer: it is undone once that answers, or by the
// region itself when its time is over), denied.
func (s *Service) UndoFault(ctx context.Context, p Principal, id string) (f ChaosFault, err error) {
	ctx = s.direct(ctx)
	err = s.perform(ctx, p, opFaultUndo, Subject{Kind: KindFault, Name: id}, nil, func() (map[string]any, error) {
		f, _, err = s.fault(ctx, id)
		if problem.CodeOf(err) == problem.NotFound {
			return nil, problem.New(problem.NotFound, opFaultUndo, "there is no fault %q", id).WithHelp("showrunner chaos fault list shows them")
		}
		if err != nil || !f.Open() {
			return nil, err
		}
		f, err = s.undo(ctx, f, "undone by "+p.Name)
		return nil, err
	})
	return f, err
}

// undo has the cloud end a fault, verifies that it is gone, and records it.
func (s *Service) undo(ctx context.Context, f ChaosFault, reason string) (ChaosFault, error) {
	err := s.undoInCloud(ctx, f)
	recorded := s.changeFault(context.WithoutCancel(ctx), f.ID, func(kept *ChaosFault) bool {
		if !kept.Open() {
			f = *kept
			return false
		}
		if err != nil {
			changed := kept.Reason != problem.Text(err)
			kept.Reason = problem.Text(err)
			f = *kept
			return changed
		}
		kept.State, kept.Ended, kept.Reason, kept.Owner = FaultUndone, s.Now().UTC(), reason, ""
		f = *kept
		return true
	})
	if err == nil {
		err = recorded
	}
	return f, err
}

func (s *Service) undoInCloud(ctx context.Context, f ChaosFault) error {
	if ofControlPlane(f.Kind) {
		return s.undoInStore(ctx, f)
	}
	a, err := s.Accounts.Account(f.Account)
	if err != nil {
		return err
	}
	if err := a.Undo(ctx, f.Region, f.ID, "undo "+f.ID); err != nil {
		return err
	}
	active, err := a.ActiveFaults(ctx, f.Region)
	if err != nil {
		return err
	}
	for _, other := range active {
		if other.ID == f.ID {
			return problem.New(problem.Unavailable, opFaultUndo, "region %s still has fault %s", f.Region, f.ID)
		}
	}
	return nil
}

// tendFaults ends the faults whose time is over, those that a control plane began
// that is gone, and all of them while the lever is pulled. It returns when the next
// one is over.
func (s *Service) tendFaults(ctx context.Context) (next time.Time, err error) {
	ctx = s.direct(ctx)
	list, err := s.faults(ctx)
	if err != nil {
		return next, err
	}
	lever, _, leverErr := s.lever(ctx)
	var problems []error
	active := s.activeFaults(ctx, list)
	for _, f := range list {
		if !f.Open() {
			if s.Now().Sub(f.Ended) > faultsKept {
				problems = append(problems, s.forgetFault(ctx, f.ID))
			}
			continue
		}
		reason := ""
		switch {
		case !f.Until.After(s.Now()):
			reason = "its time was over"
		case leverErr == nil && lever.Stopped:
			reason = "all chaos is stopped: " + lever.text()
		case s.abandoned(ctx, f):
			reason = "the control plane that began it is gone"
		case f.Asked && s.StoreFaults != nil && s.StoreFaults.Has(f.ID):
			reason = "it was asked for at another control plane"
		case f.State == FaultActive && active[f.Account+"/"+f.Region] != nil && !slices.Contains(active[f.Account+"/"+f.Region], f.ID):
			reason = "its region has undone it: it restarted"
		default:
			next = earlier(next, f.Until)
		}
		if reason != "" {
			if _, err := s.undo(ctx, f, reason); err != nil {
				problems = append(problems, err)
				next = earlier(next, s.Now().Add(undoAgain))
			}
		}
		if s.StoreFaults != nil && s.StoreFaults.Has(f.ID) {
			next = earlier(next, s.Now().Add(storeFaultLook))
		}
	}
	return next, problem.Together(slices.DeleteFunc(problems, func(err error) bool { return err == nil })...)
}

// undoAgain is how soon an undo that failed is tried again.
const undoAgain = 2 * time.Second

// earlier is the earlier of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// activeFaults are the faults that each region has, by account and region, of the
// regions that answer and have an open fault in the list.
func (s *Service) activeFaults(ctx context.Context, list []ChaosFault) map[string][]string {
	found := map[string][]string{}
	for _, f := range list {
		key := f.Account + "/" + f.Region
		if _, asked := found[key]; asked || !f.Open() || ofControlPlane(f.Kind) {
			continue
		}
		found[key] = nil
		a, err := s.Accounts.Account(f.Account)
		if err != nil {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, answerWithin)
		active, err := a.ActiveFaults(bounded, f.Region)
		cancel()
		if err != nil {
			continue // it is asked again
		}
		found[key] = []string{}
		for _, one := range active {
			found[key] = append(found[key], one.ID)
		}
	}
	return found
}

// abandoned tells whether the control plane that began a fault is gone.
func (s *Service) abandoned(ctx context.Context, f ChaosFault) bool {
	if s.Replicas == nil || f.Owner == "" || f.Owner == s.Replicas.Owner() {
		return false
	}
	lives, err := s.Replicas.Lives(ctx, f.Owner)
	return err == nil && !lives
}

func (s *Service) forgetFault(ctx context.Context, id string) error {
	_, version, err := s.fault(ctx, id)
	if err == nil {
		err = s.Records.DeleteRecord(ctx, faultRecords, id, version)
	}
	if code := problem.CodeOf(err); code == problem.NotFound || code == problem.Conflict {
		return nil // another control plane was faster
	}
	return err
}
