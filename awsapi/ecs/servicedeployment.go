package ecs

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// The states of a service deployment, beside those that a deployment has.
const (
	succeeded         = "SUCCESSFUL"
	halted            = "STOPPED"
	rollbackRequested = "ROLLBACK_REQUESTED"
	rollbackBegun     = "ROLLBACK_IN_PROGRESS"
	rolledBack        = "ROLLBACK_SUCCESSFUL"
)

// serviceDeployment is one change of what a service runs, from its request to its end.
type serviceDeployment struct {
	ID         string     `json:"id"`
	Target     revision   `json:"target"`
	Sources    []revision `json:"sources,omitempty"` // what ran before
	Created    time.Time  `json:"created"`
	Updated    time.Time  `json:"updated"`
	Finished   time.Time  `json:"finished,omitzero"`
	Stopped    time.Time  `json:"stopped,omitzero"`
	Status     string     `json:"status"`
	Reason     string     `json:"reason,omitempty"`
	BackTo     string     `json:"backTo,omitempty"` // the revision that it was rolled back to
	BackSince  time.Time  `json:"backSince,omitzero"`
	BackReason string     `json:"backReason,omitempty"`
	Failures   int        `json:"failures"`  // tasks that failed in a row, when it ended
	Threshold  int        `json:"threshold"` // of the circuit breaker; 0: it was off
}

// revision is what a service runs: a deployment's number and its task definition.
type revision struct {
	ID         string `json:"id"`
	Definition string `json:"definition"`
}

// mostServiceDeployments is how many of a service are described.
const mostServiceDeployments = 50

func (d deployment) revision() revision {
	return revision{ID: strings.TrimPrefix(d.ID, "ecs-svc/"), Definition: d.Definition}
}

// under is the service deployment that goes on; nil when none does.
func (s *service) under() *serviceDeployment {
	if len(s.History) == 0 || !s.History[0].Finished.IsZero() {
		return nil
	}
	return &s.History[0]
}

// record begins a service deployment for the primary deployment. One that went on is stopped.
func (s *service) record(now time.Time) {
	if d := s.under(); d != nil {
		d.end(now, halted, "A newer service deployment has taken its place.")
	}
	next := serviceDeployment{ID: strings.ReplaceAll(carry.NewUUID(), "-", "")[:22], Target: s.Deployments[0].revision(), Created: now.UTC(), Updated: now.UTC(), Status: inProgress}
	for _, d := range s.Deployments[1:] {
		if !d.Ending {
			next.Sources = append(next.Sources, d.revision())
		}
	}
	if s.Breaker {
		next.Threshold = s.threshold()
	}
	s.History = append([]serviceDeployment{next}, s.History[:min(len(s.History), mostServiceDeployments-1)]...)
}

func (d *serviceDeployment) end(now time.Time, status, reason string) {
	d.Status, d.Reason, d.Updated, d.Finished = status, reason, now.UTC(), now.UTC()
	if status == halted {
		d.Stopped = d.Finished
	}
}

// followed keeps the service deployment that goes on in step with the primary deployment.
func (s *service) followed(now time.Time) {
	d, p := s.under(), s.Deployments[0]
	if d == nil {
		return
	}
	switch {
	case p.State == completed && (d.Status == rollbackBegun || d.Status == rollbackRequested):
		d.end(now, rolledBack, "Service deployment rolled back: "+d.BackReason)
	case p.State == completed:
		d.end(now, succeeded, "")
	case p.State == failed && d.Status == inProgress:
		d.Failures = p.Failed
		d.end(now, halted, p.Reason)
	}
}

// back says that a service deployment is undone: a deployment is the primary one again.
func (s *service) back(to deployment, reason string, now time.Time) {
	if d := s.under(); d != nil {
		d.Status, d.BackTo, d.BackSince, d.BackReason, d.Updated = rollbackBegun, to.revision().ID, now.UTC(), reason, now.UTC()
	}
}

func (s *Service) revisionARN(region string, v service, id string) string {
	return s.arn(region, "service-revision/"+v.Cluster+"/"+v.Name+"/"+id)
}

func (s *Service) serviceDeploymentARN(region string, v service, id string) string {
	return s.arn(region, "service-deployment/"+v.Cluster+"/"+v.Name+"/"+id)
}

