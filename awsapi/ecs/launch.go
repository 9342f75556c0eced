package ecs

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"showrunner/artifact"
	"showrunner/awsapi/ec2"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/pipeline"
	"showrunner/problem"
)

// healthGrace is how long a program may take to start, where nothing else is said.
const healthGrace = 30 * time.Second

// resolve is what a task of a definition runs now. Errors: ClientException for an image
// that nothing stands for.
func (s *Service) resolve(ctx context.Context, region string, d definition, network object) (launch, error) {
	c := d.Data.Objects("containerDefinitions")[0]
	l, err := s.image(ctx, region, c.Text("image"))
	if err != nil {
		return l, err
	}
	switch entry, command := c.Texts("entryPoint"), c.Texts("command"); {
	case len(entry) > 0:
		l.Command = slices.Concat(entry, command)
	case len(command) > 0:
		l.Command = command
	}
	if err := checkHealth(c.Inner("healthCheck"), &l.Health); err != nil {
		return l, err
	}
	l.Env = map[string]string{}
	for _, e := range c.Objects("environment") {
		l.Env[e.Text("name")] = e.Text("value")
	}
	l.Memory = c.Number("memory", 0)
	if n, err := strconv.Atoi(d.Data.Text("memory")); err == nil && l.Memory == 0 {
		l.Memory = n
	}
	if l.Log, err = s.logs(ctx, c); err != nil {
		return l, err
	}
	l.Zones, err = s.zones(ctx, region, network)
	return l, err
}

// image is what stands for a container image: its artifact, its command and its check.
func (s *Service) image(ctx context.Context, region, name string) (launch, error) {
	i, err := s.Image(ctx, name)
	if problem.CodeOf(err) == problem.NotFound {
		return launch{}, refusal("Nothing stands for the image %s here: no containers are run. Name an artifact that is run instead, with its command: showrunner aws image %s=ARTIFACT -- COMMAND (or %s=sample for a built-in program that answers HTTP).", name, name, name)
	}
	if err != nil {
		return launch{}, err
	}
	if i.Artifact == control.SampleImage {
		sample, err := s.EC2.Image(ctx, region, ec2.SampleImage)
		return launch{Artifact: sample.Artifact, Command: sample.Command, Health: sample.Health}, err
	}
	l := launch{Artifact: artifact.Ref(i.Artifact), Command: i.Command, Health: pipeline.Health{TCP: true}}
	if i.Health != "" {
		l.Health = pipeline.Health{Path: i.Health}
	}
	return l, nil
}

// checkHealth has a container's own health check take the place of the image's. It finds
// the task's address in HOST and PORT.
func checkHealth(c object, h *pipeline.Health) error {
	if c == nil {
		return nil
	}
	command := c.Texts("command")
	switch {
	case len(command) == 1 && command[0] == "NONE":
		*h = pipeline.Health{TCP: true}
		return nil
	case len(command) == 2 && command[0] == "CMD-SHELL":
		h.Command = []string{"sh", "-c", command[1]}
	case len(command) > 1 && command[0] == "CMD":
		h.Command = command[1:]
	default:
		return refusal("Health check commands must start with CMD or CMD-SHELL.")
	}
	seconds := func(member string, otherwise int) pipeline.Duration {
		return pipeline.Duration(time.Duration(c.Number(member, otherwise)) * time.Second)
	}
	h.Path, h.TCP = "", false
	h.Interval, h.Timeout, h.Unhealthy = seconds("interval", 30), seconds("timeout", 5), c.Number("retries", 3)
	h.Grace = seconds("startPeriod", 0) + pipeline.Duration(h.Unhealthy)*(h.Interval+h.Timeout)
	return nil
}

// zones are the zones that a network configuration means; none means all.
func (s *Service) zones(ctx context.Context, region string, network object) ([]string, error) {
	var out []string
	for _, id := range network.Inner("awsvpcConfiguration").Texts("subnets") {
		zone, _, err := s.EC2.Subnet(ctx, region, id)
		if err != nil {
			return nil, inWords(err, id)
		}
		out = append(out, zone)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// spec is the server group of a deployment.
func (d deployment) spec(fleet string, count int) cloud.ServerGroupSpec {
	l := d.Launch
	spec := cloud.ServerGroupSpec{Application: ec2.Application, Cluster: fleet, Version: d.Definition, Workload: cloud.Workload{Process: &cloud.Process{Artifact: l.Artifact, Command: l.Command}},
		Env: map[string]cloud.EnvValue{}, Health: l.Health, Capacity: capacity(count), Zones: l.Zones, Weight: 100}
	for name, value := range l.Env {
		spec.Env[name] = cloud.EnvValue{Value: value}
	}
	if l.Memory > 0 {
		spec.Limits = &pipeline.Limits{Memory: strconv.Itoa(l.Memory) + "MiB"}
	}
	if spec.Health.Grace == 0 {
		spec.Health.Grace = pipeline.Duration(healthGrace)
	}
	return spec
}

// capacity is that of a server group with a number of tasks.
func capacity(count int) pipeline.Capacity {
	return pipeline.Capacity{Desired: count, Max: max(count, 1)}
}

// Artifacts are the artifacts of the services' deployments: they are not removed.
func (s *Service) Artifacts(ctx context.Context) ([]artifact.Ref, error) {
	var out []artifact.Ref
	for e, err := range s.services.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		for _, d := range e.Doc.Deployments {
			out = append(out, d.Launch.Artifact)
		}
	}
	for e, err := range s.runs.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		if !e.Doc.Gone {
			out = append(out, e.Doc.Launch.Artifact)
		}
	}
	return out, nil
}

// message is what an error says to a person.
func message(err error) string {
	var p *problem.Error
	if errors.As(err, &p) {
		return p.Message
	}
	return err.Error()
}
