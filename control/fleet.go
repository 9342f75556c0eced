package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Cluster is every version of one service, in every region of an account.
type Cluster struct {
	Name        string              `json:"name"`
	Application string              `json:"application"`
	Account     string              `json:"account"`
	Groups      []cloud.ServerGroup `json:"serverGroups"` // by region, then oldest first
	Counts      []cloud.Counts      `json:"counts,omitempty"`
	// GroupCleanUps are the clean-ups of groups that a rollout has replaced.
	GroupCleanUps []GroupCleanUp `json:"fates,omitempty"`
	// Unreachable names the regions that could not be asked, with the reason.
	Unreachable map[string]string `json:"unreachable,omitempty"`
}

// answerWithin bounds how long a region is waited for when people look: a region that
// hangs is unreachable like a region that is gone.
const answerWithin = 2 * time.Second

// unreachableText says why a region could not be asked, for people: what the cloud says of it,
// without who asked what, and without the sockets below.
func unreachableText(err error) string {
	text := problem.Text(err)
	for e, ok := problem.Of(err); ok; e, ok = problem.Of(e.Err) {
		var transport *url.Error
		switch {
		case e.Err == nil, errors.As(e.Err, &transport):
			text = e.Message
		default:
			text = problem.Text(e.Err)
		}
	}
	return text
}

// asking is for one question to a region, when people look.
func asking(ctx context.Context, r cloud.Region) (context.Context, context.CancelFunc) {
	limit := answerWithin
	if !r.Healthy { // it has just been waited for
		limit /= 8
	}
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("it has not answered within %s", limit))
}

// Clusters observes clusters; application and cluster, when given, select.
// An empty account is every account. Regions that are unreachable are told, not waited for.
func (s *Service) Clusters(ctx context.Context, p Principal, account, application, cluster string) ([]Cluster, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindCluster, Name: cluster, Application: application, Account: account}); err != nil {
		return nil, err
	}
	names := s.Accounts.Names()
	if account != "" {
		names = []string{account}
	}
	var list []Cluster
	for _, name := range names {
		a, err := s.Accounts.Account(name)
		if err != nil {
			return nil, err
		}
		found, err := observe(ctx, a, cluster)
		if err != nil {
			return nil, err
		}
		if len(found.clusters) == 0 && len(found.unreachable) == len(found.regions) && len(found.regions) > 0 {
			return nil, problem.New(problem.Unavailable, "clusters", "no region of account %s answers", a.Name()).WithHelp("showrunner doctor")
		}
		s.setGroupCleanUps(ctx, name, found.clusters, cluster)
		for _, c := range found.clusters {
			if application == "" || c.Application == application {
				list = append(list, c)
			}
		}
	}
	if list == nil {
		list = []Cluster{}
	}
	return list, nil
}

// observed is what the regions of an account say of its clusters.
type observed struct {
	clusters    []Cluster
	regions     []string
	unreachable map[string]string // regions that could not be asked, with the reason
}

