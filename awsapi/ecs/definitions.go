package ecs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

func definitionKey(region, family string, revision int) string {
	return fmt.Sprintf("%s/%s/%08d", region, family, revision)
}

// name is what a revision is called in a family: FAMILY:REVISION.
func (d definition) name() string { return d.Family + ":" + strconv.Itoa(d.Revision) }

func (s *Service) definitionARN(region, name string) string {
	return s.arn(region, "task-definition/"+name)
}

// definition finds a revision by its ARN, by FAMILY:REVISION, or the newest active one
// by FAMILY. Errors: not_found.
func (s *Service) definition(ctx context.Context, region, name string) (definition, error) {
	family, text, numbered := strings.Cut(last(name), ":")
	if numbered {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return definition{}, problem.New(problem.NotFound, "ecs.definition", "there is no task definition %s", name)
		}
		return s.definitions.Get(ctx, definitionKey(region, family, n))
	}
	found, err := definition{}, problem.New(problem.NotFound, "ecs.definition", "there is no task definition %s", name)
	for e, failure := range s.definitions.All(ctx, region+"/"+family+"/") {
		if failure != nil {
			return found, failure
		}
		if e.Doc.Status == active {
			found, err = e.Doc, nil
		}
	}
	if err != nil {
		return found, err
	}
	return found, nil
}

func (s *Service) register(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := in.Text("family")
	if !plainName(name) {
		return nil, refusal("Family contains invalid characters. It may hold up to 255 letters, digits, - and _.")
	}
	if err := checkDefinition(in); err != nil {
		return nil, err
	}
	counted, err := s.families.Put(ctx, c.Region+"/"+name, func(f *family) error { f.Revisions++; return nil })
	if err != nil {
		return nil, err
	}
	data := in.Clone()
	delete(data, "tags")
	d := definition{Family: name, Revision: counted.Revisions, Status: active, Registered: s.Now().UTC(), By: c.Caller, Data: data, Tags: tagsOf(in)}
	if err := s.definitions.Create(ctx, definitionKey(c.Region, name, d.Revision), d); err != nil {
		return nil, err
	}
	return object{"taskDefinition": s.tellDefinition(c.Region, d), "tags": wire.List(d.Tags)}, nil
}

// tellDefinition is a revision as it is described, with AWS's defaults.
func (s *Service) tellDefinition(region string, d definition) object {
	containers := []any{}
	for _, given := range d.Data.Objects("containerDefinitions") {
		ports := []any{}
		for _, p := range given.Objects("portMappings") {
			ports = append(ports, object{"hostPort": 0, "protocol": "tcp"}.With(p))
		}
		containers = append(containers, object{"cpu": 0, "essential": true, "environment": []any{}, "mountPoints": []any{}, "volumesFrom": []any{}, "systemControls": []any{}}.With(given).With(object{"portMappings": ports}))
	}
	compatible := []any{"EC2"}
	if fargate(d.Data) == nil {
		compatible = append(compatible, "FARGATE")
	}
	o := object{"volumes": []any{}, "placementConstraints": []any{}, "requiresAttributes": []any{}}.With(d.Data).With(object{
		"taskDefinitionArn": s.definitionARN(region, d.name()), "family": d.Family, "revision": d.Revision, "status": d.Status, "containerDefinitions": containers,
		"compatibilities": compatible, "registeredAt": d.Registered, "registeredBy": d.By})
	if !d.Deregistered.IsZero() {
		o["deregisteredAt"] = d.Deregistered
	}
	return o
}

func (s *Service) describeDefinition(ctx context.Context, c *wire.Call, in object) (object, error) {
	d, err := s.definition(ctx, c.Region, in.Text("taskDefinition"))
	if problem.CodeOf(err) == problem.NotFound {
		err = refusal("Unable to describe task definition.")
	}
	if err != nil {
		return nil, err
	}
	out := object{"taskDefinition": s.tellDefinition(c.Region, d)}
	if includes(in, "TAGS") {
		out["tags"] = wire.List(d.Tags)
	}
	return out, nil
}

