package chaos

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
)

// claim chooses the region, checks that the cloud and the situation allow the
// experiment, and waits until nothing else changes the cluster. Nothing was made
// before it ends.
func (t *trial) claim(ctx context.Context) (time.Duration, error) {
	if t.st.Region == "" {
		if err := t.choose(ctx); err != nil || t.st.Failure != nil || t.st.Note != "" {
			return 0, err
		}
		return immediately, nil
	}
	if why := t.Faults.Held(ctx, t.in.Application); why != "" {
		t.failed("CHAOS_HELD", "nothing was begun: "+why, "run the pipeline again when that is over; showrunner chaos status says whether all chaos is stopped")
		return 0, t.Claims.Yield(ctx, t.account.Name(), t.config.Cluster, t.regions(), t.in.Key)
	}
	for _, c := range t.config.Stops {
		if why := t.Faults.StopMet(ctx, c); why != "" {
			t.failed("CHAOS_HELD", "nothing was begun: "+why, "run the pipeline again when that is over")
			return 0, t.Claims.Yield(ctx, t.account.Name(), t.config.Cluster, t.regions(), t.in.Key)
		}
	}
	fresh, other, err := t.Claims.Take(ctx, t.account.Name(), t.config.Cluster, t.regions(), t.in.Key)
	switch {
	case err != nil:
		return 0, err
	case other != nil:
		t.waits = fmt.Sprintf("waits for execution %s, whose stage %s changes %s", other.Execution, other.Stage, t.config.Cluster)
		return second, nil
	case fresh:
		return immediately, nil // the claim is saved before the cluster is looked at
	}
	groups, err := t.account.ServerGroups(ctx, t.st.Region, t.config.Cluster)
	if err != nil {
		return 0, err
	}
	for _, g := range groups {
		t.st.Before = append(t.st.Before, g.Name)
	}
	t.st.Step = stepMake
	return immediately, nil
}

// choose finds the region, and plans the faults.
func (t *trial) choose(ctx context.Context) error {
	all, err := t.account.Regions(ctx)
	if err != nil {
		return err
	}
	region := ""
	for _, r := range all {
		if t.config.Region != "" && r.Name != t.config.Region || !r.Healthy {
			continue
		}
		groups, err := t.account.ServerGroups(ctx, r.Name, t.config.Cluster)
		if err != nil {
			return err
		}
		if serving(groups) > 0 {
			region = r.Name
			break
		}
	}
	if region == "" {
		where := "no region"
		if t.config.Region != "" {
			where = "not in " + t.config.Region
		}
		cause := fmt.Sprintf("cluster %s serves in %s, so there is no traffic of which the experiment could have a share", t.config.Cluster, where)
		if t.judge.WhenNoData == "pass" {
			t.st.Note = cause
			t.say("%s; judge.whenNoData lets it pass", cause)
			return nil
		}
		t.failed("CHAOS_NO_DATA", cause, "deploy a first version without this stage, or set judge.whenNoData: pass")
		return nil
	}
	facts, err := t.account.Facts(ctx, region)
	if err != nil {
		return err
	}
	if why := cannot(facts, t.config); why != "" {
		t.failed("CLOUD_CANNOT", region+": "+why, "choose another account, or another share")
		return nil
	}
	t.st.Region, t.st.Latencies = region, facts.Counts.Latencies
	return t.plan(ctx, all)
}

// cannot says why a cloud cannot carry the experiment out.
func cannot(f cloud.Facts, c pipeline.Experiment) string {
	switch {
	case f.AllOrNothing || f.MaxInTraffic > 0 && f.MaxInTraffic < 3:
		return "this cloud cannot have three versions in traffic at once"
	case f.Resolution > 0 && c.Share < f.Resolution:
		return fmt.Sprintf("this cloud sets shares in steps of %g %%, and each group is to get %g %%", f.Resolution, c.Share)
	case f.Counts == nil:
		return "this cloud counts no requests, so there is nothing to compare"
	}
	return ""
}

