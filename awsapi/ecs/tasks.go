package ecs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// stopped is a task that was stopped by a call, and why.
type stopped struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// endedKept is how long a task is described after it has ended, as at AWS.
const endedKept = time.Hour

// task is an instance of a service, or one that runs once.
type task struct {
	id       string
	service  service // of one that runs once: what it has in common with a service's
	instance cloud.Instance
	run      *run // nil of a service's
}

// group is the group of tasks that it belongs to.
func (t task) group() string {
	if t.run != nil {
		return t.run.Group
	}
	return "service:" + t.service.Name
}

// startedBy is who started it: a deployment, or what the caller said.
func (t task) startedBy() string {
	if t.run != nil {
		return t.run.StartedBy
	}
	for _, d := range t.service.Deployments {
		if d.Group == t.instance.ServerGroup {
			return d.ID
		}
	}
	return ""
}

// taskID is the task that an instance is: 32 hexadecimal digits.
func taskID(instance string) string {
	sum := sha256.Sum256([]byte("aws.ecs/task/" + instance))
	return hex.EncodeToString(sum[:16])
}

func (s *Service) taskARN(region string, t task) string {
	return s.arn(region, "task/"+t.service.Cluster+"/"+t.id)
}

// tasks are those of a cluster, the ended ones of the last hour included, by identifier.
func (s *Service) tasks(ctx context.Context, region, cluster string) ([]task, error) {
	list, err := s.list(ctx, region, cluster)
	if err != nil {
		return nil, err
	}
	runs, err := s.runs.List(ctx, region+"/"+cluster+"/")
	if err != nil || len(list)+len(runs) == 0 {
		return nil, err
	}
	groups, err := s.Groups.List(ctx, region, "")
	if err != nil {
		return nil, err
	}
	past, err := s.Groups.Ended(ctx, region)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(past)
	for _, g := range groups {
		all = append(append(all, g.Instances...), g.Ended...)
	}
	fleets := map[string]service{}
	for _, v := range list {
		fleets[v.Fleet] = v
	}
	var out []task
	byID := map[string]cloud.Instance{}
	for _, i := range all {
		byID[i.ID] = i
	}
	for _, e := range runs {
		if i := e.Doc.instance(region, byID); i.Lifecycle != cloud.Terminated || s.Now().Sub(i.Ended) <= endedKept {
			out = append(out, e.Doc.task(i))
		}
	}
	seen := map[string]bool{}
	for _, i := range slices.Backward(all) { // those of groups that are there first
		fleet, _, _ := cloud.ParseServerGroup(i.ServerGroup)
		v, ours := fleets[fleet]
		old := i.Lifecycle == cloud.Terminated && s.Now().Sub(i.Ended) > endedKept
		if !ours || seen[i.ID] || old || i.Launched.Before(v.Created.Add(-time.Second)) {
			continue
		}
		seen[i.ID] = true
		out = append(out, task{id: taskID(i.ID), service: v, instance: i})
	}
	slices.SortFunc(out, func(a, b task) int { return cmp.Compare(a.id, b.id) })
	return out, nil
}

// status is a task's last status, and the one that is wanted.
func (t task) status() (is, wanted string) {
	switch t.instance.Lifecycle {
	case cloud.Pending, cloud.PendingWait:
		return "PENDING", "RUNNING"
	case cloud.Terminating, cloud.TerminatingWait:
		return "STOPPING", "STOPPED"
	case cloud.Terminated:
		return "STOPPED", "STOPPED"
	}
	return "RUNNING", "RUNNING"
}

// why is the code and the reason of a task's end.
func (t task) why(stop stopped, stopping bool) (code, reason string) {
	i := t.instance
	switch {
	case stopping:
		return "UserInitiated", cmp.Or(stop.Reason, "Task stopped by user")
	case t.run != nil && (i.Failure == nil || i.Failure.Code == "EXITED"):
		return "EssentialContainerExited", "Essential container in task exited"
	case i.Failure != nil && i.ServingSince.IsZero():
		return "TaskFailedToStart", i.Failure.Cause
	case i.Failure != nil && i.Failure.Code == "EXITED":
		return "EssentialContainerExited", "Essential container in task exited"
	case i.Failure != nil:
		return "ServiceSchedulerInitiated", "Task failed container health checks: " + i.Failure.Cause
	}
	return "ServiceSchedulerInitiated", "Scaling activity initiated by the service " + t.service.Name
}

