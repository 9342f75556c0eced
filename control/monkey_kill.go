package control

import (
	"context"
	"time"

	"showrunner/chaos/monkey"
	"showrunner/cloud"
	"showrunner/problem"
	"showrunner/store/record"
)

// KillMetrics counts kills.
type KillMetrics interface {
	// CountKill adds one to the kills of an application with this outcome.
	CountKill(ctx context.Context, k ChaosKill) error
}

// byMonkey is the principal of scheduled kills.
var byMonkey = Principal{Name: "chaos monkey", Via: ViaChaos}

// carryOut decides a scheduled kill whose time has come, records the intent, ends
// the instance and records the outcome. Called again after a crash at any point it
// goes on where it was, and ends no second instance.
func (s *Service) carryOut(ctx context.Context, application, id string) error {
	var begun *ChaosKill
	err := s.changeMonkey(ctx, application, func(st *monkeyState) ([]record.Event, bool, error) {
		begun = nil
		k := st.kill(id)
		if k == nil || k.Outcome != KillScheduled {
			return nil, false, nil // another control plane was faster
		}
		if err := s.begin(ctx, st, k); err != nil {
			return nil, false, err
		}
		if k.Outcome == KillBegun {
			copied := *k
			begun = &copied
		}
		return []record.Event{s.killEvent(*k)}, true, nil
	})
	if err != nil || begun == nil {
		return err
	}
	return s.finishKill(ctx, *begun, false)
}

// begin decides a kill, and writes the decision into it.
func (s *Service) begin(ctx context.Context, st *monkeyState, k *ChaosKill) error {
	seed, err := s.seed(ctx)
	if err != nil {
		return err
	}
	sit := s.situation(ctx, *k)
	sit.Earlier = st.past()
	d := monkey.Decide(sit, seed.Chance(k.Day, k.ID, "victim"))
	now := s.Now().UTC()
	k.Check, k.Reason, k.Victim = d.Check, d.Reason, d.Victim
	k.Eligible = d.Eligible()
	switch d.Outcome {
	case monkey.Kills:
		k.Outcome, k.Begun, k.Owner = KillBegun, now, s.session()
	case monkey.DryRuns:
		k.Outcome, k.Begun, k.Ended = KillDryRun, now, now
	case monkey.Skipped:
		k.Outcome, k.Ended = KillSkipped, now
	default:
		k.Outcome, k.Ended = KillRefused, now
	}
	if k.Outcome != KillBegun && k.Outcome != KillDryRun {
		k.Victim = monkey.Instance{}
	}
	return nil
}

func (s *Service) session() string {
	if s.Replicas == nil {
		return ""
	}
	return s.Replicas.Owner()
}

// killTimeout bounds how long the cloud is waited for.
const killTimeout = 30 * time.Second

// giveUpAfter is how long a cloud that does not answer is asked again.
const giveUpAfter = 10 * time.Minute

// finishKill ends the instance of a scheduled kill that was begun, and records the
// outcome. When the cloud does not say whether it ended the instance, the kill stays
// begun, and is finished later with the same key. again says that it was begun
// before: the instance may have ended.
func (s *Service) finishKill(ctx context.Context, k ChaosKill, again bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	subject := Subject{Kind: KindInstance, Name: k.Victim.ID, Application: k.Application, Account: k.Victim.Account}
	failure := s.perform(ctx, byMonkey, opChaosKill, subject, k.details(), func() (map[string]any, error) { return nil, s.endVictim(ctx, k, again) })
	_, err := s.recordKill(ctx, k, failure)
	return err
}

// details are what the audit log keeps of a kill.
func (k ChaosKill) details() map[string]any {
	return map[string]any{"kill": k.ID, "group": k.Group, "instance": k.Victim.ID, "cluster": k.Victim.Name, "region": k.Victim.Region, "eligible": k.Eligible, "forced": k.Forced}
}

