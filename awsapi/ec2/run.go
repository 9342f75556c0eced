package ec2

import (
	"context"
	"strconv"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// want is what a person wants of an instance.
type want string

const (
	wantRun       want = "run"
	wantStop      want = "stop"
	wantTerminate want = "terminate"
)

// machine is an instance that is run by itself: the record says what is wanted
// before anything is done, and Run carries it out again after a crash.
type machine struct {
	ID          string    `json:"id"`
	Reservation string    `json:"reservation"`
	Index       int       `json:"index"` // among those that one request ran
	Token       string    `json:"token,omitempty"`
	Data        object    `json:"data"`               // launch data, the template's and the request's
	Template    object    `json:"template,omitempty"` // that it was launched from
	Zone        string    `json:"zone"`
	Subnet      string    `json:"subnet"`
	VPC         string    `json:"vpc"`
	Launched    time.Time `json:"launched"`
	Want        want      `json:"want"`
	// Step counts the changes that were wanted: each has a key of its own.
	Step  int       `json:"step"`
	Done  bool      `json:"done"`            // what is wanted was asked of the region
	Group string    `json:"group,omitempty"` // its server group
	Ended time.Time `json:"ended,omitzero"`
	// Reason is AWS's code of why it is stopped or terminated, Why the words, at a time.
	Reason  string    `json:"reason,omitempty"`
	Why     string    `json:"why,omitempty"`
	Changed time.Time `json:"changed,omitzero"`
	// Extra are attributes that are kept: DisableApiTermination and its like.
	Extra object `json:"extra,omitempty"`
}

// token remembers what a request with a client token made.
type token struct {
	Request string    `json:"request"`
	IDs     []string  `json:"ids"`
	At      time.Time `json:"at"`
}

// mostInstances is how many instances one request may run.
const mostInstances = 1000

// launchMembers are the members of a request to run instances that are launch data.
var launchMembers = []string{"BlockDeviceMappings", "CapacityReservationSpecification", "CpuOptions", "CreditSpecification", "DisableApiStop", "DisableApiTermination", "EbsOptimized", "ElasticGpuSpecification",
	"ElasticInferenceAccelerators", "EnclaveOptions", "HibernationOptions", "IamInstanceProfile", "ImageId", "InstanceInitiatedShutdownBehavior", "InstanceMarketOptions", "InstanceType", "Ipv6AddressCount",
	"Ipv6Addresses", "KernelId", "KeyName", "MaintenanceOptions", "MetadataOptions", "Monitoring", "NetworkInterfaces", "Placement", "PrivateDnsNameOptions", "PrivateIpAddress", "RamdiskId", "SecurityGroupIds",
	"SecurityGroups", "SubnetId", "TagSpecifications", "UserData"}

// run is RunInstances.
func (s *Service) run(ctx context.Context, c *wire.Call, in object) (object, error) {
	data, from := in.Only(launchMembers...), object(nil)
	if t := in.Inner("LaunchTemplate"); t != nil {
		base, which, err := s.TemplateData(ctx, c.Region, t)
		if err != nil {
			return nil, err
		}
		data, from = base.With(data), which
	}
	least, most := in.Number("MinCount", 1), in.Number("MaxCount", 1)
	switch {
	case least < 1 || most < 1:
		return nil, wire.Errorf("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. Minimum value is 1.", least)
	case least > most:
		return nil, wire.Errorf("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. It must be less than or equal to maxCount.", least)
	case most > mostInstances:
		return nil, wire.Errorf("InstanceLimitExceeded", "You have requested more instances (%d) than one request may run (%d).", most, mostInstances)
	}
	if err := s.CheckLaunch(ctx, c.Region, data); err != nil {
		return nil, err
	}
	if _, err := s.Spec(ctx, c.Region, data); err != nil {
		return nil, err
	}
	if _, err := s.Groups.List(ctx, c.Region, clusterPrefix); err != nil { // a region that is unreachable runs nothing
		return nil, err
	}
	var made []machine
	for n := range most {
		zone, subnet, err := s.place(ctx, c.Region, data, n)
		if err != nil {
			return nil, err
		}
		_, vpc, err := s.Subnet(ctx, c.Region, subnet)
		if err != nil {
			return nil, err
		}
		id := newID("i-")
		made = append(made, machine{ID: id, Reservation: reservationOf(id), Index: n, Token: in.Text("ClientToken"), Data: data.Clone(), Template: from, Zone: zone, Subnet: subnet, VPC: vpc,
			Launched: s.Now().UTC(), Want: wantRun})
	}
	if err := dryRun(in); err != nil {
		return nil, err
	}
	made, err := s.claim(ctx, c.Region, in, made)
	if err != nil {
		return nil, err
	}
	return s.launch(ctx, c, made)
}

// reservationOf is an instance's reservation: each has one of its own.
func reservationOf(instance string) string { return "r-" + instance[len("i-"):] }

// claim writes down what a request with a token makes, and returns what it made
// when it came before.
func (s *Service) claim(ctx context.Context, region string, in object, made []machine) ([]machine, error) {
	name := in.Text("ClientToken")
	if name == "" {
		return made, nil
	}
	t := token{Request: digest(in), At: s.Now().UTC()}
	for _, m := range made {
		t.IDs = append(t.IDs, m.ID)
	}
	err := s.tokens.Create(ctx, region+"/"+name, t)
	if problem.CodeOf(err) != problem.Conflict {
		return made, err
	}
	before, err := s.tokens.Get(ctx, region+"/"+name)
	if err != nil {
		return nil, err
	}
	if before.Request != t.Request || len(before.IDs) != len(made) {
		return nil, wire.Errorf("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
	}
	for n, id := range before.IDs {
		made[n].ID, made[n].Reservation = id, reservationOf(id)
	}
	return made, nil
}

// launch records the instances and has the region make them.
func (s *Service) launch(ctx context.Context, c *wire.Call, made []machine) (object, error) {
	names, err := s.groupNames(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var out []object
	for n, m := range made {
		key := c.Region + "/" + m.ID
		tags := tagsFor(m.Data, "instance")
		if err := s.keepTags(ctx, c.Region, m.ID, tags); err != nil {
			return nil, err
		}
		switch err := s.machines.Create(ctx, key, m); {
		case problem.CodeOf(err) == problem.Conflict:
			if m, err = s.machines.Get(ctx, key); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		default:
			if m, err = s.carry(ctx, c.Region, m); err != nil && problem.CodeOf(err) != problem.Unavailable {
				return nil, err // the record says why it is terminated
			}
		}
		made[n] = m
		o := s.tellMachine(ctx, c.Region, m, nil, tags)
		o["State"] = stateOf("pending")
		nameGroups(o, names)
		delete(o, "ReservationId") // of describing, where each has its own
		out = append(out, o)
	}
	return object{"ReservationId": made[0].Reservation, "OwnerId": c.Account, "Groups": []any{}, "Instances": wire.List(out)}, nil
}

// key is the idempotency key of what is wanted of a machine now.
func (m machine) key() string { return "aws.ec2/" + m.ID + "/" + strconv.Itoa(m.Step) }