// tellTask is a task as it is described.
func (s *Service) tellTask(ctx context.Context, region string, t task, tags bool) (object, error) {
	i := t.instance
	d, err := s.definition(ctx, region, i.Version)
	if err != nil && problem.CodeOf(err) != problem.NotFound { // one that was deleted has no containers to tell of
		return nil, err
	}
	is, wanted := t.status()
	v := t.service
	o := object{"taskArn": s.taskARN(region, t), "clusterArn": s.clusterARN(region, v.Cluster), "taskDefinitionArn": s.definitionARN(region, i.Version), "group": t.group(), "launchType": v.launchType(),
		"availabilityZone": i.Zone, "lastStatus": is, "desiredStatus": wanted, "healthStatus": t.health(), "connectivity": "CONNECTED", "connectivityAt": i.Launched, "createdAt": i.Launched, "pullStartedAt": i.Launched, "pullStoppedAt": i.Launched,
		"attachments": []any{}, "attributes": []any{}, "overrides": object{"containerOverrides": []any{}}, "tags": []any{}, "enableExecuteCommand": false, "version": 1,
		"cpu": d.Data.Text("cpu"), "memory": d.Data.Text("memory"), "containers": []any{}}.With(nil)
	if by := t.startedBy(); by != "" {
		o["startedBy"] = by
	}
	if t.run != nil && v.Kept.Has("overrides") {
		o["overrides"] = v.Kept.Inner("overrides")
	}
	if !i.ServingSince.IsZero() {
		o["startedAt"] = i.ServingSince
	}
	if t.run != nil && tags {
		o["tags"] = wire.List(t.run.Tags)
	} else if tags && v.Kept.Text("propagateTags") == "SERVICE" {
		o["tags"] = wire.List(v.Tags)
	} else if tags && v.Kept.Text("propagateTags") == "TASK_DEFINITION" {
		o["tags"] = wire.List(d.Tags)
	}
	if len(d.Data) > 0 {
		o["containers"] = []any{s.tellContainer(region, t, d, is)}
	}
	if wanted == "STOPPED" {
		stop, err := s.stops.Get(ctx, region+"/"+i.ID)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return nil, err
		}
		o["stopCode"], o["stoppedReason"] = t.why(stop, err == nil)
		if !i.Ended.IsZero() {
			o["stoppedAt"], o["stoppingAt"], o["executionStoppedAt"] = i.Ended, cmp.Or(stop.At, i.Ended), i.Ended
		}
	}
	return o, nil
}

// health is what the health check of its container says, or that of what stands for
// the image.
func (t task) health() string {
	i := t.instance
	switch {
	case t.run != nil && !t.run.Checked:
		return "UNKNOWN"
	case i.Healthy:
		return "HEALTHY"
	case i.ServingSince.IsZero():
		return "UNKNOWN"
	}
	return "UNHEALTHY"
}

// tellContainer is the one container of a task: its process, with the address at which
// it really answers.
func (s *Service) tellContainer(region string, t task, d definition, status string) object {
	i := t.instance
	given := d.Data.Objects("containerDefinitions")[0]
	o := object{"containerArn": s.arn(region, "container/"+t.service.Cluster+"/"+t.id+"/"+taskID(i.ID + "/container")[:32]), "taskArn": s.taskARN(region, t), "name": given.Text("name"), "image": given.Text("image"),
		"runtimeId": i.ID, "lastStatus": status, "healthStatus": t.health(), "networkBindings": []any{}, "networkInterfaces": []any{}, "cpu": strconv.Itoa(given.Number("cpu", 0))}
	if given.Has("memory") {
		o["memory"] = strconv.Itoa(given.Number("memory", 0))
	}
	if given.Has("memoryReservation") {
		o["memoryReservation"] = strconv.Itoa(given.Number("memoryReservation", 0))
	}
	if f := i.Failure; f != nil {
		o["reason"] = f.Cause
		if f.ExitCode != nil {
			o["exitCode"] = *f.ExitCode
		}
	}
	host, text, err := net.SplitHostPort(i.Address)
	port, failure := strconv.Atoi(text)
	if err != nil || failure != nil || status == "STOPPED" {
		return o
	}
	binding := object{"bindIP": host, "hostPort": port, "containerPort": port, "protocol": "tcp"}
	if ports := given.Objects("portMappings"); len(ports) > 0 {
		binding["containerPort"] = ports[0].Number("containerPort", port)
	}
	o["networkBindings"] = []any{binding}
	if d.Data.Text("networkMode") == "awsvpc" {
		o["networkInterfaces"] = []any{object{"attachmentId": taskID(i.ID + "/interface"), "privateIpv4Address": host}}
	}
	return o
}

