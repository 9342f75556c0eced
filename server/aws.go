package server

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"showrunner/awsapi"
	"showrunner/awsapi/applicationautoscaling"
	"showrunner/awsapi/autoscaling"
	"showrunner/awsapi/cloudformation"
	"showrunner/awsapi/cloudwatch"
	"showrunner/awsapi/codebuild"
	"showrunner/awsapi/codepipeline"
	"showrunner/awsapi/ec2"
	"showrunner/awsapi/ecs"
	"showrunner/awsapi/elbv2"
	"showrunner/awsapi/iam"
	"showrunner/awsapi/kinesis"
	"showrunner/awsapi/lambda"
	"showrunner/awsapi/logs"
	"showrunner/awsapi/s3"
	"showrunner/awsapi/secretsmanager"
	"showrunner/awsapi/ssm"
	"showrunner/awsapi/sts"
	"showrunner/awsapi/wire"
	"showrunner/cloud/localcloud"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/control"
	"showrunner/problem"
	"showrunner/secret"
)

// AWSAddressFile holds the address of a data folder's AWS-compatible endpoint.
func AWSAddressFile(data string) string { return filepath.Join(data, "aws.addr") }

// DefaultAWS is where the endpoint of `showrunner up` listens unless another address is asked for.
const DefaultAWS = "127.0.0.1:4566"

// portsTried is how many ports from the one asked for on are tried when it is taken.
const portsTried = 20

// CheckAWS takes an address of an endpoint: host:port, or off or nothing for none,
// which is the empty address. Errors: invalid.
func CheckAWS(address string) (string, error) {
	if address == "" || address == "off" {
		return "", nil
	}
	_, _, err := splitPort(address)
	return address, err
}

func splitPort(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	number, err2 := strconv.ParseUint(text, 10, 16)
	if err = errors.Join(err, err2); err != nil {
		return "", 0, problem.Wrap(err, problem.Invalid, "control.aws", "--aws %s is no address", address).WithHelp("give host:port, or off for no endpoint")
	}
	return host, int(number), nil
}