// history is the service of an ARN of one of its parts, and the part's identifier.
func (s *Service) history(ctx context.Context, region, kind, arn string) (v service, id string, there bool, err error) {
	parts := strings.Split(strings.TrimPrefix(arn, s.arn(region, kind+"/")), "/")
	if len(parts) != 3 {
		return v, "", false, nil
	}
	v, err = s.services.Get(ctx, region+"/"+parts[0]+"/"+parts[1])
	if problem.CodeOf(err) == problem.NotFound {
		return v, "", false, nil
	}
	return v, parts[2], err == nil, err
}

func (s *Service) listServiceDeployments(ctx context.Context, c *wire.Call, in object) (object, error) {
	cluster := clusterOf(in, "cluster")
	name := in.Text("service")
	if parts := strings.Split(name, "/"); strings.HasPrefix(name, "arn:") && len(parts) == 3 {
		cluster = parts[1]
	}
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	v, err := s.services.Get(ctx, c.Region+"/"+cluster+"/"+last(name))
	if problem.CodeOf(err) == problem.NotFound {
		return nil, noService()
	}
	if err != nil {
		return nil, err
	}
	statuses, between := in.Texts("status"), in.Inner("createdAt")
	after, _ := between["after"].(time.Time)
	before, _ := between["before"].(time.Time)
	told := map[string]object{}
	var keys []string
	for n, d := range v.History {
		if len(statuses) > 0 && !slices.Contains(statuses, d.Status) || !after.IsZero() && d.Created.Before(after) || !before.IsZero() && d.Created.After(before) {
			continue
		}
		key := string(rune('A'+n/10)) + string(rune('0'+n%10)) + d.ID // the newest first
		keys = append(keys, key)
		told[key] = d.brief(s, c.Region, v)
	}
	out, err := page(in, "serviceDeployments", keys)
	if err != nil {
		return nil, err
	}
	list, _ := out["serviceDeployments"].([]any)
	for n := range list {
		key, _ := list[n].(string)
		list[n] = told[key]
	}
	return out, nil
}

// brief is what a list tells of a service deployment, and each description.
func (d serviceDeployment) brief(s *Service, region string, v service) object {
	o := object{"serviceDeploymentArn": s.serviceDeploymentARN(region, v, d.ID), "serviceArn": s.serviceARN(region, v), "clusterArn": s.clusterARN(region, v.Cluster), "createdAt": d.Created, "startedAt": d.Created,
		"status": d.Status, "statusReason": d.Reason, "targetServiceRevisionArn": s.revisionARN(region, v, d.Target.ID)}
	if !d.Finished.IsZero() {
		o["finishedAt"] = d.Finished
	}
	return o.With(nil)
}

func (s *Service) describeServiceDeployments(ctx context.Context, c *wire.Call, in object) (object, error) {
	found, failures := []any{}, []any{}
	for _, arn := range in.Texts("serviceDeploymentArns") {
		v, id, there, err := s.history(ctx, c.Region, "service-deployment", arn)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(v.History, func(d serviceDeployment) bool { return d.ID == id })
		if !there || at < 0 {
			failures = append(failures, missing(arn))
			continue
		}
		told, err := s.tellServiceDeployment(ctx, c.Region, v, v.History[at])
		if err != nil {
			return nil, err
		}
		found = append(found, told)
	}
	return object{"serviceDeployments": found, "failures": failures}, nil
}

func (s *Service) tellServiceDeployment(ctx context.Context, region string, v service, d serviceDeployment) (object, error) {
	groups, err := s.Groups.List(ctx, region, v.Fleet)
	if err != nil {
		return nil, err
	}
	tallies := v.tallies(groups)
	summary := func(r revision) object {
		o := object{"arn": s.revisionARN(region, v, r.ID), "requestedTaskCount": 0, "runningTaskCount": 0, "pendingTaskCount": 0}
		if of := v.find("ecs-svc/" + r.ID); of != nil {
			t := tallies[of.ID]
			o["requestedTaskCount"], o["runningTaskCount"], o["pendingTaskCount"] = of.Asked, t.running, t.pending
		}
		return o
	}
	sources := []any{}
	for _, r := range d.Sources {
		sources = append(sources, summary(r))
	}
	o := d.brief(s, region, v).With(object{"updatedAt": d.Updated, "targetServiceRevision": summary(d.Target), "sourceServiceRevisions": sources,
		"deploymentConfiguration":  object{"deploymentCircuitBreaker": object{"enable": v.Breaker, "rollback": v.Rollback}, "minimumHealthyPercent": v.Least, "maximumPercent": v.Most},
		"deploymentCircuitBreaker": d.breaker(v)})
	delete(o, "targetServiceRevisionArn")
	if !d.Stopped.IsZero() {
		o["stoppedAt"] = d.Stopped
	}
	if d.BackTo != "" {
		o["rollback"] = object{"reason": d.BackReason, "startedAt": d.BackSince, "serviceRevisionArn": s.revisionARN(region, v, d.BackTo)}
	}
	return o, nil
}

