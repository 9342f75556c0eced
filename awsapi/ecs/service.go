package ecs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/ec2"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/control"
)

// TargetGroups knows the load balancers' target groups.
type TargetGroups interface {
	// CheckTargetGroup refuses a target group that is not there.
	CheckTargetGroup(ctx context.Context, region, arn string) error
	// Changed is told that what is attached to target groups has changed.
	Changed(ctx context.Context, region string, arns []string) error
}

// Config is what the service needs.
type Config struct {
	Records state.Records
	Groups  *control.Groups
	EC2     *ec2.Service
	// Image finds what stands for a container image. Errors: not_found.
	Image func(ctx context.Context, name string) (control.AWSImage, error)
	// Logs keeps what tasks with the log driver awslogs write; nil: nothing is kept.
	Logs LogGroups
	// Output copies what an instance writes, until it has ended or ctx ends.
	Output  func(ctx context.Context, region, instance string, to io.Writer) error
	Alone   bool // no other control plane shares the records
	Regions []string
	Account string
	Log     *slog.Logger
	Now     func() time.Time
}

// Service is ECS.
type Service struct {
	Config
	clusters    state.Collection[cluster]
	families    state.Collection[family]
	definitions state.Collection[definition]
	services    state.Collection[service]
	stops       state.Collection[stopped]
	settings    state.Collection[settings]
	runs        state.Collection[run]
	targets     TargetGroups

	protections state.Collection[protected]

	outputs   state.Collection[written]
	holder    string         // this control plane, among those that share the records
	found     sync.Map       // keys of outputs that are recorded
	followed  sync.Map       // keys of outputs that are followed
	following sync.WaitGroup // the followers
}

// New makes the service.
func New(c Config) *Service {
	return &Service{Config: c, clusters: state.New[cluster](c.Records, "aws.ecs.clusters"), families: state.New[family](c.Records, "aws.ecs.families"),
		definitions: state.New[definition](c.Records, "aws.ecs.definitions"), services: state.New[service](c.Records, "aws.ecs.services"), stops: state.New[stopped](c.Records, "aws.ecs.stops"),
		protections: state.New[protected](c.Records, "aws.ecs.protections"), outputs: state.New[written](c.Records, "aws.ecs.outputs"), holder: carry.NewUUID(),
		settings: state.New[settings](c.Records, "aws.ecs.settings"), runs: state.New[run](c.Records, "aws.ecs.runs")}
}

// Use tells the service who knows target groups. It is called once, before it serves.
func (s *Service) Use(t TargetGroups) { s.targets = t }

// Service is the operations of ECS that are served.
func (s *Service) Service() wire.Service {
	o := map[string]wire.Handler{}
	for name, f := range map[string]wire.ObjectFunc{
		"CreateCluster": s.createCluster, "DescribeClusters": s.describeClusters, "ListClusters": s.listClusters, "UpdateCluster": s.updateCluster, "DeleteCluster": s.deleteCluster,
		"RegisterTaskDefinition": s.register, "DescribeTaskDefinition": s.describeDefinition, "ListTaskDefinitions": s.listDefinitions, "ListTaskDefinitionFamilies": s.listFamilies,
		"DeregisterTaskDefinition": s.deregister, "DeleteTaskDefinitions": s.deleteDefinitions,
		"CreateService": s.createService, "DescribeServices": s.describeServices, "ListServices": s.listServices, "UpdateService": s.updateService, "DeleteService": s.deleteService,
		"ListServiceDeployments": s.listServiceDeployments, "DescribeServiceDeployments": s.describeServiceDeployments, "DescribeServiceRevisions": s.describeServiceRevisions, "StopServiceDeployment": s.stopServiceDeployment,
		"UpdateTaskProtection": s.protect, "GetTaskProtection": s.protection,
		"ListTasks": s.listTasks, "DescribeTasks": s.describeTasks, "RunTask": s.runTask, "StopTask": s.stopTask, "ListContainerInstances": s.listContainerInstances,
		"ListAccountSettings": s.listSettings, "PutAccountSetting": s.putSetting, "PutAccountSettingDefault": s.putSetting, "DeleteAccountSetting": s.deleteSetting,
		"DescribeCapacityProviders": s.describeProviders, "PutClusterCapacityProviders": s.putProviders, "UpdateClusterSettings": s.updateSettings,
		"DescribeContainerInstances": s.describeContainerInstances, "ListAttributes": s.listAttributes,
		"TagResource": s.tag, "UntagResource": s.untag, "ListTagsForResource": s.listTags,
	} {
		o[name] = wire.HandleObject(f)
	}
	return wire.Service{Name: "ecs", Invalid: "InvalidParameterException", Operations: o}
}

func invalid(format string, args ...any) error {
	return wire.Errorf("InvalidParameterException", format, args...)
}

func refusal(format string, args ...any) error {
	return wire.Errorf("ClientException", format, args...)
}

// unsupported refuses by name what cannot be had here.
func unsupported(what string) error { return refusal("This cannot be had here: %s", what) }

// arn is the name of a resource for all of AWS.
func (s *Service) arn(region, resource string) string {
	return "arn:aws:ecs:" + region + ":" + s.Account + ":" + resource
}

// last is the name that an ARN ends with, or the name itself.
func last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// digest is what tells two requests apart.
func digest(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "" // not reached: a request is plain data
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// page is one page of a list of names as an answer's member.
func page(in object, member string, all []string) (object, error) {
	p := wire.Paging{Token: "nextToken", Most: "maxResults", Least: 1, Greatest: 100, Otherwise: 100,
		BadToken: func(string) error { return invalid("Invalid token.") },
		BadCount: func(string) error { return invalid("maxResults must be between 1 and 100.") }}
	out, next, err := wire.Cut(p, in, all, func(v string) string { return v })
	return object{member: wire.List(out)}.With(object{"nextToken": next}), err
}

// missing is a resource that was asked for and is not there.
func missing(arn string) object { return object{"arn": arn, "reason": "MISSING"} }
