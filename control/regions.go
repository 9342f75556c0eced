package control

import (
	"context"
	"time"

	"showrunner/build/buildspec"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
)

// RegionStatus is one region of an account, or why it cannot be asked.
type RegionStatus struct {
	Account string `json:"account"`
	cloud.Region
	// Facts are what the cloud can do there; nil when it does not say.
	Facts *cloud.Facts `json:"facts,omitempty"`
}

// Regions lists the regions of every account.
func (s *Service) Regions(ctx context.Context, p Principal) ([]RegionStatus, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindRegion}); err != nil {
		return nil, err
	}
	return s.regions(ctx)
}

func (s *Service) regions(ctx context.Context) ([]RegionStatus, error) {
	list := []RegionStatus{}
	for _, name := range s.Accounts.Names() {
		a, err := s.Accounts.Account(name)
		if err != nil {
			return nil, err
		}
		regions, err := a.Regions(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range regions {
			status := RegionStatus{Account: name, Region: r}
			bounded, cancel := asking(ctx, r)
			if facts, err := a.Facts(bounded, r.Name); err == nil {
				status.Facts = &facts
			}
			cancel()
			list = append(list, status)
		}
	}
	return list, nil
}

// Surroundings are what a pipeline file is checked against where these regions are:
// the accounts, their regions, and what their clouds can do.
func Surroundings(regions []RegionStatus) pipeline.Surroundings {
	around := pipeline.Surroundings{Accounts: map[string][]string{}, Buildspec: buildspec.Check}
	facts := map[[2]string]*cloud.Facts{}
	for _, r := range regions {
		around.Accounts[r.Account] = append(around.Accounts[r.Account], r.Name)
		facts[[2]string{r.Account, r.Name}] = r.Facts
	}
	around.Deploy = func(account, region string, d pipeline.Deploy) string {
		f := facts[[2]string{account, region}]
		if f == nil {
			return ""
		}
		if failure := rollout.Unsupported(d.Strategy, cloud.ProcessWorkload, region, *f); failure != nil {
			return failure.Cause
		}
		return ""
	}
	return around
}

// RegionProcesses takes the region processes of this machine down and up again.
type RegionProcesses interface {
	// TakeDown returns when everything in the region has ended; with kill as an
	// outage does, without asking the process first. The region stays down until BringUp.
	TakeDown(ctx context.Context, region, reason string, kill bool) error
	// BringUp does not wait until the region serves.
	BringUp(ctx context.Context, region string) error
}

// RegionStop takes a region of the local cloud down.
type RegionStop struct {
	Reason string `json:"reason"`
	Kill   bool   `json:"kill,omitempty" doc:"end it as an outage does, without asking it first"`
}

// StopRegion takes a region down until StartRegion. Errors: invalid (no reason),
// not_found, precondition (no other region serves), unavailable, denied.
func (s *Service) StopRegion(ctx context.Context, p Principal, region string, r RegionStop) error {
	return s.perform(ctx, p, opRegionStop, regionSubject(region), map[string]any{"reason": r.Reason, "kill": r.Kill}, func() (map[string]any, error) {
		if r.Reason == "" {
			return nil, problem.New(problem.Invalid, opRegionStop, "no reason is given").WithHelp("say why the region is stopped, for the people who find it down")
		}
		if err := s.localRegion(ctx, opRegionStop, region, true); err != nil {
			return nil, err
		}
		return nil, s.RegionProcesses.TakeDown(ctx, region, r.Reason, r.Kill)
	})
}

// StartRegion ends a StopRegion. Errors: not_found, unavailable, denied.
func (s *Service) StartRegion(ctx context.Context, p Principal, region string) error {
	return s.perform(ctx, p, opRegionStart, regionSubject(region), nil, func() (map[string]any, error) {
		if err := s.localRegion(ctx, opRegionStart, region, false); err != nil {
			return nil, err
		}
		return nil, s.RegionProcesses.BringUp(ctx, region)
	})
}

func regionSubject(name string) Subject {
	return Subject{Kind: KindRegion, Name: name, Account: DefaultAccount}
}

// localRegion finds a region of the local cloud; with another, it also checks that
// another one serves.
func (s *Service) localRegion(ctx context.Context, op, region string, another bool) error {
	if s.RegionProcesses == nil {
		return problem.New(problem.Precondition, op, "this control plane runs no regions")
	}
	a, err := s.Accounts.Account(DefaultAccount)
	if err != nil {
		return err
	}
	regions, err := a.Regions(ctx)
	if err != nil {
		return err
	}
	var known []string
	found, others := false, false
	for _, r := range regions {
		known = append(known, r.Name)
		found = found || r.Name == region
		others = others || r.Name != region && r.Healthy
	}
	switch {
	case !found:
		return problem.New(problem.NotFound, op, "there is no region %q", region).WithHelp("there are: %s", join(known))
	case another && !others:
		return problem.New(problem.Precondition, op, "no region besides %s serves", region).WithHelp("end everything by stopping `showrunner up`, or bring another region back first")
	}
	return nil
}

// EdgeRegion is what the edge knows of one region.
type EdgeRegion struct {
	Name    string    `json:"name"`
	Address string    `json:"address,omitempty"` // where it takes requests
	Healthy bool      `json:"healthy"`
	Since   time.Time `json:"since"` // of Healthy's present value
	// Weight is the share of requests relative to the other regions; without one
	// the order of preference decides, and 0 keeps requests away while another region serves.
	Weight   *float64 `json:"weight,omitempty"`
	Requests uint64   `json:"requests"`
	Errors   uint64   `json:"errors"` // not answered, or answered 5xx
}

// Edge is the process that users' requests go through first.
type Edge interface {
	// Regions lists the regions in the order of preference. Errors: unavailable.
	Regions(ctx context.Context) ([]EdgeRegion, error)
	// SetWeights replaces the weights of the regions named, all or none; nil takes
	// one away. Errors: invalid, unavailable.
	SetWeights(ctx context.Context, weights map[string]*float64) error
}

// EdgeRegions says how the edge spreads requests over regions. Errors: unavailable.
func (s *Service) EdgeRegions(ctx context.Context, p Principal) ([]EdgeRegion, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindEdge}); err != nil {
		return nil, err
	}
	return s.Edge.Regions(ctx)
}

// SetEdgeWeights changes how the edge spreads requests, and answers with how it
// does now. Errors: invalid, unavailable, denied.
func (s *Service) SetEdgeWeights(ctx context.Context, p Principal, weights map[string]*float64) (list []EdgeRegion, err error) {
	err = s.perform(ctx, p, opEdge, Subject{Kind: KindEdge}, map[string]any{"weights": weights}, func() (map[string]any, error) {
		if len(weights) == 0 {
			return nil, problem.New(problem.Invalid, opEdge, "no weight is given").WithHelp(`name a region and a weight, such as {"us-west-2": 0}, or null to take a weight away`)
		}
		if err := s.Edge.SetWeights(ctx, weights); err != nil {
			return nil, err
		}
		list, err = s.Edge.Regions(ctx)
		return nil, err
	})
	return list, err
}