// observe asks every region of an account for its clusters, or for one by name.
func observe(ctx context.Context, a *cloud.Account, cluster string) (observed, error) {
	regions, err := a.Regions(ctx)
	if err != nil {
		return observed{}, err
	}
	type answer struct {
		groups []cloud.ServerGroup
		err    error
	}
	answers := make([]answer, len(regions))
	var wg sync.WaitGroup
	for i, r := range regions {
		wg.Go(func() {
			ctx, cancel := asking(ctx, r)
			defer cancel()
			answers[i].groups, answers[i].err = a.ServerGroups(ctx, r.Name, cluster)
		})
	}
	wg.Wait()
	byName := map[string]*Cluster{}
	out := observed{unreachable: map[string]string{}}
	for i, r := range regions {
		out.regions = append(out.regions, r.Name)
		if answers[i].err != nil {
			out.unreachable[r.Name] = unreachableText(answers[i].err)
			continue
		}
		for _, g := range answers[i].groups {
			c := byName[g.Spec.Cluster]
			if c == nil {
				c = &Cluster{Name: g.Spec.Cluster, Account: a.Name()}
				byName[g.Spec.Cluster] = c
			}
			c.Application = cloud.ApplicationOf(g.Spec) // the newest group's
			g.Spec.Env = nil                            // may hold secrets
			c.Groups = append(c.Groups, g)
		}
	}
	for _, c := range byName {
		if len(out.unreachable) > 0 {
			c.Unreachable = out.unreachable
		}
		out.clusters = append(out.clusters, *c)
	}
	slices.SortFunc(out.clusters, func(x, y Cluster) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// cluster finds one cluster. Errors: not_found.
func (s *Service) cluster(ctx context.Context, p Principal, account, name string) (*cloud.Account, Cluster, error) {
	if account == "" {
		account = DefaultAccount
	}
	a, err := s.Accounts.Account(account)
	if err != nil {
		return nil, Cluster{}, err
	}
	list, err := s.Clusters(ctx, p, account, "", name)
	if err != nil {
		return nil, Cluster{}, err
	}
	if len(list) == 0 {
		return nil, Cluster{}, s.noCluster(ctx, p, account, name)
	}
	return a, list[0], nil
}

// Cluster returns one cluster with the load balancers' counts. Errors: not_found.
func (s *Service) Cluster(ctx context.Context, p Principal, account, name string) (Cluster, error) {
	a, c, err := s.cluster(ctx, p, account, name)
	if err != nil {
		return Cluster{}, err
	}
	for _, region := range regionsOf(c.Groups) {
		bounded, cancel := context.WithTimeout(ctx, answerWithin)
		counts, err := a.Counts(bounded, region, name)
		cancel()
		if err != nil {
			continue // the groups are told all the same; the page shows that counts are missing
		}
		c.Counts = append(c.Counts, counts...)
	}
	return c, nil
}

// noCluster is the error for a cluster that an account does not have.
func (s *Service) noCluster(ctx context.Context, p Principal, account, name string) error {
	help := "showrunner clusters lists them"
	all, err := s.Clusters(ctx, p, account, "", "")
	if err == nil {
		var names []string
		for _, c := range all {
			names = append(names, c.Name)
		}
		if meant := pipeline.Nearest(name, names); meant != "" {
			help = "did you mean " + meant + "? " + help
		}
	}
	return problem.New(problem.NotFound, "cluster", "there is no cluster %q in account %s", name, account).WithHelp("%s", help)
}

func regionsOf(groups []cloud.ServerGroup) []string {
	var regions []string
	for _, g := range groups {
		if !slices.Contains(regions, g.Region) {
			regions = append(regions, g.Region)
		}
	}
	return regions
}

// DefaultAccount is the cloud that showrunner brings itself.
const DefaultAccount = pipeline.DefaultAccount

// ClusterChange is one change of a running cluster by hand.
type ClusterChange struct {
	Account     string             `json:"account,omitempty"`
	Cluster     string             `json:"-"`
	Region      string             `json:"region,omitempty"`      // empty: every region
	ServerGroup string             `json:"serverGroup,omitempty"` // empty: the newest enabled group of each region
	Capacity    *CapacityChange    `json:"capacity,omitempty"`    // resize
	Weights     map[string]float64 `json:"weights,omitempty"`     // shift traffic
	Destroy     bool               `json:"destroy,omitempty"`
	Disable     bool               `json:"disable,omitempty"`
	Enable      bool               `json:"enable,omitempty"`
	Suspend     []string           `json:"suspend,omitempty"`
	Resume      []string           `json:"resume,omitempty"`
	Key         string             `json:"-"` // idempotency key
}

// CapacityChange leaves out what stays as it is.
type CapacityChange struct {
	Min     *int `json:"min,omitempty"`
	Desired *int `json:"desired,omitempty"`
	Max     *int `json:"max,omitempty"`
}

// ChangeCluster makes one change by hand in the regions chosen; the traffic
// guard never lets it take the last serving instance. It answers with what was
// done, region by region. Errors: not_found, precondition (the guard), invalid, denied.
func (s *Service) ChangeCluster(ctx context.Context, p Principal, ch ClusterChange) ([]string, error) {
	op := ch.op()
	if op == "" {
		return nil, problem.New(problem.Invalid, "cluster.change", "nothing to change was named").WithHelp("give one of capacity, weights, destroy, disable, enable, suspend, resume")
	}
	a, c, unknown := s.cluster(ctx, p, ch.Account, ch.Cluster)
	var done []string
	err := s.perform(ctx, p, op, clusterSubject(ch.Account, ch.Cluster, c), ch.details(), func() (_ map[string]any, err error) {
		if unknown != nil {
			return nil, unknown
		}
		if ch.Region != "" {
			if err := s.knowRegions(ctx, ch.Account, ch.Region); err != nil {
				return nil, err
			}
		}
		done, err = s.changeGroups(ctx, a, c, op, ch)
		return map[string]any{"done": done}, err
	})
	return done, err
}

// clusterSubject is a cluster as a subject; c may be empty when it was not found.
func clusterSubject(account, name string, c Cluster) Subject {
	return Subject{Kind: KindCluster, Name: name, Application: c.Application, Account: cmp.Or(account, DefaultAccount)}
}

// details are what the audit log keeps of a change that is asked for.
func (ch ClusterChange) details() map[string]any {
	d := map[string]any{}
	raw, err := json.Marshal(ch)
	if err == nil {
		_ = json.Unmarshal(raw, &d) // our own document
	}
	delete(d, "account")
	return d
}

// changeGroups makes the change region by region, and stops at the first that fails.
func (s *Service) changeGroups(ctx context.Context, a *cloud.Account, c Cluster, op string, ch ClusterChange) (done []string, err error) {
	matched := false
	for _, region := range regionsOf(c.Groups) {
		if ch.Region != "" && ch.Region != region {
			continue
		}
		g, ok := choose(c.Groups, region, ch.ServerGroup, ch.Enable)
		if !ok {
			continue
		}
		matched = true
		what, err := changeGroup(ctx, a, ch, c.Groups, g)
		if err == nil && ch.Destroy { // on purpose: nobody misses it
			_, err = s.forgetDeployed(ctx, KindCluster, c.Account, c.Name, func(d Deployed) bool { return d.Region == g.Region && d.ServerGroup == g.Name })
		}
		if err != nil {
			return done, err
		}
		done = append(done, what)
	}
	if !matched {
		return done, problem.New(problem.NotFound, op, "no server group of %s matches region %q and name %q", ch.Cluster, ch.Region, ch.ServerGroup).
			WithHelp("showrunner clusters %s lists them", c.Application)
	}
	return done, nil
}

func (ch ClusterChange) op() string {
	switch {
	case ch.Capacity != nil:
		return opResize
	case len(ch.Weights) > 0, ch.Disable, ch.Enable:
		return opWeights
	case ch.Destroy:
		return opDestroy
	case len(ch.Suspend) > 0, len(ch.Resume) > 0:
		return opSuspend
	}
	return ""
}

// choose finds the group that a change means in a region: the one named, else
// the newest enabled one (for Enable, the newest that is not).
func choose(groups []cloud.ServerGroup, region, name string, disabled bool) (cloud.ServerGroup, bool) {
	for _, g := range slices.Backward(groups) {
		if g.Region == region && (g.Name == name || name == "" && g.Enabled() != disabled && !g.IsBaseline()) {
			return g, true
		}
	}
	return cloud.ServerGroup{}, false
}

func changeGroup(ctx context.Context, a *cloud.Account, ch ClusterChange, groups []cloud.ServerGroup, g cloud.ServerGroup) (string, error) {
	guard := cloud.Guard{LastOne: true}
	key := fmt.Sprintf("%s/%s/%s", ch.Key, g.Region, g.Name)
	switch {
	case ch.Capacity != nil:
		to, err := merge(g, *ch.Capacity)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s: %s to %d instances (%d to %d)", g.Region, g.Name, to.Desired, to.Min, to.Max), a.Resize(ctx, g.Region, g.Name, to, guard, key)
	case len(ch.Weights) > 0:
		return fmt.Sprintf("%s: weights %v", g.Region, ch.Weights), a.SetWeights(ctx, g.Region, ch.Cluster, ch.Weights, guard, key)
	case ch.Destroy:
		return fmt.Sprintf("%s: %s destroyed", g.Region, g.Name), a.Destroy(ctx, g.Region, g.Name, guard, key)
	case ch.Disable:
		return fmt.Sprintf("%s: %s disabled", g.Region, g.Name), a.SetWeights(ctx, g.Region, ch.Cluster, map[string]float64{g.Name: 0}, guard, key)
	case ch.Enable:
		return fmt.Sprintf("%s: %s enabled", g.Region, g.Name), a.SetWeights(ctx, g.Region, ch.Cluster, map[string]float64{g.Name: usualWeight(groups, g.Region)}, guard, key)
	}
	if len(ch.Suspend) > 0 {
		return fmt.Sprintf("%s: %s suspended %s", g.Region, g.Name, strings.Join(ch.Suspend, ", ")), a.Suspend(ctx, g.Region, g.Name, ch.Suspend, key)
	}
	return fmt.Sprintf("%s: %s resumed %s", g.Region, g.Name, strings.Join(ch.Resume, ", ")), a.Resume(ctx, g.Region, g.Name, ch.Resume, key)
}

// usualWeight is what an enabled group of the region has, so that the newly enabled one gets an equal share.
func usualWeight(groups []cloud.ServerGroup, region string) float64 {
	for _, g := range groups {
		if g.Region == region && g.Enabled() && !g.IsBaseline() {
			return g.Weight
		}
	}
	return 100
}

// merge applies a change to a group's capacity. A bound that was not named stays as
// it is: a number beyond it is refused, with what to say instead. When bounds alone
// are named, the number of instances follows them. Errors: invalid.
func merge(g cloud.ServerGroup, c CapacityChange) (pipeline.Capacity, error) {
	to := g.Capacity
	if c.Min != nil {
		to.Min = *c.Min
	}
	if c.Max != nil {
		to.Max = *c.Max
	}
	refuse := func(bound string, have, want int, help string) error {
		return problem.New(problem.Invalid, opResize, "%s of %s in %s is %d, and %d is beyond it", bound, g.Name, g.Region, have, want).WithHelp("to move it as well, say %s %d", help, want)
	}
	switch {
	case to.Min > to.Max && c.Max == nil:
		return to, refuse("the maximum", to.Max, to.Min, "--max")
	case to.Min > to.Max:
		return to, refuse("the minimum", to.Min, to.Max, "--min")
	case c.Desired == nil:
		to.Desired = min(max(to.Desired, to.Min), to.Max)
		return to, nil
	}
	switch to.Desired = *c.Desired; {
	case to.Desired > to.Max:
		return to, refuse("the maximum", to.Max, to.Desired, "--max")
	case to.Desired < to.Min:
		return to, refuse("the minimum", to.Min, to.Desired, "--min")
	}
	return to, nil
}