// endVictim ends the chosen instance. The lever is read once more: one that was
// pulled meanwhile wins, unless the instance has ended already.
func (s *Service) endVictim(ctx context.Context, k ChaosKill, again bool) error {
	lever, _, err := s.lever(ctx)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, opChaosKill, "whether all chaos is stopped")
	}
	a, err := s.Accounts.Account(k.Victim.Account)
	if err != nil {
		return err
	}
	if lever.Stopped {
		if again {
			if gone, err := victimGone(ctx, a, k); err != nil || gone {
				return err
			}
		}
		return problem.New(problem.Precondition, opChaosKill, "all chaos is stopped: %s", lever.text())
	}
	guard := cloud.Guard{LastOne: true}
	if !k.Forced {
		guard.MinServing = k.Victim.Minimum
	}
	return a.Terminate(ctx, k.Victim.Region, k.Victim.ID, cloud.TerminateOptions{Kill: true, Guard: guard}, "chaos "+k.ID)
}

// victimGone tells whether an instance has ended, or is ending.
func victimGone(ctx context.Context, a *cloud.Account, k ChaosKill) (bool, error) {
	groups, err := a.ServerGroups(ctx, k.Victim.Region, k.Victim.Name)
	if err != nil {
		return false, err
	}
	for _, g := range groups {
		for _, i := range g.Instances {
			if i.ID == k.Victim.ID {
				return i.Lifecycle == cloud.Terminating, nil
			}
		}
	}
	return true, nil
}

// recordKill records how a kill that was begun has ended. A failure of which it is
// not known what it left leaves the kill begun, and is returned.
func (s *Service) recordKill(ctx context.Context, k ChaosKill, failure error) (ChaosKill, error) {
	outcome, reason := Killed, ""
	switch code := problem.CodeOf(failure); {
	case failure == nil:
	case code == problem.Unavailable || code == problem.Internal || ctx.Err() != nil:
		if s.Now().Sub(k.Begun) < giveUpAfter {
			return k, failure
		}
		outcome, reason = KillFailed, "it is not known whether the instance ended: "+problem.Text(failure)
	default:
		outcome, reason = KillFailed, problem.Text(failure)
	}
	recorded := false
	err := s.changeMonkey(ctx, k.Application, func(st *monkeyState) ([]record.Event, bool, error) {
		kept := st.kill(k.ID)
		if kept == nil || kept.Outcome != KillBegun {
			return nil, false, nil
		}
		kept.Outcome, kept.Ended, kept.Owner = outcome, s.Now().UTC(), ""
		if reason != "" {
			kept.Reason = reason
		}
		k, recorded = *kept, true
		return []record.Event{s.killEvent(k)}, true, nil
	})
	if err == nil && s.KillMetrics != nil && recorded {
		if err := s.KillMetrics.CountKill(ctx, k); err != nil {
			s.Log.Warn("a kill was not counted in the metrics", "kill", k.ID, "error", err)
		}
	}
	return k, err
}

// ChaosRequest asks for a kill on demand.
type ChaosRequest struct {
	Application string `json:"application"`
	Cluster     string `json:"cluster,omitempty"` // empty: any of the application
	Account     string `json:"account,omitempty"` // empty: the local one
	Region      string `json:"region,omitempty"`  // empty: any
	Forced      bool   `json:"force,omitempty"`   // also below the least capacity; never the last that serves
	DryRun      bool   `json:"dryRun,omitempty"`  // say what would be chosen, and end nothing
}

// ChaosNow is a kill on demand with how its instance was chosen.
type ChaosNow struct {
	Kill    ChaosKill       `json:"kill"`
	Choices []monkey.Choice `json:"choices"`
}

// KillNow ends a random instance at once: every check of a scheduled kill applies,
// except for the hours and the minimum between kills. The answer explains the
// choice, also where nothing was ended. Errors: not_found, precondition (a check does
// not allow it), denied.
func (s *Service) KillNow(ctx context.Context, p Principal, r ChaosRequest, key string) (answer ChaosNow, err error) {
	if r.Account == "" {
		r.Account = DefaultAccount
	}
	answer.Choices = []monkey.Choice{}
	subject := applicationSubject(r.Application)
	subject.Account = r.Account
	details := map[string]any{"cluster": r.Cluster, "region": r.Region, "forced": r.Forced, "dryRun": r.DryRun}
	err = s.perform(ctx, p, opChaosKill, subject, details, func() (map[string]any, error) {
		if err := s.knowChaosTarget(ctx, p, r); err != nil {
			return nil, err
		}
		if err := s.chooseNow(ctx, p, r, key, &answer); err != nil || r.DryRun {
			return nil, err
		}
		return s.endChosen(ctx, &answer)
	})
	return answer, err
}

