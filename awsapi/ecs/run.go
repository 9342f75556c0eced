package ecs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"showrunner/awsapi/ec2"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

// run is a task that no service keeps: its program runs once, in a server group of its
// own, which is destroyed after it has ended.
type run struct {
	Instance   string    `json:"instance"` // the identifier that its instance has
	Cluster    string    `json:"cluster"`  // of ECS
	Definition string    `json:"definition"`
	Launch     launch    `json:"launch"`
	Group      string    `json:"group"` // that of tasks, for people
	StartedBy  string    `json:"startedBy,omitempty"`
	Kept       object    `json:"kept,omitempty"` // members that are returned as they were given
	Tags       []object  `json:"tags,omitempty"`
	Checked    bool      `json:"checked,omitempty"` // its container has a health check of its own
	Created    time.Time `json:"created"`
	Request    string    `json:"request,omitempty"` // digest of what its token was sent with

	ServerGroup string    `json:"serverGroup,omitempty"`
	Failure     string    `json:"failure,omitempty"` // why its server group could never be made
	Stop        bool      `json:"stop,omitempty"`    // it was stopped before its launch was recorded
	Ended       time.Time `json:"ended,omitzero"`    // when it was seen that its instance is gone
	Gone        bool      `json:"gone,omitempty"`    // its server group was destroyed
}

func (r run) id() string { return taskID(r.Instance) }

// fleet is the cluster of its server group.
func (r run) fleet() string { return "aws-ecs-task-" + r.id()[:20] }

func runKey(region string, r run) string { return region + "/" + r.Cluster + "/" + r.Instance }

// mostRun is how many tasks a call may run.
const mostRun = 10

// runTask runs tasks of a definition once.
func (s *Service) runTask(ctx context.Context, c *wire.Call, in object) (object, error) {
	cluster := clusterOf(in, "cluster")
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	count := in.Number("count", 1)
	if count < 1 || count > mostRun {
		return nil, invalid("count should be between 1 and %d", mostRun)
	}
	if err := checkRun(in); err != nil {
		return nil, err
	}
	d, l, err := s.launchable(ctx, c.Region, in.Text("taskDefinition"), in.Inner("networkConfiguration"), in.Inner("overrides"))
	if err == nil && in.Text("launchType") == "FARGATE" {
		err = fargate(d.Data)
	}
	if err != nil {
		return nil, err
	}
	checked := d.Data.Objects("containerDefinitions")[0].Inner("healthCheck") != nil
	if !checked { // it need not listen: it runs as long as its program does
		l.Health.Path, l.Health.TCP, l.Health.Command = "", false, []string{"true"}
	}
	told := []any{}
	for n := range count {
		r := run{Instance: newInstanceID(c, in, n), Cluster: cluster, Definition: d.name(), Launch: l, Group: cmp.Or(in.Text("group"), "family:"+d.Family), StartedBy: in.Text("startedBy"), Checked: checked,
			Kept: in.Only("launchType", "capacityProviderStrategy", "platformVersion", "overrides", "enableExecuteCommand").Clone(), Tags: tagsOf(in), Created: s.Now().UTC(), Request: digest(in.With(object{"clientToken": nil}))}
		if in.Text("propagateTags") == "TASK_DEFINITION" && len(r.Tags) == 0 {
			r.Tags = d.Tags
		}
		one, err := s.begin(ctx, c.Region, r)
		if err != nil {
			return nil, err
		}
		told = append(told, one)
	}
	return object{"tasks": told, "failures": []any{}}, nil
}

// begin records a task and has it launched. The same token again is the same task.
func (s *Service) begin(ctx context.Context, region string, r run) (object, error) {
	switch err := s.runs.Create(ctx, runKey(region, r), r); {
	case problem.CodeOf(err) == problem.Conflict:
		have, err := s.runs.Get(ctx, runKey(region, r))
		if err != nil {
			return nil, err
		}
		if have.Request != r.Request {
			return nil, wire.Errorf("ConflictException", "The clientToken was used with other parameters.")
		}
		r = have
	case err != nil:
		return nil, err
	}
	if r.ServerGroup == "" && !r.Gone {
		launched, err := s.launch(ctx, region, r)
		if err != nil && problem.CodeOf(err) != problem.Unavailable { // a region that is away is asked again
			return nil, err
		}
		r = launched
	}
	return s.tellTask(ctx, region, r.task(cloud.Instance{ID: r.Instance, Version: r.Definition, Lifecycle: cloud.Pending, Launched: r.Created}), true)
}