// listenAWS listens at the address, at the next free port when that is taken, or at
// any free port when the next ones are taken too. Where the endpoint was last comes
// first, so that a restart keeps the port that its clients know.
func listenAWS(address, last string) (net.Listener, error) {
	host, port, err := splitPort(address)
	if err != nil {
		return nil, err
	}
	var ports []int
	if lastHost, lastPort, err := splitPort(last); err == nil && lastHost == host {
		ports = append(ports, lastPort)
	}
	for n := range portsTried {
		if port > 0 && port+n <= math.MaxUint16 {
			ports = append(ports, port+n)
		}
	}
	for _, port := range append(ports, 0) {
		l, failed := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if failed == nil {
			return l, nil
		}
		if err = failed; !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, problem.Wrap(err, problem.Conflict, "control.aws", "listening on %s", address).WithHelp("choose another address with --aws, or --aws off")
}

// awsEndpoint is the AWS-compatible endpoint of a control plane.
type awsEndpoint struct {
	server    *http.Server
	listener  net.Listener
	streams   *kinesis.Streams
	objects   *s3.Front
	stacks    *cloudformation.Stacks
	alarms    *cloudwatch.CloudWatch
	logs      *logs.Logs
	ec2       *ec2.Service
	scaling   *autoscaling.Service
	balancing *elbv2.Service
	ecs       *ecs.Service
	services  *applicationautoscaling.Service
	functions *lambda.Service
	secrets   *secretsmanager.Secrets
	meter     *functionMeter
	pipelines *codepipeline.Service
	measurer  measurer
}

// awsEndpoint makes the endpoint and listens.
func (c *controlPlane) awsEndpoint() (*awsEndpoint, error) {
	credentials, err := objectstore.LoadCredentials(localcloud.CredentialsFile(c.Data))
	if err != nil {
		return nil, err
	}
	keys, err := awsapi.NewKeys(credentials.AccessKey, credentials.SecretKey)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "control.aws", "making the endpoint's keys")
	}
	keys.Users = c.userKey
	// Sessions are not enforced: whoever has the owner's key, or a session of it, acts as the owner.
	owner := control.Principal{Name: ownerName(), Owner: true}
	objects := s3.New(s3.Config{
		Regions: func(ctx context.Context) ([]s3.Region, error) { return c.objectStores(ctx, owner) },
		Owner:   keys.Owner(), Scope: awsapi.ScopeOf, Records: c.store, Perform: c.performAWS(owner), Log: c.Log, Now: c.Now,
	})
	groups := c.control.Groups(owner)
	instances := ec2.New(ec2.Config{Records: c.store, Groups: groups, Artifacts: c.artifacts, Sample: []string{c.Exe, "sample-service"}, Regions: c.Regions, Account: awsapi.Account, Log: c.Log, Now: c.Now})
	scaling := autoscaling.New(autoscaling.Config{Records: c.store, Groups: groups, EC2: instances, Regions: c.Regions, Account: awsapi.Account, Log: c.Log, Now: c.Now})
	instances.Use(scaling)
	logs := logs.New(c.store, c.Now)
	containers := ecs.New(ecs.Config{Records: c.store, Logs: logs, Output: groups.Follow, Alone: c.Database == "", Groups: groups, EC2: instances, Regions: c.Regions, Account: awsapi.Account, Log: c.Log, Now: c.Now,
		Image: func(ctx context.Context, name string) (control.AWSImage, error) {
			return c.control.AWSImage(ctx, owner, name)
		}})
	balancing := elbv2.New(elbv2.Config{Records: c.store, Groups: groups, EC2: instances, Attached: []elbv2.Attached{scaling.Clusters, containers.Clusters}, Regions: c.Regions, Account: awsapi.Account, Edge: c.Edge, Log: c.Log, Now: c.Now})
	scaling.Use(balancing)
	containers.Use(balancing)
	streams := kinesis.New(c.store, kinesis.Events{Log: c.reads, Since: time.Unix(0, 0)}, c.Now)
	inside := &insideServices{}
	var functions *lambda.Service // made below: it needs the others
	stacks := cloudformation.New(cloudformation.Config{
		Records: c.store, Values: secretValues{c.secrets}, Services: inside, Alone: c.Database == "", Now: c.Now, Log: c.Log,
		Zones:    func(ctx context.Context, region string) ([]string, error) { return c.zones(ctx, owner, region) },
		Endpoint: func() string { return c.awsURL },
		Failed: func(ctx context.Context, region, token string) (string, bool, error) {
			return functions.Failed(ctx, region, token)
		},
		Website: func(bucket string) string { return "http://" + bucket + "." + edgeName(c.Edge) },
	})
	services := applicationautoscaling.New(applicationautoscaling.Config{Records: c.store, Services: inside, Loads: containers.Loads, Groups: groups, Regions: c.Regions, Account: awsapi.Account, Log: c.Log, Now: c.Now})
	alarms := cloudwatch.New(c.store, c.metrics, c.alarmActions(owner, scaling, services), c.Now)
	logs.Measure, logs.Services, logs.Account = filteredValues(alarms), inside, awsapi.Account
	pipelines := codepipeline.New(codepipeline.Config{Records: c.store, Control: c.control, Principal: owner, Renderer: c.renderer(owner), Values: secretValues{c.secrets},
		MayDecide: mayDecide, Gate: c.transitions, URL: c.URL, Log: c.Log, Now: c.Now})
	builds := codebuild.New(codebuild.Config{Records: c.store, Control: c.control, Principal: owner, Builds: awsBuilds{c.builder}, Renderer: c.renderer(owner),
		Pipelines: pipelines, Changed: pipelines.ProjectChanged, Logs: logs, URL: c.URL, Now: c.Now})
	logs.Fill = builds.FillLogs
	meter := &functionMeter{}
	rotated := secretsmanager.New(c.store, secretValues{c.secrets}, inside, c.Now)
	functions = lambda.New(lambda.Config{Records: c.store, Values: secretValues{c.secrets}, Functions: c.control.Functions(owner), Services: inside, Artifacts: c.artifacts, Logs: logs, Used: meter.add,
		Watch: streams.Watch, Session: functionSession(keys), Endpoint: func() string { return c.awsURL }, Verify: verifyURL(keys, c.Now), Regions: c.Regions, Account: awsapi.Account, Alone: c.Database == "", Log: c.Log, Now: c.Now})
	endpoint, err := awsapi.New(awsapi.Config{
		Keys: keys, Regions: c.Regions, S3: objects, Open: openRequests(stacks, functions), Log: c.Log, Now: c.Now,
		Services: []wire.Service{
			sts.Service(keys, c.Now),
			rotated.Service(),
			ssm.Service(c.store, secretValues{c.secrets}, c.Now, ssm.Images(ec2.SampleImage)),
			iam.Service(c.store, secretValues{c.secrets}, c.Now),
			streams.Service(),
			stacks.Service(),
			alarms.Service(),
			logs.Service(),
			instances.Service(),
			scaling.Service(),
			balancing.Service(),
			containers.Service(),
			services.Service(),
			pipelines.Service(),
			builds.Service(),
			functions.Service(),
		},
		Perform: c.performAWS(owner),
	})
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "control.aws", "making the endpoint")
	}
	inside.Server = endpoint
	last, _ := AWSAddress(c.Data) // none at the first start
	l, err := listenAWS(c.AWS, last)
	if err != nil {
		return nil, err
	}
	c.awsURL = "http://" + l.Addr().String()
	e := &awsEndpoint{streams: streams, objects: objects, pipelines: pipelines, ec2: instances, scaling: scaling, balancing: balancing, ecs: containers, services: services, functions: functions, secrets: rotated, meter: meter, stacks: stacks, alarms: alarms, measurer: measurer{groups, scaling, balancing, containers, alarms, c.Regions, requestCounts{}}, logs: logs, listener: l,
		server: &http.Server{Handler: endpoint, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}}
	if err := announceAWS(c.Data, l); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return e, nil
}

