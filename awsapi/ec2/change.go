package ec2

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// asked are the instances that a request to change them names.
func (s *Service) asked(ctx context.Context, c *wire.Call, in object) ([]object, error) {
	ids := in.Texts("InstanceIds")
	if len(ids) == 0 || len(ids) == 1 && ids[0] == "" {
		return nil, missingParameter("InstanceId")
	}
	return s.named(ctx, c.Region, ids)
}

// changed is how an operation tells that an instance's state has changed.
func changed(i object, now string) object {
	return object{"InstanceId": i.Text("InstanceId"), "PreviousState": i.Inner("State"), "CurrentState": stateOf(now)}
}

// wants records what is wanted of a machine and has it carried out. A region that is
// away is asked again later.
func (s *Service) wants(ctx context.Context, region, id string, w want, reason, why string) error {
	m, err := s.machines.Update(ctx, region+"/"+id, func(m *machine) error {
		if m.Want != w && m.Want != wantTerminate {
			m.Want, m.Step, m.Done, m.Reason, m.Why, m.Changed = w, m.Step+1, false, reason, why, s.Now().UTC()
		}
		return nil
	})
	if err != nil || m.Done {
		return err
	}
	if _, err = s.carry(ctx, region, m); problem.CodeOf(err) == problem.Unavailable {
		return nil
	}
	return err
}

func (s *Service) terminate(ctx context.Context, c *wire.Call, in object) (object, error) {
	found, err := s.asked(ctx, c, in)
	if err != nil {
		return nil, err
	}
	for _, i := range found {
		m, own, err := s.machine(ctx, c.Region, i.Text("InstanceId"))
		if err != nil {
			return nil, err
		}
		if own && (m.Data.Is("DisableApiTermination") || m.Extra.Is("DisableApiTermination")) {
			return nil, wire.Errorf("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", m.ID)
		}
	}
	if err := dryRun(in); err != nil {
		return nil, err
	}
	var out []object
	for _, i := range found {
		id, state := i.Text("InstanceId"), i.Inner("State").Text("Name")
		if state == "terminated" {
			out = append(out, changed(i, "terminated"))
			continue
		}
		_, own, err := s.machine(ctx, c.Region, id)
		switch {
		case err != nil:
		case own:
			err = s.wants(ctx, c.Region, id, wantTerminate, "Client.UserInitiatedShutdown", "User initiated shutdown")
		default:
			err = s.kill(ctx, c, id)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, changed(i, "shutting-down"))
	}
	return object{"TerminatingInstances": wire.List(out)}, nil
}

// kill ends an instance of a server group at once, as the end of a machine does; its
// group replaces it.
func (s *Service) kill(ctx context.Context, c *wire.Call, id string) error {
	i, err := s.process(ctx, c.Region, id)
	if err != nil {
		return err
	}
	return s.Groups.Change(ctx, c.Region, i, control.InstanceChange{Terminate: true, Kill: true, Key: "aws.ec2/" + id + "/terminate"})
}

// process finds the process that an instance of a server group is.
func (s *Service) process(ctx context.Context, region, id string) (cloud.Instance, error) {
	groups, err := s.Groups.List(ctx, region, "")
	if err != nil {
		return cloud.Instance{}, err
	}
	for _, g := range groups {
		for _, i := range g.Instances {
			if i.ID == id {
				return i, nil
			}
		}
	}
	return cloud.Instance{}, wire.Errorf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
}

// alone are the machines that a request names: others cannot be stopped.
func (s *Service) alone(ctx context.Context, c *wire.Call, in object, doing string) ([]object, error) {
	found, err := s.asked(ctx, c, in)
	if err != nil {
		return nil, err
	}
	for _, i := range found {
		id := i.Text("InstanceId")
		_, own, err := s.machine(ctx, c.Region, id)
		if err != nil {
			return nil, err
		}
		if !own {
			return nil, wire.Errorf("UnsupportedOperation", "The instance '%s' belongs to a group, which keeps its instances running: it cannot be %s by itself. Change the group's capacity.", id, doing)
		}
	}
	return found, dryRun(in)
}

func incorrect(i object, doing string) error {
	return wire.Errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be %s.", i.Text("InstanceId"), doing)
}

func (s *Service) stop(ctx context.Context, c *wire.Call, in object) (object, error) {
	if in.Is("Hibernate") {
		return nil, unsupported("Hibernation")
	}
	found, err := s.alone(ctx, c, in, "stopped")
	if err != nil {
		return nil, err
	}
	var out []object
	for _, i := range found {
		switch state := i.Inner("State").Text("Name"); state {
		case "stopped", "stopping":
			out = append(out, changed(i, state))
			continue
		case "running", "pending":
		default:
			return nil, incorrect(i, "stopped")
		}
		if err := s.wants(ctx, c.Region, i.Text("InstanceId"), wantStop, "Client.UserInitiatedShutdown", "User initiated shutdown"); err != nil {
			return nil, err
		}
		out = append(out, changed(i, "stopping"))
	}
	return object{"StoppingInstances": wire.List(out)}, nil
}

