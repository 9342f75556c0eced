package control

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"showrunner/chaos/monkey"
	"showrunner/cloud"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// faultRecords holds a document for each fault: the journal of intents, by which
// every fault that was begun is undone, whatever happens to who began it.
const faultRecords = "chaos-faults"

// FaultState is how a fault stands.
type FaultState string

// The states of a fault. One that is begun may have taken effect.
const (
	FaultBegun  FaultState = "begun"
	FaultActive FaultState = "active"
	FaultUndone FaultState = "undone"
	FaultFailed FaultState = "failed" // it never took effect
)

// ChaosFault is a fault that was asked for.
type ChaosFault struct {
	cloud.Fault
	Account     string     `json:"account"`
	Region      string     `json:"region"`
	Application string     `json:"application,omitempty"`
	State       FaultState `json:"state"`
	By          string     `json:"by"`
	Began       time.Time  `json:"began"`
	Until       time.Time  `json:"until"` // the cloud undoes it then by itself
	Ended       time.Time  `json:"ended,omitzero"`
	Reason      string     `json:"reason,omitempty"` // why it ended, or why it is not undone yet
	Owner       string     `json:"owner,omitempty"`  // the session of the control plane that began it
	Asked       bool       `json:"asked,omitempty"`  // somebody asked for its end where it could not be ended
	// Hurt counts the instances that it hits, by application, when it begins.
	Hurt map[string]int `json:"hurt,omitempty"`
}

// FaultRequest asks for a fault. Without a selection of instances, kinds that hit
// requests hit those of every instance of the cluster, and hang, restart, cpu, memory and disk
// hit one instance.
type FaultRequest struct {
	Kind     cloud.FaultKind `json:"kind"`
	Account  string          `json:"account,omitempty"` // empty: the local one
	Region   string          `json:"region"`
	Cluster  string          `json:"cluster,omitempty"`
	Zone     string          `json:"zone,omitempty"`     // that goes down, or of the instances that are hit
	Version  string          `json:"version,omitempty"`  // server group or version of the instances that are hit
	Instance []string        `json:"instance,omitempty"` // these alone
	Count    int             `json:"count,omitempty"`    // so many of the instances, chosen at random
	Share    float64         `json:"share,omitempty"`    // so many percent of them, rounded down, at least one
	All      bool            `json:"all,omitempty"`      // of kinds that hit one instance: every one that can be spared
	// DurationSeconds is how long it lasts.
	DurationSeconds float64 `json:"durationSeconds"`
	LatencyMillis   float64 `json:"latencyMillis,omitempty"`
	JitterMillis    float64 `json:"jitterMillis,omitempty"`
	Status          int     `json:"status,omitempty"`
	Percent         float64 `json:"percent,omitempty"`
	Path            string  `json:"path,omitempty"`
	Header          string  `json:"header,omitempty"`
	// At is where requests are hit: instance (default), balancer or edge. From is the
	// service whose requests are, a cluster or server group; then it is the balancer.
	At             cloud.FaultPlace `json:"at,omitempty"`
	From           string           `json:"from,omitempty"`
	Bandwidth      int64            `json:"bandwidth,omitempty"` // bytes a second
	Cores          float64          `json:"cores,omitempty"`
	Bytes          int64            `json:"bytes,omitempty"`
	Forced         bool             `json:"force,omitempty"`          // also below the least capacity
	DuringRollouts bool             `json:"duringRollouts,omitempty"` // also while a rollout changes the cluster

	// id is the fault's name, and execution the run whose experiment begins it on a server
	// group of its own.
	id, execution string
}

// StartFault begins a fault: its checks are those of a kill on demand. The intent is
// recorded first. Errors: invalid, not_found, precondition (a check does not allow
// it, or the cloud cannot do the fault), denied.
func (s *Service) StartFault(ctx context.Context, p Principal, r FaultRequest, key string) (f ChaosFault, err error) {
	ctx = s.direct(ctx)
	if r.Account == "" {
		r.Account = DefaultAccount
	}
	f = ChaosFault{Fault: r.fault(), Account: r.Account, Region: r.Region, State: FaultBegun, By: p.Name, Began: s.Now().UTC(), Owner: s.session()}
	if f.ID = r.id; f.ID == "" {
		f.ID = faultName(r, key)
	}
	if r.execution != "" {
		f.Owner = "" // the run goes on without the control plane that began it
	}
	if ofControlPlane(r.Kind) {
		f.Account = ""
	}
	f.Until = f.Began.Add(time.Duration(f.Duration))
	subject := Subject{Kind: KindFault, Name: f.ID, Account: f.Account}
	details := map[string]any{"kind": r.Kind, "region": r.Region, "cluster": r.Cluster, "zone": r.Zone, "seconds": r.DurationSeconds}
	err = s.perform(ctx, p, opFaultStart, subject, details, func() (map[string]any, error) {
		if kept, _, err := s.fault(ctx, f.ID); err == nil { // the same request again
			f = kept
			return nil, nil
		}
		if err := s.allowFault(ctx, r, &f); err != nil {
			return nil, err
		}
		return map[string]any{"instances": f.Instances}, s.beginFault(ctx, &f)
	})
	return f, err
}