// newInstanceID is the identifier of a task's instance: the same for the same token.
func newInstanceID(c *wire.Call, in object, n int) string {
	token := cmp.Or(in.Text("clientToken"), c.ID)
	if c.Token != "" {
		token = c.Token
	}
	return "i-" + digest(fmt.Sprint("aws.ecs/run/", c.Region, "/", token, "/", n))[:17]
}

// checkRun names what a task that is run by itself cannot have here.
func checkRun(in object) error {
	for _, no := range []struct {
		asked bool
		what  string
	}{
		{len(in.Objects("placementConstraints")) > 0, "placementConstraints"},
		{len(in.Objects("volumeConfigurations")) > 0, "volumeConfigurations"},
		{in.Text("launchType") == "EXTERNAL", "the launch type EXTERNAL"},
		{in.Is("enableExecuteCommand"), "enableExecuteCommand"},
	} {
		if no.asked {
			return unsupported(no.what)
		}
	}
	var names []string
	for _, p := range in.Objects("capacityProviderStrategy") {
		names = append(names, p.Text("capacityProvider"))
	}
	return checkProviders(names)
}

// override is a definition with what a call overrides of its container.
func override(d definition, with object) (definition, error) {
	containers := d.Data.Objects("containerDefinitions")
	first := containers[0]
	for _, o := range with.Objects("containerOverrides") {
		if o.Text("name") != first.Text("name") {
			return d, invalid("Override for container named %s is not a container in the TaskDefinition.", o.Text("name"))
		}
		if len(o.Objects("environmentFiles"))+len(o.Objects("resourceRequirements")) > 0 {
			return d, unsupported("environmentFiles and resourceRequirements of an override")
		}
		first = first.With(o.Only("command", "cpu", "memory", "memoryReservation"))
		values := map[string]string{}
		for _, list := range [][]object{first.Objects("environment"), o.Objects("environment")} {
			for _, e := range list {
				values[e.Text("name")] = e.Text("value")
			}
		}
		environment := []any{}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			environment = append(environment, object{"name": name, "value": values[name]})
		}
		first = first.With(object{"environment": environment})
	}
	d.Data = d.Data.With(object{"containerDefinitions": []any{first}}).With(with.Only("cpu", "memory"))
	return d, nil
}

// spec is the server group of a task that is run once.
func (r run) spec() cloud.ServerGroupSpec {
	spec := deployment{Definition: r.Definition, Launch: r.Launch}.spec(r.fleet(), 1)
	spec.Application, spec.Once, spec.Instance = ec2.Application, true, r.Instance
	return spec
}

// task is the task that it is, with its instance.
func (r run) task(i cloud.Instance) task {
	return task{id: r.id(), service: service{Cluster: r.Cluster, Kept: r.Kept, Created: r.Created}, instance: i, run: &r}
}

// instance is a task's instance as the region has it, or last had it.
func (r run) instance(region string, seen map[string]cloud.Instance) cloud.Instance {
	if i, ok := seen[r.Instance]; ok {
		return i
	}
	i := cloud.Instance{ID: r.Instance, Region: region, Version: r.Definition, Launched: r.Created, Lifecycle: cloud.Pending}
	if !r.Ended.IsZero() { // it was stopped before its launch, could not be launched, or is forgotten
		i.Lifecycle, i.Ended = cloud.Terminated, r.Ended
		if r.Failure != "" {
			i.Failure = &cloud.InstanceFailure{Code: "START_FAILED", Cause: r.Failure, At: r.Ended}
		}
	}
	return i
}

// carryRuns does for a region's tasks without a service what is due: it has those
// launched that were not, and destroys the server groups of those that have ended.
func (s *Service) carryRuns(ctx context.Context, region string) error {
	list, err := s.runs.List(ctx, region+"/")
	if err != nil || len(list) == 0 {
		return err
	}
	groups, err := s.Groups.List(ctx, region, "")
	if err != nil {
		return err
	}
	var failure error
	for _, e := range list {
		if err := s.carryRun(ctx, region, e.Doc, groups); err != nil {
			failure = err
		}
	}
	return failure
}