// filteredValues keeps in the store of metrics what metric filters make of log events.
func filteredValues(metrics *cloudwatch.CloudWatch) func(context.Context, string, []logs.Value) error {
	return func(ctx context.Context, region string, values []logs.Value) error {
		list := make([]cloudwatch.Measurement, len(values))
		for n, v := range values {
			list[n] = cloudwatch.Measurement{Namespace: v.Namespace, Name: v.Name, Unit: v.Unit, Dimensions: v.Dimensions, Value: v.Value, At: v.At}
		}
		return metrics.Publish(ctx, region, list)
	}
}

// performAWS carries out what clients of AWS change: with the right checked and the act
// recorded.
func (c *controlPlane) performAWS(owner control.Principal) func(context.Context, *wire.Call, string, string, func() error) error {
	return func(ctx context.Context, call *wire.Call, service, operation string, act func() error) error {
		return c.control.AWS(ctx, owner, control.AWSCall{Service: service, Operation: operation, Region: call.Region, Caller: call.Caller, Request: call.ID}, act)
	}
}

// awsProtocols are what clients of AWS speak without TLS: the SDK for JavaScript speaks
// HTTP/2 to Kinesis, without asking first.
func awsProtocols() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return &p
}

// insideServices are the endpoint's services for one another: the endpoint itself,
// which is made after them.
type insideServices struct{ *awsapi.Server }

// userKey finds the user whose access key it is. A key that cannot be looked up is not
// known: the request is refused.
func (c *controlPlane) userKey(key string) (awsapi.User, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), keyLookup)
	defer cancel()
	user, found, err := iam.FindKey(ctx, c.store, secretValues{c.secrets}, awsapi.Account, key)
	if err != nil {
		c.Log.Warn("looking up an access key", "key", key, "error", err)
	}
	return awsapi.User(user), found && err == nil
}

// zones are the availability zones of a local region.
func (c *controlPlane) zones(ctx context.Context, p control.Principal, region string) ([]string, error) {
	regions, err := c.control.Regions(ctx, p)
	for _, r := range regions {
		if r.Account == control.DefaultAccount && r.Name == region {
			return r.Zones, nil
		}
	}
	return nil, err
}

// secretValues keeps values of AWS's services in the secret store; the audit event
// is the call's.
type secretValues struct{ *secret.Store }

func (v secretValues) Set(ctx context.Context, name string, value []byte) error {
	return v.Store.Set(ctx, name, value)
}

func (v secretValues) Delete(ctx context.Context, name string) error {
	return v.Store.Delete(ctx, name)
}