// faultName names a fault by its kind and the request's key.
func faultName(r FaultRequest, key string) string {
	id := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, strings.TrimPrefix(key, "request/"))
	return string(r.Kind) + "-" + strings.ToLower(id[:min(len(id), 10)])
}

func (r FaultRequest) fault() cloud.Fault {
	f := cloud.Fault{Kind: r.Kind, Cluster: r.Cluster, Instances: r.Instance, Duration: pipeline.Duration(r.DurationSeconds * float64(time.Second)), Latency: pipeline.Duration(r.LatencyMillis * float64(time.Millisecond)),
		Jitter: pipeline.Duration(r.JitterMillis * float64(time.Millisecond)), Status: r.Status, Percent: r.Percent, Path: r.Path, Header: r.Header, At: r.At, From: r.From, Bandwidth: r.Bandwidth, Cores: r.Cores, Bytes: r.Bytes}
	if f.From != "" && f.At == "" {
		f.At = cloud.FaultAtBalancer
	}
	if r.Kind == "zone-outage" {
		f.Zone = r.Zone
	}
	return f
}

// beginFault records the intent, injects the fault, and records that it is active.
// A fault of which it is not known whether it was injected stays begun, and is
// undone like an active one.
func (s *Service) beginFault(ctx context.Context, f *ChaosFault) error {
	if err := s.putFault(ctx, 0, *f); err != nil {
		return err
	}
	// The budget is looked at once the intent is recorded: of two that begin at once,
	// at least one sees the other.
	why, err := s.overBudget(ctx, f.Hurt, f.ID)
	switch {
	case err != nil:
		err = problem.New(problem.Precondition, opFaultStart, "nothing was begun: how many instances are hit already could not be found out: %s", problem.Text(err))
	case why != "":
		err = problem.New(problem.Precondition, opFaultStart, "nothing was begun: %s", why).WithHelp("undo a fault first (showrunner chaos fault list), or raise the budget: showrunner chaos budget, and chaos.budget of the pipeline file")
	}
	if err == nil {
		err = s.inject(ctx, *f)
	}
	if err != nil && problem.CodeOf(err) != problem.Unavailable && problem.CodeOf(err) != problem.Internal {
		f.State, f.Ended, f.Reason = FaultFailed, s.Now().UTC(), problem.Text(err)
	} else if err == nil {
		f.State = FaultActive
	}
	if recorded := s.changeFault(ctx, f.ID, func(kept *ChaosFault) bool {
		if kept.State != FaultBegun {
			*f = *kept
			return false
		}
		*kept = *f
		return true
	}); recorded != nil && err == nil {
		return recorded
	}
	if err != nil {
		return err
	}
	select {
	case s.wakeMonkey <- struct{}{}: // so that it learns when the fault is over
	default:
	}
	// A lever that was pulled meanwhile found nothing to undo yet.
	if lever, _, leverErr := s.lever(ctx); leverErr != nil || lever.Stopped {
		if *f, err = s.undo(ctx, *f, "all chaos is stopped: "+lever.text()); err == nil {
			err = problem.New(problem.Precondition, opFaultStart, "it was undone at once: all chaos is stopped: %s", lever.text())
		}
	}
	return err
}

// inject has a fault take effect.
func (s *Service) inject(ctx context.Context, f ChaosFault) error {
	if ofControlPlane(f.Kind) {
		s.beginInStore(f)
		return nil
	}
	a, err := s.Accounts.Account(f.Account)
	if err != nil {
		return err
	}
	return a.Inject(ctx, f.Region, f.Fault, "fault "+f.ID)
}

// mayBegin makes the checks that do not depend on what a fault hits.
func (s *Service) mayBegin(ctx context.Context, application string) error {
	if why := s.ChaosHeld(ctx, application); why != "" {
		return problem.New(problem.Precondition, opFaultStart, "nothing was begun: %s", why).WithHelp("%s", chaosHelp("stop"))
	}
	return nil
}

