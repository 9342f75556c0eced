package ecs

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"showrunner/cloud"
	"showrunner/problem"
)

// Load is what the tasks of a service do now.
type Load struct {
	Cluster, Service string
	Fleet            string // the cluster of its server groups
	Desired, Running int
	CPU, Memory      float64 // percent of what its tasks reserve, on average; NaN when nothing is known
}

// Loads are those of the services of a region that are active.
func (s *Service) Loads(ctx context.Context, region string) ([]Load, error) {
	list, err := s.list(ctx, region, "")
	if err != nil {
		return nil, err
	}
	groups, err := s.groups(ctx, region, len(list))
	if err != nil {
		return nil, err
	}
	var out []Load
	for _, v := range list {
		if v.Status != active {
			continue
		}
		l := Load{Cluster: v.Cluster, Service: v.Name, Fleet: v.Fleet, Desired: v.Desired, Running: total(v.tallies(groups)).running}
		l.CPU, l.Memory, err = s.utilization(ctx, region, v, groups)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// utilization is what the tasks of a service that serve use of what they reserve.
func (s *Service) utilization(ctx context.Context, region string, v service, groups []cloud.ServerGroup) (cpu, memory float64, err error) {
	var tasks, limited, cores, bytes float64
	for _, d := range v.Deployments {
		at := slices.IndexFunc(groups, func(g cloud.ServerGroup) bool { return d.Group != "" && g.Name == d.Group })
		if at < 0 {
			continue
		}
		reserved, err := s.processors(ctx, region, d.Definition)
		if err != nil {
			return 0, 0, err
		}
		for _, i := range groups[at].Instances {
			if !i.Serving() {
				continue
			}
			used := i.CPU / reserved
			if v.launchType() == "FARGATE" { // where a task cannot use more than it reserves
				used = min(used, 1)
			}
			tasks, cores = tasks+1, cores+used
			if d.Launch.Memory > 0 {
				limited, bytes = limited+1, bytes+float64(i.Memory)/float64(d.Launch.Memory<<20)
			}
		}
	}
	cpu, memory = math.NaN(), math.NaN()
	if tasks > 0 {
		cpu = 100 * cores / tasks
	}
	if limited > 0 {
		memory = 100 * bytes / limited
	}
	return cpu, memory, nil
}

// processors is how many processors a task of a definition reserves; one where it does
// not say.
func (s *Service) processors(ctx context.Context, region, name string) (float64, error) {
	d, err := s.definition(ctx, region, name)
	if problem.CodeOf(err) == problem.NotFound { // it was deleted meanwhile
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	units := float64(d.Data.Objects("containerDefinitions")[0].Number("cpu", 0))
	if text := d.Data.Text("cpu"); text != "" {
		number, inProcessors := strings.CutSuffix(strings.ToLower(strings.ReplaceAll(text, " ", "")), "vcpu")
		if n, err := strconv.ParseFloat(number, 64); err == nil {
			if units = n; inProcessors {
				units *= 1024
			}
		}
	}
	if units <= 0 {
		return 1, nil
	}
	return units / 1024, nil
}