// objectStores are the object storages of the local regions.
func (c *controlPlane) objectStores(ctx context.Context, p control.Principal) ([]s3.Region, error) {
	regions, err := c.control.Regions(ctx, p)
	if err != nil {
		return nil, err
	}
	var out []s3.Region
	for _, r := range regions {
		if r.Account != control.DefaultAccount {
			continue
		}
		one := s3.Region{Name: r.Name}
		if r.Healthy {
			one.Endpoint = r.S3
		}
		out = append(out, one)
	}
	return out, nil
}

const (
	// keyLookup bounds how long a user's key is looked up.
	keyLookup = 5 * time.Second
	// sweepEvery is how often old records of streams are removed.
	sweepEvery = 10 * time.Minute
	// carryEvery is how often what is recorded and not done is looked for.
	carryEvery = 5 * time.Second
	// evaluateEvery is how often the scaling policies of services are evaluated.
	evaluateEvery = time.Second
)

// serve adds the endpoint to what runs until ctx ends.
func (e *awsEndpoint) serve(ctx context.Context, group *errgroup.Group, log *slog.Logger) {
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	e.server.Protocols = awsProtocols()
	e.server.BaseContext = func(net.Listener) context.Context { return requests }
	group.Go(func() error { e.pipelines.Run(ctx); return nil })
	group.Go(func() error { e.streams.Run(ctx, sweepEvery, log); return nil })
	group.Go(func() error { e.stacks.Run(ctx); return nil })
	group.Go(func() error { e.alarms.Run(ctx, log); return nil })
	group.Go(func() error {
		repeat(ctx, measureEvery, log, "measuring the local cloud", e.measurer.measure)
		return nil
	})
	group.Go(func() error { repeat(ctx, sweepEvery, log, "removing old log events", e.logs.Sweep); return nil })
	group.Go(func() error { e.logs.Run(ctx, carryEvery, log); return nil })
	group.Go(func() error {
		repeat(ctx, sweepEvery, log, "removing objects by lifecycle rules", func(ctx context.Context) error { return e.objects.Expire(ctx, time.Now()) })
		return nil
	})
	group.Go(func() error { e.ec2.Run(ctx, carryEvery); return nil })
	group.Go(func() error { e.scaling.Run(ctx, carryEvery); return nil })
	group.Go(func() error { e.balancing.Run(ctx, carryEvery); return nil })
	group.Go(func() error { e.ecs.Run(ctx, carryEvery); return nil })
	group.Go(func() error { e.services.Run(ctx, evaluateEvery); return nil })
	group.Go(func() error { e.functions.Run(ctx, carryEvery); return nil })
	group.Go(func() error { e.secrets.Run(ctx, carryEvery, log); return nil })
	group.Go(func() error { e.meter.run(ctx, e.alarms, log); return nil })
	group.Go(func() error {
		if err := e.server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
			return problem.Wrap(err, problem.Unavailable, "control.aws", "serving")
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		defer endRequests()
		return stopServing(e.server, endRequests, requestsFinish, requestsEnd, log)
	})
}

// repeat does something again and again until ctx ends; what fails is tried the next time.
func repeat(ctx context.Context, every time.Duration, log *slog.Logger, what string, do func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := do(ctx); err != nil && ctx.Err() == nil {
				log.Warn(what, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// announceAWS writes where the endpoint is.
func announceAWS(data string, l net.Listener) error {
	name := AWSAddressFile(data)
	err := os.WriteFile(name+".new", []byte(l.Addr().String()+"\n"), 0o600)
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "control.aws", "writing %s", name)
	}
	return nil
}

// ForgetAWS removes what says where the endpoint of a data folder is: none runs there.
func ForgetAWS(data string) error {
	if err := os.Remove(AWSAddressFile(data)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(err, problem.Unavailable, "control.aws", "removing %s", AWSAddressFile(data))
	}
	return nil
}

// AWSAddress is where the endpoint of a data folder was last. Errors: not_found.
func AWSAddress(data string) (string, error) {
	raw, err := os.ReadFile(AWSAddressFile(data))
	if err != nil {
		return "", problem.Wrap(err, problem.NotFound, "aws", "no AWS-compatible endpoint has run on %s", data).WithHelp("start it: showrunner up, without --aws off")
	}
	return strings.TrimSpace(string(raw)), nil
}