// carryRun does for one task what is due. The groups were read after the task.
func (s *Service) carryRun(ctx context.Context, region string, r run, groups []cloud.ServerGroup) error {
	switch {
	case r.Gone && s.Now().Sub(r.Ended) > 2*endedKept:
		err := s.runs.Delete(ctx, runKey(region, r), nil)
		if problem.CodeOf(err) == problem.NotFound {
			err = nil
		}
		return err
	case r.Gone:
		return nil
	case r.ServerGroup == "" && r.Stop:
		_, err := s.changeRun(ctx, region, r, func(now *run) { now.Gone = now.ServerGroup == "" })
		return err
	case r.ServerGroup == "":
		_, err := s.launch(ctx, region, r)
		return err
	}
	asked, err := s.wasStopped(ctx, region, r)
	if err != nil || !r.over(groups, s.Now(), asked) {
		return err
	}
	if err := s.Groups.Destroy(ctx, region, r.ServerGroup, r.key("destroy")); err != nil && problem.CodeOf(err) != problem.NotFound {
		return err
	}
	_, err = s.changeRun(ctx, region, r, func(now *run) { now.Gone, now.Ended = true, cmp.Or(now.Ended, s.Now().UTC()) })
	return err
}

// key is the idempotency key of one change of its server group.
func (r run) key(change string) string { return "aws.ecs/task/" + r.Instance + "/" + change }

// launch asks the region for a task's server group.
func (s *Service) launch(ctx context.Context, region string, r run) (run, error) {
	made, err := s.Groups.Create(ctx, region, r.spec(), r.key("create"))
	if err != nil && !final(err) {
		return r, err
	}
	return s.changeRun(ctx, region, r, func(now *run) {
		now.ServerGroup, now.Gone = made.Name, false // one that was stopped meanwhile is destroyed next
		if err != nil {
			now.Failure, now.Ended, now.Gone = message(err), s.Now().UTC(), true
		}
	})
}

// wasStopped says whether a call has stopped a task.
func (s *Service) wasStopped(ctx context.Context, region string, r run) (bool, error) {
	_, err := s.stops.Get(ctx, region+"/"+r.Instance)
	if problem.CodeOf(err) == problem.NotFound {
		return false, nil
	}
	return err == nil, err
}

// over says whether a task's instance has ended, or was never launched: the region died
// on the way. stopped is a task that a call has stopped.
func (r run) over(groups []cloud.ServerGroup, now time.Time, stopped bool) bool {
	if r.Stop {
		return true
	}
	at := slices.IndexFunc(groups, func(g cloud.ServerGroup) bool { return g.Name == r.ServerGroup })
	if at < 0 {
		return true
	}
	g := groups[at]
	return len(g.Instances) == 0 && (stopped || len(g.Ended) > 0 || now.Sub(g.Created) > healthGrace)
}

// final says whether asking again could not help.
func final(err error) bool {
	var p *problem.Error
	return errors.As(err, &p) && (p.Code == problem.Invalid || p.Code == problem.NotFound || p.Code == problem.Precondition)
}

func (s *Service) changeRun(ctx context.Context, region string, r run, how func(*run)) (run, error) {
	return s.runs.Update(ctx, runKey(region, r), func(now *run) error { how(now); return nil })
}

// countRuns counts a cluster's tasks without a service that run, and those that are to.
func (s *Service) countRuns(ctx context.Context, region, cluster string) (running, pending int, err error) {
	list, err := s.runs.List(ctx, region+"/"+cluster+"/")
	if err != nil || !slices.ContainsFunc(list, func(e state.Entry[run]) bool { return !e.Doc.Gone }) {
		return 0, 0, err
	}
	tasks, err := s.tasks(ctx, region, cluster)
	for _, t := range tasks {
		switch is, _ := t.status(); {
		case t.run == nil:
		case is == "RUNNING":
			running++
		case is == "PENDING":
			pending++
		}
	}
	return running, pending, err
}