// plan lists the faults: those of calls to a service in each region that has it.
func (t *trial) plan(ctx context.Context, all []cloud.Region) error {
	lasts := pipeline.Duration(time.Duration(t.config.For) + longest)
	add := func(region string, f cloud.Fault) {
		sum := sha256.Sum256([]byte(t.key(fmt.Sprint("fault/", len(t.st.Planned)))))
		f.ID = string(f.Kind) + "-" + hex.EncodeToString(sum[:6])
		t.st.Planned = append(t.st.Planned, Fault{Account: t.config.Account, Region: region, Fault: f})
	}
	for _, f := range t.config.Faults {
		fault := cloud.Fault{Kind: cloud.FaultKind(f.Kind), Cluster: t.config.Cluster, Duration: lasts, Latency: f.Latency, Jitter: f.Jitter, Status: f.Status, Bandwidth: int64(f.Bandwidth),
			Percent: f.Percent, Path: f.Path, Header: f.Header}
		if f.To == "" {
			add(t.st.Region, fault)
			continue
		}
		fault.Cluster, fault.At = f.To, cloud.FaultAtBalancer
		found := false
		for _, r := range all {
			if !r.Healthy {
				continue
			}
			groups, err := t.account.ServerGroups(ctx, r.Name, f.To)
			if err != nil {
				return err
			}
			if len(groups) > 0 {
				found = true
				add(r.Name, fault)
			}
		}
		if !found {
			t.failed("CHAOS_NO_DEPENDENCY", fmt.Sprintf("the service %s is not there: no region has a cluster of that name", f.To), "name the cluster that the version calls; showrunner clusters lists them")
		}
	}
	return nil
}

// longest is by how much a fault may outlast the comparison, should nobody be there to
// undo it: the cloud does that then.
const longest = 30 * time.Second

// make makes both groups, without traffic.
func (t *trial) make(ctx context.Context) (time.Duration, error) {
	spec, err := t.spec(ctx)
	if err != nil || t.st.Failure != nil {
		return immediately, err
	}
	for name, group := range map[string]*string{"control": &t.st.Control, "experiment": &t.st.Test} {
		if *group != "" {
			continue
		}
		made, err := t.account.CreateServerGroup(ctx, t.st.Region, spec, t.key(name))
		if err != nil {
			if permanent(err) {
				t.failed("CHAOS_NOT_MADE", fmt.Sprintf("%s: the %s group cannot be made: %s", t.st.Region, name, problem.Text(err)), cmp.Or(problem.HelpOf(err), "the cause has the answer of the cloud"))
				return immediately, nil
			}
			return 0, err
		}
		*group = made.Name
	}
	t.say("%s: %s is the control group, %s the experiment group", t.st.Region, t.st.Control, t.st.Test)
	t.st.Step, t.st.Since = stepHealthy, t.Now().UTC()
	return immediately, nil
}

func permanent(err error) bool {
	code := problem.CodeOf(err)
	return code != problem.Unavailable && code != problem.Internal && code != ""
}

// spec is what both groups run. Secrets are resolved here, at the last moment.
func (t *trial) spec(ctx context.Context) (cloud.ServerGroupSpec, error) {
	c := t.config
	ref, ok := t.in.Artifacts[c.Artifact]
	if !ok {
		t.failed("NO_ARTIFACT", fmt.Sprintf("no earlier stage made the artifact %q", c.Artifact), "check the build's artifacts; a secondary one is named stage.identifier")
		return cloud.ServerGroupSpec{}, nil
	}
	env := make(map[string]string, len(c.Env))
	for name, value := range c.Env {
		expanded, err := t.in.Secrets.Expand(ctx, value)
		if err != nil {
			return cloud.ServerGroupSpec{}, err
		}
		env[name] = expanded
	}
	n := max(c.Instances, 1)
	return cloud.ServerGroupSpec{Application: t.in.Application, Cluster: c.Cluster, Version: t.in.Version, Workload: cloud.Workload{Process: &cloud.Process{Artifact: ref, Command: c.Command}},
		Env: cloud.Values(env), Health: c.Health, Capacity: pipeline.Capacity{Min: n, Desired: n, Max: n}, StopTimeout: time.Duration(c.StopTimeout), Limits: c.Limits, Traffic: c.Traffic,
		Execution: t.in.Key.Execution}, nil
}