func (s *Service) listTasks(ctx context.Context, c *wire.Call, in object) (object, error) {
	cluster := clusterOf(in, "cluster")
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	name := last(in.Text("serviceName"))
	if name != "" {
		if _, err := s.services.Get(ctx, c.Region+"/"+cluster+"/"+name); problem.CodeOf(err) == problem.NotFound {
			return nil, noService()
		}
	}
	tasks, err := s.tasks(ctx, c.Region, cluster)
	if err != nil {
		return nil, err
	}
	wanted, family, by, kind := cmp.Or(in.Text("desiredStatus"), "RUNNING"), in.Text("family"), in.Text("startedBy"), in.Text("launchType")
	var all []string
	for _, t := range tasks {
		_, status := t.status()
		of, _, _ := strings.Cut(t.instance.Version, ":")
		started := by == "" || by == t.startedBy()
		if status == wanted && started && in.Text("containerInstance") == "" && (name == "" || name == t.service.Name && t.run == nil) && (family == "" || family == of) && (kind == "" || kind == t.service.launchType()) {
			all = append(all, s.taskARN(c.Region, t))
		}
	}
	return page(in, "taskArns", all)
}

// mostDescribed is how many tasks may be described at once.
const mostDescribed = 100

func (s *Service) describeTasks(ctx context.Context, c *wire.Call, in object) (object, error) {
	names, cluster := in.Texts("tasks"), clusterOf(in, "cluster")
	if len(names) == 0 {
		return nil, invalid("Tasks cannot be empty.")
	}
	if len(names) > mostDescribed {
		return nil, invalid("Tasks cannot have more than %d elements.", mostDescribed)
	}
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	tasks, err := s.tasks(ctx, c.Region, cluster)
	if err != nil {
		return nil, err
	}
	found, failures := []any{}, []any{}
	for _, name := range names {
		at := slices.IndexFunc(tasks, func(t task) bool { return t.id == last(name) })
		if at < 0 {
			failures = append(failures, missing(s.arn(c.Region, "task/"+cluster+"/"+last(name))))
			continue
		}
		told, err := s.tellTask(ctx, c.Region, tasks[at], includes(in, "TAGS"))
		if err != nil {
			return nil, err
		}
		found = append(found, told)
	}
	return object{"tasks": found, "failures": failures}, nil
}

// stopTask ends a task's instance; the region replaces it.
func (s *Service) stopTask(ctx context.Context, c *wire.Call, in object) (object, error) {
	cluster := clusterOf(in, "cluster")
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	tasks, err := s.tasks(ctx, c.Region, cluster)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(tasks, func(t task) bool { return t.id == last(in.Text("task")) })
	if at < 0 {
		return nil, invalid("The referenced task was not found.")
	}
	t := tasks[at]
	if _, wanted := t.status(); wanted != "STOPPED" {
		_, err := s.stops.Put(ctx, c.Region+"/"+t.instance.ID, func(have *stopped) error {
			if have.At.IsZero() {
				*have = stopped{in.Text("reason"), s.Now().UTC()}
			}
			return nil
		})
		if err == nil && t.run != nil && t.instance.ServerGroup == "" { // it was not launched yet, and will not be
			_, err = s.changeRun(ctx, c.Region, *t.run, func(now *run) { now.Stop, now.Ended = true, s.Now().UTC() })
		} else if err == nil {
			err = s.Groups.Change(ctx, c.Region, t.instance, control.InstanceChange{Terminate: true, Last: true, Key: "aws.ecs/" + t.instance.ID + "/stop"})
		}
		if err != nil && problem.CodeOf(err) != problem.NotFound { // one that has ended meanwhile is stopped
			return nil, err
		}
		if t.instance.Lifecycle != cloud.Terminated {
			t.instance.Lifecycle = cloud.Terminating
		}
	}
	told, err := s.tellTask(ctx, c.Region, t, false)
	return object{"task": told}, err
}

// forgetStops removes why tasks were stopped that are no longer described.
func (s *Service) forgetStops(ctx context.Context, region string) error {
	for e, err := range s.stops.All(ctx, region+"/") {
		if err != nil {
			return err
		}
		if s.Now().Sub(e.Doc.At) > 2*endedKept {
			if err := s.stops.Delete(ctx, e.Key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
		}
	}
	return nil
}