func (s *Service) start(ctx context.Context, c *wire.Call, in object) (object, error) {
	found, err := s.alone(ctx, c, in, "started")
	if err != nil {
		return nil, err
	}
	var out []object
	for _, i := range found {
		switch state := i.Inner("State").Text("Name"); state {
		case "running", "pending":
			out = append(out, changed(i, state))
			continue
		case "stopped":
		default:
			return nil, incorrect(i, "started")
		}
		id := i.Text("InstanceId")
		if err := s.wants(ctx, c.Region, id, wantRun, "", ""); err != nil {
			return nil, err
		}
		if _, err := s.machines.Update(ctx, c.Region+"/"+id, func(m *machine) error { m.Launched = s.Now().UTC(); return nil }); err != nil {
			return nil, err
		}
		out = append(out, changed(i, "pending"))
	}
	return object{"StartingInstances": wire.List(out)}, nil
}

// reboot ends an instance's process; its group starts it again.
func (s *Service) reboot(ctx context.Context, c *wire.Call, in object) (object, error) {
	found, err := s.alone(ctx, c, in, "rebooted")
	if err != nil {
		return nil, err
	}
	for _, i := range found {
		if i.Inner("State").Text("Name") != "running" {
			return nil, incorrect(i, "rebooted")
		}
	}
	for _, i := range found {
		id := i.Text("InstanceId")
		groups, err := s.Groups.List(ctx, c.Region, ClusterOf(id))
		if err != nil {
			return nil, err
		}
		if p, ok := current(find(groups, id)); ok {
			if err := s.Groups.Change(ctx, c.Region, p, control.InstanceChange{Terminate: true, Last: true, Key: "aws.ec2/" + id + "/reboot/" + c.ID}); err != nil {
				return nil, err
			}
		}
	}
	return object{}, nil
}

func (s *Service) console(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("InstanceId")
	if _, err := s.instance(ctx, c.Region, id); err != nil {
		return nil, err
	}
	process := id
	groups, err := s.Groups.List(ctx, c.Region, ClusterOf(id))
	if err != nil {
		return nil, err
	}
	if p, ok := current(find(groups, id)); ok {
		process = p.ID
	}
	var b bytes.Buffer
	if err := s.Groups.Log(ctx, c.Region, process, &b); err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	const most = 64 << 10 // the last of it, as AWS
	text := b.Bytes()
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return object{"InstanceId": id, "Timestamp": s.Now().UTC(), "Output": base64.StdEncoding.EncodeToString(text)}, nil
}

func (s *Service) describeAttribute(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("InstanceId")
	o, err := s.instance(ctx, c.Region, id)
	if err != nil {
		return nil, err
	}
	m, _, err := s.machine(ctx, c.Region, id)
	if err != nil {
		return nil, err
	}
	attribute := in.Text("Attribute")
	name := strings.ToUpper(attribute[:min(1, len(attribute))]) + attribute[min(1, len(attribute)):]
	out := object{"InstanceId": id}
	switch name {
	case "InstanceType":
		out[name] = object{"Value": o.Text("InstanceType")}
	case "UserData":
		out[name] = object{"Value": m.Data.Text("UserData")}.With(nil)
	case "DisableApiTermination", "DisableApiStop":
		out[name] = object{"Value": m.Data.Is(name) || m.Extra.Is(name)}
	case "InstanceInitiatedShutdownBehavior":
		out[name] = object{"Value": cmp.Or(m.Extra.Text(name), m.Data.Text(name), "stop")}
	case "GroupSet":
		out["Groups"] = o["SecurityGroups"]
	case "SourceDestCheck", "EnaSupport":
		out[name] = object{"Value": true}
	case "EbsOptimized":
		out[name] = object{"Value": o.Is(name)}
	case "RootDeviceName":
		out[name] = object{"Value": o.Text(name)}
	case "BlockDeviceMapping":
		out["BlockDeviceMappings"] = []any{}
	case "ProductCodes":
		out[name] = []any{}
	case "EnclaveOptions":
		out[name] = object{"Enabled": false}
	case "Kernel", "Ramdisk":
		out[name+"Id"] = object{}
	default:
		out[name] = object{}
	}
	return out, nil
}

// modifyAttribute keeps whether an instance may be terminated and what its shutdown
// means; its type, user data and groups are those it was launched with.
func (s *Service) modifyAttribute(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("InstanceId")
	if _, err := s.instance(ctx, c.Region, id); err != nil {
		return nil, err
	}
	if _, own, err := s.machine(ctx, c.Region, id); err != nil || !own {
		if err == nil {
			err = wire.Errorf("UnsupportedOperation", "The instance '%s' belongs to a group: its attributes are the group's.", id)
		}
		return nil, err
	}
	extra := object{}
	for _, name := range []string{"DisableApiTermination", "DisableApiStop"} {
		if in.Has(name) {
			extra[name] = in.Inner(name).Is("Value")
		}
	}
	if v := in.Inner("InstanceInitiatedShutdownBehavior").Text("Value"); v != "" {
		extra["InstanceInitiatedShutdownBehavior"] = v
	}
	for _, name := range []string{"InstanceType", "UserData", "Groups", "EbsOptimized", "Kernel", "Ramdisk", "BlockDeviceMappings", "SriovNetSupport", "Attribute"} {
		if in.Has(name) {
			return nil, wire.Errorf("UnsupportedOperation", "%s of an instance cannot be modified here: run another one.", name)
		}
	}
	_, err := s.machines.Update(ctx, c.Region+"/"+id, func(m *machine) error {
		m.Extra = m.Extra.With(extra)
		if extra.Has("DisableApiTermination") {
			m.Data = m.Data.With(object{"DisableApiTermination": false})
		}
		return nil
	})
	return object{}, err
}