// healthy waits until all instances of both groups serve.
func (t *trial) healthy(ctx context.Context) (time.Duration, error) {
	groups, err := t.account.ServerGroups(ctx, t.st.Region, t.config.Cluster)
	if err != nil {
		return 0, err
	}
	var missing []string
	var evidence []string
	for _, name := range []string{t.st.Control, t.st.Test} {
		g, ok := find(groups, name)
		if !ok || g.Serving() < g.Capacity.Desired {
			missing = append(missing, name)
		}
		if f := g.LastFailure; f != nil {
			evidence = append(evidence, name+": "+f.Cause)
			evidence = append(evidence, f.LastLog...)
		}
	}
	limit := t.st.Since.Add(rollout.DefaultTimeout(t.config.Health, nil))
	switch {
	case len(missing) == 0:
		t.st.Step = stepDivide
		return immediately, nil
	case t.Now().After(limit):
		slices.Sort(evidence)
		t.failed("HEALTH_TIMEOUT", fmt.Sprintf("%s: %s did not become healthy in time", t.st.Region, strings.Join(missing, " and ")), "showrunner logs INSTANCE shows what it wrote", slices.Compact(evidence)...)
		return immediately, nil
	}
	t.waits, t.until = "waits for the instances of both groups", limit
	return look, nil
}

// divide gives each of both groups its share of the traffic.
func (t *trial) divide(ctx context.Context) (time.Duration, error) {
	if t.st.Weights == nil {
		groups, err := t.account.ServerGroups(ctx, t.st.Region, t.config.Cluster)
		if err != nil {
			return 0, err
		}
		t.st.Weights = map[string]float64{}
		for _, g := range groups {
			if g.Weight > 0 {
				t.st.Weights[g.Name] = g.Weight
			}
		}
		if len(t.st.Weights) == 0 {
			t.failed("CHAOS_NO_DATA", fmt.Sprintf("%s: nothing of cluster %s serves any more", t.st.Region, t.config.Cluster), "deploy a version first")
		}
		return immediately, nil // saved before they are changed
	}
	weights, total := map[string]float64{t.st.Control: t.config.Share, t.st.Test: t.config.Share}, 0.0
	for _, w := range t.st.Weights {
		total += w
	}
	for name, w := range t.st.Weights {
		weights[name] = w / total * (100 - 2*t.config.Share)
	}
	if err := t.account.SetWeights(ctx, t.st.Region, t.config.Cluster, weights, cloud.Guard{}, t.key("divide")); err != nil {
		if permanent(err) {
			t.failed("CHAOS_NOT_MADE", fmt.Sprintf("%s: the traffic cannot be divided: %s", t.st.Region, problem.Text(err)), cmp.Or(problem.HelpOf(err), "the cause has the answer of the cloud"))
			return immediately, nil
		}
		return 0, err
	}
	t.st.Step = stepInject
	return immediately, nil
}

// inject begins the faults, one a call.
func (t *trial) inject(ctx context.Context) (time.Duration, error) {
	if t.st.Begun == len(t.st.Planned) {
		t.st.Step, t.st.Began = stepMeasure, t.Now().UTC()
		return immediately, nil
	}
	f := t.st.Planned[t.st.Begun]
	f.Group = t.st.Test
	if err := t.Faults.Begin(ctx, t.in.StartedBy, t.in.Key.Execution, f); err != nil {
		if permanent(err) {
			t.failed("CHAOS_REFUSED", fmt.Sprintf("%s: the fault %s was refused: %s", f.Region, f.Kind, problem.Text(err)), cmp.Or(problem.HelpOf(err), "run the pipeline again when the check that refused it allows the fault"))
			return immediately, nil
		}
		return 0, err
	}
	t.say("%s: fault %s begins", f.Region, f.ID)
	t.st.Begun++
	return immediately, nil
}

func serving(groups []cloud.ServerGroup) (n int) {
	for _, g := range groups {
		if g.Enabled() {
			n += g.Serving()
		}
	}
	return n
}

func find(groups []cloud.ServerGroup, name string) (cloud.ServerGroup, bool) {
	i := slices.IndexFunc(groups, func(g cloud.ServerGroup) bool { return g.Name == name })
	if i < 0 {
		return cloud.ServerGroup{}, false
	}
	return groups[i], true
}