// allowFault makes the checks of a fault, and chooses its instances.
func (s *Service) allowFault(ctx context.Context, r FaultRequest, f *ChaosFault) error {
	if known := KnownFaults(); !slices.Contains(known, r.Kind) {
		return problem.New(problem.Invalid, opFaultStart, "a fault of the kind %q is not known", r.Kind).WithHelp("one of %s", join(texts(known)))
	}
	if ofControlPlane(r.Kind) {
		return s.allowStoreFault(ctx, r, f)
	}
	if r.Region == "" {
		return problem.New(problem.Invalid, opFaultStart, "a fault of the kind %s needs a region", r.Kind).WithHelp("name it with --region; showrunner regions lists them")
	}
	if of := r.Kind; of == driver.FaultZone || of == driver.FaultRegion || of == driver.FaultPartition {
		if r.Cluster != "" || r.Version != "" || len(r.Instance) > 0 || r.Count > 0 || r.Share > 0 || r.All || r.Zone != "" && of != driver.FaultZone {
			return problem.New(problem.Invalid, opFaultStart, "a fault of the kind %s hits everything that is there, so nothing can be selected", of).WithHelp("leave cluster, instances and selection out")
		}
	}
	if err := s.knowRegions(ctx, r.Account, r.Region); err != nil {
		return err
	}
	groups, err := s.faultClusters(ctx, r)
	if err != nil {
		return err
	}
	if r.Cluster != "" {
		f.Application = groups[0].Application
	}
	if err := s.mayBegin(ctx, f.Application); err != nil {
		return err
	}
	if r.Kind == driver.FaultRegion {
		if err := s.spareRegion(ctx, r, groups); err != nil {
			return err
		}
	}
	var instances []monkey.Instance
	for _, c := range groups {
		more, err := s.clusterInstances(ctx, c)
		if err != nil {
			return err
		}
		for _, i := range more {
			if i.Region == r.Region && i.Enabled {
				instances = append(instances, i)
			}
		}
	}
	if err := r.choose(instances, f); err != nil {
		return err
	}
	if f.From != "" {
		if f.Hurt, err = s.callers(ctx, r.Account, r.Region, f.From); err != nil {
			return err
		}
	}
	return cloud.CheckFault(f.Fault)
}

// faultClusters are the clusters that a fault may hit: the one that it names, or for
// the outage of a zone or a region every one.
func (s *Service) faultClusters(ctx context.Context, r FaultRequest) ([]Cluster, error) {
	if r.Cluster != "" {
		_, c, err := s.cluster(ctx, internal, r.Account, r.Cluster)
		return []Cluster{c}, err
	}
	if r.Kind != driver.FaultZone && r.Kind != driver.FaultRegion {
		return nil, nil
	}
	a, err := s.Accounts.Account(r.Account)
	if err != nil {
		return nil, err
	}
	seen, err := observe(ctx, a, "")
	if err != nil {
		return nil, err
	}
	if why, away := seen.unreachable[r.Region]; away {
		return nil, problem.New(problem.Precondition, opFaultStart, "region %s does not answer: %s", r.Region, why)
	}
	return seen.clusters, nil
}

// callers counts the instances of a service, a cluster or a server group, by
// application: those whose requests a fault hits. A service that is not there has none.
func (s *Service) callers(ctx context.Context, account, region, service string) (map[string]int, error) {
	name := service
	if at := strings.LastIndex(service, "-v"); at > 0 && strings.Trim(service[at+2:], "0123456789") == "" {
		name = service[:at]
	}
	_, c, err := s.cluster(ctx, internal, account, name)
	if problem.CodeOf(err) == problem.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	instances, err := s.clusterInstances(ctx, c)
	return hurt(slices.DeleteFunc(instances, func(i monkey.Instance) bool {
		return i.Region != region || !i.Enabled || service != name && i.ServerGroup != service
	})), err
}

func stopped(s monkey.Situation) string {
	if s.Stopped.Err != nil {
		return "whether all chaos is stopped could not be found out: " + s.Stopped.Err.Error()
	}
	if s.Stopped.Value != "" {
		return "all chaos is stopped: " + s.Stopped.Value
	}
	return ""
}

func alarmed(s monkey.Situation) string {
	if s.Alarms.Err != nil {
		return "whether an alarm is open could not be found out: " + s.Alarms.Err.Error()
	}
	if len(s.Alarms.Value) > 0 {
		return "an alarm is open: " + join(s.Alarms.Value)
	}
	return ""
}

func frozen(s monkey.Situation) string {
	if s.Freeze.Err != nil {
		return "whether a freeze holds could not be found out: " + s.Freeze.Err.Error()
	}
	if s.Freeze.Value != "" {
		return "frozen: " + s.Freeze.Value
	}
	return ""
}

func (s *Service) fault(ctx context.Context, id string) (ChaosFault, int64, error) {
	rec, err := s.Records.GetRecord(ctx, faultRecords, id)
	if err != nil {
		return ChaosFault{}, 0, err
	}
	var f ChaosFault
	if err := json.Unmarshal(rec.Data, &f); err != nil {
		return f, 0, problem.Wrap(err, problem.Internal, "chaos.fault", "the stored form of fault %s cannot be read", id)
	}
	return f, rec.Version, nil
}

func (s *Service) putFault(ctx context.Context, version int64, f ChaosFault) error {
	data, err := json.Marshal(f)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "chaos.fault", "encoding fault %s", f.ID)
	}
	event := record.Event{Time: s.Now().UTC(), Type: "chaos.fault-" + string(f.State), Application: f.Application, By: f.By, Data: data}
	_, err = s.Records.PutRecord(ctx, record.Record{Collection: faultRecords, Key: f.ID, Version: version, Data: data}, event)
	return err
}

// changeFault changes a fault's record, again when another control plane was faster.
// change answers false when there is nothing to change.
func (s *Service) changeFault(ctx context.Context, id string, change func(*ChaosFault) bool) error {
	for {
		f, version, err := s.fault(ctx, id)
		if err != nil || !change(&f) {
			return err
		}
		if err = s.putFault(ctx, version, f); problem.CodeOf(err) == problem.Conflict && ctx.Err() == nil {
			continue
		}
		return err
	}
}