// chooseNow makes the checks and the choice of a kill on demand.
func (s *Service) chooseNow(ctx context.Context, p Principal, r ChaosRequest, key string, answer *ChaosNow) error {
	group := monkey.Group{Grouping: monkey.App, Application: r.Application, Account: r.Account, Region: r.Region, Cluster: r.Cluster}
	if r.Cluster != "" {
		group.Grouping = monkey.ByCluster
	}
	now := s.Now().UTC()
	k := ChaosKill{ID: "now " + key, Application: r.Application, Group: group.String(), GroupOf: group, Day: monkey.DateOf(now, time.UTC), Due: now, OnDemand: true, By: p.Name, Forced: r.Forced}
	seed, err := s.seed(ctx)
	if err != nil {
		return err
	}
	d := monkey.Decide(s.situation(ctx, k), seed.Chance(k.Day, k.ID, "victim"))
	answer.Choices = append(answer.Choices, d.Choices...)
	k.Eligible, k.Check, k.Reason = d.Eligible(), d.Check, d.Reason
	switch {
	case d.Outcome != monkey.Kills:
		k.Outcome, k.Ended = KillRefused, now
		err = problem.New(problem.Precondition, opChaosKill, "nothing was ended: %s", d.Reason).WithHelp("%s", chaosHelp(d.Check))
	case r.DryRun:
		k.Outcome, k.Victim, k.Begun, k.Ended = KillDryRun, d.Victim, now, now
	default:
		k.Outcome, k.Victim, k.Begun, k.Owner = KillBegun, d.Victim, now, s.session()
	}
	answer.Kill = k
	return err
}

// endChosen records the intent of a kill on demand, ends the instance, and records
// the outcome. A request that is repeated with its key ends no second instance.
func (s *Service) endChosen(ctx context.Context, answer *ChaosNow) (map[string]any, error) {
	again := false
	err := s.changeMonkey(ctx, answer.Kill.Application, func(st *monkeyState) ([]record.Event, bool, error) {
		if kept := st.kill(answer.Kill.ID); kept != nil {
			answer.Kill, again = *kept, true
			return nil, false, nil
		}
		st.Kills = append(st.Kills, answer.Kill)
		return []record.Event{s.killEvent(answer.Kill)}, true, nil
	})
	if err != nil || answer.Kill.Outcome != KillBegun {
		return answer.Kill.details(), err
	}
	defer s.underWay(answer.Kill.ID)()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	failure := s.endVictim(ctx, answer.Kill, again)
	k, err := s.recordKill(ctx, answer.Kill, failure)
	answer.Kill = k
	if err == nil {
		err = failure
	}
	return k.details(), err
}

func chaosHelp(check string) string {
	switch check {
	case "stop":
		return "showrunner chaos release lets chaos start again"
	case "freeze":
		return "showrunner freeze list shows the freezes"
	case "instances":
		return "showrunner chaos monkey eligible APP shows each instance; --force allows less than the least capacity, never the last instance that serves"
	}
	return "try again when that has changed"
}

// knowChaosTarget refuses an application, an account, a cluster or a region that is
// not there, with what was probably meant.
func (s *Service) knowChaosTarget(ctx context.Context, p Principal, r ChaosRequest) error {
	if _, err := s.Accounts.Account(r.Account); err != nil {
		return err
	}
	if r.Region != "" {
		if err := s.knowRegions(ctx, r.Account, r.Region); err != nil {
			return err
		}
	}
	if r.Cluster != "" {
		_, c, err := s.cluster(ctx, p, r.Account, r.Cluster)
		if err != nil {
			return err
		}
		if c.Application != r.Application {
			return problem.New(problem.NotFound, opChaosKill, "cluster %s belongs to application %s, not %s", r.Cluster, c.Application, r.Application)
		}
		return nil
	}
	list, err := s.Clusters(ctx, p, r.Account, r.Application, "")
	if err == nil && len(list) == 0 {
		if err := s.KnownApplication(ctx, r.Application); err != nil {
			return err
		}
		return problem.New(problem.Precondition, opChaosKill, "application %s has no cluster in account %s", r.Application, r.Account).WithHelp("deploy it first")
	}
	return err
}