func (s *Service) deregister(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := last(in.Text("taskDefinition"))
	if family, number, numbered := strings.Cut(name, ":"); !numbered || family == "" || number == "" {
		return nil, invalid("Task definition %s has no revision: name it as FAMILY:REVISION.", name)
	}
	d, err := s.definition(ctx, c.Region, name)
	if problem.CodeOf(err) == problem.NotFound {
		err = refusal("The specified task definition does not exist.")
	}
	if err != nil {
		return nil, err
	}
	d, err = s.definitions.Update(ctx, definitionKey(c.Region, d.Family, d.Revision), func(d *definition) error {
		if d.Status == active {
			d.Status, d.Deregistered = inactive, s.Now().UTC()
		}
		return nil
	})
	return object{"taskDefinition": s.tellDefinition(c.Region, d)}, err
}

// deleteDefinitions removes revisions that are deregistered. Deployments go on: each
// has its own record of what it runs.
func (s *Service) deleteDefinitions(ctx context.Context, c *wire.Call, in object) (object, error) {
	done, failures := []any{}, []any{}
	for _, name := range in.Texts("taskDefinitions") {
		d, err := s.definition(ctx, c.Region, name)
		switch {
		case problem.CodeOf(err) == problem.NotFound:
			failures = append(failures, object{"arn": name, "reason": "The specified task definition does not exist. Specify a valid account, family, revision and try again."})
			continue
		case err != nil:
			return nil, err
		case d.Status == active:
			failures = append(failures, object{"arn": s.definitionARN(c.Region, d.name()), "reason": "The specified task definition is still in ACTIVE status. Please deregister the target and try again."})
			continue
		}
		if err := s.definitions.Delete(ctx, definitionKey(c.Region, d.Family, d.Revision), nil); err != nil && problem.CodeOf(err) != problem.NotFound {
			return nil, err
		}
		d.Status = "DELETE_IN_PROGRESS"
		done = append(done, s.tellDefinition(c.Region, d))
	}
	return object{"taskDefinitions": done, "failures": failures}, nil
}

func (s *Service) listDefinitions(ctx context.Context, c *wire.Call, in object) (object, error) {
	status, prefix := in.Text("status"), in.Text("familyPrefix")
	if status == "" {
		status = active
	}
	var all []string
	for e, err := range s.definitions.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Status == status && (prefix == "" || e.Doc.Family == prefix) {
			all = append(all, fmt.Sprintf("%s/%08d", e.Doc.Family, e.Doc.Revision)) // in the order of its keys
		}
	}
	if in.Text("sort") == "DESC" {
		slices.Reverse(all)
	}
	at := map[string]string{}
	for n, key := range all { // pages go on after a position, in either order
		family, revision, _ := strings.Cut(key, "/")
		all[n] = fmt.Sprintf("%08d", n)
		at[all[n]] = s.definitionARN(c.Region, family+":"+strings.TrimLeft(revision, "0"))
	}
	out, err := page(in, "taskDefinitionArns", all)
	if err != nil {
		return nil, err
	}
	names := []any{}
	for _, key := range out.Texts("taskDefinitionArns") {
		names = append(names, at[key])
	}
	out["taskDefinitionArns"] = names
	return out, nil
}

func (s *Service) listFamilies(ctx context.Context, c *wire.Call, in object) (object, error) {
	hasActive := map[string]bool{}
	for e, err := range s.definitions.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		hasActive[e.Doc.Family] = hasActive[e.Doc.Family] || e.Doc.Status == active
	}
	var all []string
	for name, is := range hasActive {
		status := in.Text("status")
		if strings.HasPrefix(name, in.Text("familyPrefix")) && (status == "" || status == "ALL" || (status == active) == is) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return page(in, "families", all)
}
