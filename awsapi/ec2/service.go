package ec2

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"showrunner/artifact"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
)

// Artifacts keeps the files of the built-in image.
type Artifacts interface {
	PutDir(ctx context.Context, root string, paths []string) (artifact.Ref, artifact.Manifest, error)
	Has(ref artifact.Ref) bool
}

// Member is what an Auto Scaling group says of an instance of a server group of its own.
type Member struct {
	Group     string // the Auto Scaling group's name
	Launch    object // what the instance was launched with (Data)
	Template  object // its launch template, nil without one
	Tags      map[string]string
	Subnets   map[string]string // by zone
	Protected bool
}

// Members knows whose server groups are an Auto Scaling group's.
type Members interface {
	// Members are what is known of a region's clusters: a function of a cluster and of the
	// version of one of its instances.
	Members(ctx context.Context, region string) (func(cluster, version string) (Member, bool), error)
}

// Config is what the service needs.
type Config struct {
	Records   state.Records
	Groups    *control.Groups
	Artifacts Artifacts
	// Sample is the command of the built-in image's program.
	Sample  []string
	Regions []string
	Account string
	Log     *slog.Logger
	Now     func() time.Time
}

// Service is EC2.
type Service struct {
	Config
	machines  state.Collection[machine]
	tokens    state.Collection[token]
	templates state.Collection[template]
	images    state.Collection[image]
	kept      state.Collection[kept]
	tags      state.Collection[tagged]
	seeds     state.Collection[seed]
	members   Members

	mu     sync.Mutex
	seeded map[string]bool // regions whose default network is there
}

// New makes the service.
func New(c Config) *Service {
	return &Service{
		Config:   c,
		machines: state.New[machine](c.Records, "aws.ec2.instances"), tokens: state.New[token](c.Records, "aws.ec2.tokens"),
		templates: state.New[template](c.Records, "aws.ec2.templates"), images: state.New[image](c.Records, "aws.ec2.images"),
		kept: state.New[kept](c.Records, "aws.ec2.kept"), tags: state.New[tagged](c.Records, "aws.ec2.tags"),
		seeds: state.New[seed](c.Records, "aws.ec2.seeds"), seeded: map[string]bool{},
	}
}

// Use tells the service who knows Auto Scaling groups. It is called once, before it serves.
func (s *Service) Use(m Members) { s.members = m }

// handle has the default network of the region be there first.
func (s *Service) handle(f wire.ObjectFunc) wire.Handler {
	return wire.HandleObject(func(ctx context.Context, c *wire.Call, in object) (object, error) {
		if err := s.seed(ctx, c.Region); err != nil {
			return nil, err
		}
		out, err := f(ctx, c, in)
		if err == nil { // a dry run of something that only reads
			err = dryRun(in)
		}
		return out, err
	})
}

// change is handle for what changes something: a dry run is answered before it.
func (s *Service) change(f wire.ObjectFunc) wire.Handler {
	return s.handle(func(ctx context.Context, c *wire.Call, in object) (object, error) {
		if err := dryRun(in); err != nil {
			return nil, err
		}
		return f(ctx, c, in)
	})
}

// Service is the operations of ec2 that are served.
func (s *Service) Service() wire.Service {
	o := map[string]wire.Handler{
		// These check what they are asked for before they answer a dry run.
		"RunInstances":       s.handle(s.run),
		"TerminateInstances": s.handle(s.terminate),
		"StopInstances":      s.handle(s.stop),
		"StartInstances":     s.handle(s.start),
		"RebootInstances":    s.handle(s.reboot),

		"DescribeInstances":              s.handle(s.describeInstances),
		"DescribeInstanceStatus":         s.handle(s.describeStatus),
		"DescribeInstanceAttribute":      s.handle(s.describeAttribute),
		"ModifyInstanceAttribute":        s.change(s.modifyAttribute),
		"GetConsoleOutput":               s.handle(s.console),
		"DescribeInstanceTypes":          s.handle(s.describeTypes),
		"DescribeAvailabilityZones":      s.handle(s.describeZones),
		"DescribeRegions":                s.handle(s.describeRegions),
		"DescribeAccountAttributes":      s.handle(s.describeAccount),
		"DescribeImages":                 s.handle(s.describeImages),
		"RegisterImage":                  s.change(s.registerImage),
		"DeregisterImage":                s.change(s.deregisterImage),
		"CreateTags":                     s.change(s.createTags),
		"DeleteTags":                     s.change(s.deleteTags),
		"DescribeTags":                   s.handle(s.describeTags),
		"CreateLaunchTemplate":           s.change(s.createTemplate),
		"CreateLaunchTemplateVersion":    s.change(s.createVersion),
		"ModifyLaunchTemplate":           s.change(s.modifyTemplate),
		"DeleteLaunchTemplate":           s.change(s.deleteTemplate),
		"DeleteLaunchTemplateVersions":   s.change(s.deleteVersions),
		"DescribeLaunchTemplates":        s.handle(s.describeTemplates),
		"DescribeLaunchTemplateVersions": s.handle(s.describeVersions),
	}
	s.network(o)
	s.more(o)
	return wire.Service{Name: "ec2", Invalid: "InvalidParameterValue", Operations: o}
}

// zones are the zones of a region, and which of them are in outage.
func (s *Service) zones(ctx context.Context, region string) (names, down []string, err error) {
	regions, err := s.Groups.Regions(ctx)
	for _, r := range regions {
		if r.Name == region {
			return r.Zones, r.DownZones, err
		}
	}
	return nil, nil, err
}

// clusterPrefix is what the clusters of instances that are run by themselves are called.
const clusterPrefix = "aws-ec2-"

// ClusterOf is the cluster of an instance that is run by itself.
func ClusterOf(instance string) string { return clusterPrefix + instance }

// instanceOf is the instance whose cluster it is.
func instanceOf(g cloud.ServerGroup) (string, bool) {
	return strings.CutPrefix(g.Spec.Cluster, clusterPrefix)
}
