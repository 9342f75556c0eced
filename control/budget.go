package control

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

const budgetKey = "budget" // in chaosRecords

// ChaosBudget bounds what faults and kills of all applications together may hit at
// once. Each application may have a budget of its own in its pipeline file.
type ChaosBudget struct {
	Percent int       `json:"percent" minimum:"1" maximum:"100"` // of all instances; 100: no limit
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at,omitzero"`
}

// ChaosBudget reads the budget of all applications together.
func (s *Service) ChaosBudget(ctx context.Context, p Principal) (ChaosBudget, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindChaos}); err != nil {
		return ChaosBudget{}, err
	}
	b, _, err := s.budget(ctx)
	return b, err
}

func (s *Service) budget(ctx context.Context) (ChaosBudget, int64, error) {
	rec, err := s.Records.GetRecord(ctx, chaosRecords, budgetKey)
	if problem.CodeOf(err) == problem.NotFound {
		return ChaosBudget{Percent: 100}, 0, nil
	}
	b := ChaosBudget{}
	if err == nil {
		err = json.Unmarshal(rec.Data, &b)
	}
	return b, rec.Version, err
}

// SetChaosBudget changes it. What runs goes on. Errors: invalid, denied.
func (s *Service) SetChaosBudget(ctx context.Context, p Principal, percent int) (ChaosBudget, error) {
	b := ChaosBudget{Percent: percent, By: p.Name, At: s.Now().UTC()}
	return b, s.commit(ctx, p, opChaosBudget, Subject{Kind: KindChaos}, map[string]any{"percent": percent}, func(done record.Event) error {
		if percent < 1 || percent > 100 {
			return problem.New(problem.Invalid, opChaosBudget, "a budget of %d percent is not possible", percent).WithHelp("give a percentage from 1 to 100 of all instances; 100 is no limit")
		}
		data, err := json.Marshal(b)
		if err != nil {
			return problem.Wrap(err, problem.Internal, opChaosBudget, "encoding the budget")
		}
		rec, err := s.Records.GetRecord(ctx, chaosRecords, budgetKey)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
		_, err = s.Records.PutRecord(ctx, record.Record{Collection: chaosRecords, Key: budgetKey, Version: rec.Version, Data: data}, done)
		return err
	})
}

// overBudget says why so many more instances of each application would be too many,
// beside those that faults hit already; "" when they are not. except is a fault that
// does not count. Errors: it cannot be found out.
func (s *Service) overBudget(ctx context.Context, more map[string]int, except string) (string, error) {
	budget, _, err := s.budget(ctx)
	if err != nil {
		return "", err
	}
	own := map[string]int{}
	for application := range more {
		settings, err := s.monkeySettings(ctx, application)
		if err != nil {
			return "", err
		}
		if settings.Budget > 0 && settings.Budget < 100 {
			own[application] = settings.Budget
		}
	}
	if budget.Percent >= 100 && len(own) == 0 {
		return "", nil
	}
	hit, all, wanted := 0, 0, 0
	faults, err := s.faults(ctx)
	if err != nil {
		return "", err
	}
	hitOf := map[string]int{}
	for _, f := range faults {
		if !f.Open() || f.ID == except {
			continue
		}
		for application, n := range f.Hurt {
			hitOf[application] += n
			hit += n
		}
	}
	count, err := s.countInstances(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range count {
		all += n
	}
	for application, n := range more {
		wanted += n
		if percent := own[application]; percent > 0 && (hitOf[application]+n)*100 > percent*count[application] {
			return fmt.Sprintf("the budget of application %s is %d %% of its %d instances: faults hit %d, and this would hit %d more", application, percent, count[application], hitOf[application], n), nil
		}
	}
	if budget.Percent < 100 && (hit+wanted)*100 > budget.Percent*all {
		return fmt.Sprintf("the budget of all chaos is %d %% of %d instances: faults hit %d, and this would hit %d more", budget.Percent, all, hit, wanted), nil
	}
	return "", nil
}

// countInstances counts the instances of each application that have traffic. Errors:
// also when a region does not answer.
func (s *Service) countInstances(ctx context.Context) (map[string]int, error) {
	count := map[string]int{}
	for _, name := range s.Accounts.Names() {
		a, err := s.Accounts.Account(name)
		if err != nil {
			return nil, err
		}
		seen, err := observe(ctx, a, "")
		if err != nil {
			return nil, err
		}
		for region, why := range seen.unreachable {
			return nil, problem.New(problem.Unavailable, opChaosBudget, "region %s does not answer: %s", region, why)
		}
		for _, c := range seen.clusters {
			for _, g := range c.Groups {
				if g.Enabled() && !g.Destroying {
					count[c.Application] += len(g.Instances)
				}
			}
		}
	}
	return count, nil
}