// breaker is what the circuit breaker sees of a service deployment.
func (d serviceDeployment) breaker(v service) object {
	failures := d.Failures
	if d.Finished.IsZero() && len(v.Deployments) > 0 {
		failures = max(failures, v.Deployments[0].Failed)
	}
	status := "MONITORING"
	switch {
	case d.Threshold == 0:
		status = "DISABLED"
	case d.Failures >= d.Threshold:
		status = "TRIGGERED"
	case !d.Finished.IsZero():
		status = "MONITORING_COMPLETE"
	}
	return object{"status": status, "failureCount": failures, "threshold": d.Threshold}
}

func (s *Service) describeServiceRevisions(ctx context.Context, c *wire.Call, in object) (object, error) {
	found, failures := []any{}, []any{}
	for _, arn := range in.Texts("serviceRevisionArns") {
		v, id, there, err := s.history(ctx, c.Region, "service-revision", arn)
		if err != nil {
			return nil, err
		}
		var r revision
		var created time.Time
		for _, d := range v.History {
			for _, one := range append([]revision{d.Target}, d.Sources...) {
				if one.ID == id {
					r, created = one, d.Created
				}
			}
		}
		if !there || r.ID == "" {
			failures = append(failures, missing(arn))
			continue
		}
		o := object{"serviceRevisionArn": arn, "serviceArn": s.serviceARN(c.Region, v), "clusterArn": s.clusterARN(c.Region, v.Cluster), "taskDefinition": s.definitionARN(c.Region, r.Definition), "createdAt": created,
			"launchType": v.toldLaunchType()}
		if v.launchType() == "FARGATE" {
			o["platformFamily"] = "Linux"
		}
		if d, err := s.definition(ctx, c.Region, r.Definition); err == nil {
			container := d.Data.Objects("containerDefinitions")[0]
			o["containerImages"] = []any{object{"containerName": container.Text("name"), "image": container.Text("image")}}
		}
		found = append(found, o.With(v.Kept.Only("networkConfiguration", "loadBalancers", "capacityProviderStrategy", "platformVersion")))
	}
	return object{"serviceRevisions": found, "failures": failures}, nil
}

// stopServiceDeployment ends a service deployment that goes on: what it launched stays as
// it is (ABORT), or the last deployment that completed is the primary one again (ROLLBACK).
func (s *Service) stopServiceDeployment(ctx context.Context, c *wire.Call, in object) (object, error) {
	arn := in.Text("serviceDeploymentArn")
	v, id, there, err := s.history(ctx, c.Region, "service-deployment", arn)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(v.History, func(d serviceDeployment) bool { return d.ID == id })
	if !there || at < 0 {
		return nil, wire.Errorf("ServiceDeploymentNotFoundException", "The service deployment ARN that you specified in the StopServiceDeployment doesn't exist. You can use ListServiceDeployments to retrieve the service deployment ARNs.")
	}
	_, err = s.update(ctx, c.Region, v.Cluster, v.Name, func(v *service) error {
		d := v.under()
		if d == nil || d.ID != id || d.Status != inProgress || v.Deployments[0].State != inProgress {
			return wire.Errorf("ConflictException", "The service deployment %s has ended, or is being rolled back.", arn)
		}
		p := &v.Deployments[0]
		abort := in.Text("stopType") == "ABORT"
		if !abort && !slices.ContainsFunc(v.Deployments, func(d deployment) bool { return d.State == completed && !d.Ending }) {
			return wire.Errorf("ConflictException", "There is no completed deployment of the service to roll back to. Set stopType to ABORT.")
		}
		p.State, p.Reason, p.Updated = failed, "ECS deployment "+p.ID+" stopped by a request.", s.Now().UTC()
		v.say(s.Now(), "(deployment %s) deployment stopped by a request.", p.ID)
		if abort {
			d.end(s.Now(), halted, "Service deployment stopped by a request.")
			return nil
		}
		d.Status, d.BackReason = rollbackRequested, "Service deployment stopped by a request."
		return nil
	})
	return object{"serviceDeploymentArn": arn}, err
}
