package lambda

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"showrunner/artifact"
	"showrunner/awsapi/carry"
	"showrunner/awsapi/logs"
	"showrunner/awsapi/signature"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

type object = wire.Object

// Functions runs code in the regions.
type Functions interface {
	Runtimes(ctx context.Context, region, name string) ([]cloud.Runtime, error)
	Invoke(ctx context.Context, region string, in cloud.Invocation, log func(cloud.LogLines)) (cloud.InvocationResult, error)
	End(ctx context.Context, region, function string) error
}

// Values keeps the values of environment variables, encrypted. Resolve's and Delete's
// error is not_found for what is not there.
type Values interface {
	Set(ctx context.Context, name string, value []byte) error
	Resolve(ctx context.Context, name string) (string, error)
	Delete(ctx context.Context, name string) error
}

// Services are the other services of the endpoint.
type Services interface {
	Call(ctx context.Context, c wire.Call, service, operation string, in map[string]any) (map[string]any, error)
	Object(ctx context.Context, c wire.Call, method, path string, header http.Header, body []byte) ([]byte, error)
}

// Artifacts keeps code.
type Artifacts interface {
	PutDir(ctx context.Context, dir string, paths []string) (artifact.Ref, artifact.Manifest, error)
	ReadFile(ctx context.Context, ref artifact.Ref, name string, limit int64) ([]byte, error)
}

// Logs keeps what functions write.
type Logs interface {
	Append(ctx context.Context, region, group, stream string, lines []logs.Line) error
}

// Used is told of a request that has ended, for the service's metrics.
type Used func(ctx context.Context, region string, u Usage)

// Usage is what one request was.
type Usage struct {
	Function, Resource string // the resource is the function, or NAME:QUALIFIER
	Version            string // that ran; empty when it was not called by a qualifier
	Duration           time.Duration
	Failed, Throttled  bool
	AtOnce             int
}

// Config is what the service needs.
type Config struct {
	Records   state.Records
	Values    Values
	Functions Functions
	Services  Services
	Artifacts Artifacts
	Logs      Logs
	Used      Used // nil: nothing is measured
	// Watch tells of new records in a stream, at once; nil: streams are looked at every second.
	Watch func(region, stream string) (told <-chan struct{}, stop func())
	// Session makes credentials of a role for what a function calls.
	Session func(role, name string, until time.Time) (signature.Credentials, error)
	// Endpoint is where this endpoint is reached: http://127.0.0.1:4566.
	Endpoint func() string
	Verify   Verify // nil: addresses with AuthType AWS_IAM answer nobody
	Regions  []string
	Account  string
	// Alone says that no other control plane works on the records.
	Alone bool
	Log   *slog.Logger
	Now   func() time.Time
}

// Service is the functions of all regions.
type Service struct {
	Config
	docs     state.Collection[function]
	queue    state.Collection[event]
	mappings state.Collection[mapping]
	layers   state.Collection[layer]
	urls     state.Collection[address]
	process  string // tells this process from others
	queued   chan struct{}
	mapped   chan struct{}

	mu     sync.Mutex
	atOnce map[string]int // requests under way, by function ARN
}

// New makes the service.
func New(c Config) *Service {
	return &Service{Config: c, docs: state.New[function](c.Records, "aws.lambda"), queue: state.New[event](c.Records, "aws.lambda.events").Paged(16),
		mappings: state.New[mapping](c.Records, "aws.lambda.mappings"), layers: state.New[layer](c.Records, "aws.lambda.layers"), urls: state.New[address](c.Records, "aws.lambda.urls"),
		process: carry.NewUUID(), queued: make(chan struct{}, 1), mapped: make(chan struct{}, 1), atOnce: map[string]int{}}
}

// Service is the operations of lambda that are served.
func (s *Service) Service() wire.Service {
	return wire.Service{Name: "lambda", Data: []string{"Invoke"}, Operations: map[string]wire.Handler{
		"CreateFunction":                  wire.Handle(s.create),
		"UpdateFunctionCode":              wire.Handle(s.updateCode),
		"UpdateFunctionConfiguration":     wire.Handle(s.updateConfiguration),
		"GetFunction":                     wire.Handle(s.get),
		"GetFunctionConfiguration":        wire.Handle(s.getConfiguration),
		"GetFunctionCodeSigningConfig":    wire.Handle(s.getCodeSigning),
		"GetRuntimeManagementConfig":      wire.Handle(s.getRuntimeManagement),
		"ListFunctions":                   wire.Handle(s.list),
		"DeleteFunction":                  wire.Handle(s.delete),
		"PublishVersion":                  wire.Handle(s.publish),
		"ListVersionsByFunction":          wire.Handle(s.listVersions),
		"CreateAlias":                     wire.Handle(s.createAlias),
		"GetAlias":                        wire.Handle(s.getAlias),
		"ListAliases":                     wire.Handle(s.listAliases),
		"UpdateAlias":                     wire.Handle(s.updateAlias),
		"DeleteAlias":                     wire.Handle(s.deleteAlias),
		"Invoke":                          wire.Handle(s.invoke),
		"AddPermission":                   wire.Handle(s.addPermission),
		"RemovePermission":                wire.Handle(s.removePermission),
		"GetPolicy":                       wire.Handle(s.getPolicy),
		"TagResource":                     wire.Handle(s.tag),
		"UntagResource":                   wire.Handle(s.untag),
		"ListTags":                        wire.Handle(s.listTags),
		"GetAccountSettings":              wire.Handle(s.accountSettings),
		"PutFunctionConcurrency":          wire.Handle(s.putConcurrency),
		"GetFunctionConcurrency":          wire.Handle(s.getConcurrency),
		"DeleteFunctionConcurrency":       wire.Handle(s.deleteConcurrency),
		"PutFunctionEventInvokeConfig":    wire.Handle(s.putEventConfig),
		"UpdateFunctionEventInvokeConfig": wire.Handle(s.updateEventConfig),
		"GetFunctionEventInvokeConfig":    wire.Handle(s.getEventConfig),
		"DeleteFunctionEventInvokeConfig": wire.Handle(s.deleteEventConfig),
		"ListFunctionEventInvokeConfigs":  wire.Handle(s.listEventConfigs),
		"CreateFunctionUrlConfig":         wire.Handle(s.createURL),
		"GetFunctionUrlConfig":            wire.Handle(s.getURL),
		"ListFunctionUrlConfigs":          wire.Handle(s.listURLs),
		"UpdateFunctionUrlConfig":         wire.Handle(s.updateURL),
		"DeleteFunctionUrlConfig":         wire.Handle(s.deleteURL),
		"CreateEventSourceMapping":        wire.Handle(s.createMapping),
		"GetEventSourceMapping":           wire.Handle(s.getMapping),
		"ListEventSourceMappings":         wire.Handle(s.listMappings),
		"UpdateEventSourceMapping":        wire.Handle(s.updateMapping),
		"DeleteEventSourceMapping":        wire.Handle(s.deleteMapping),
		"PublishLayerVersion":             wire.Handle(s.publishLayer),
		"GetLayerVersion":                 wire.Handle(s.getLayer),
		"ListLayerVersions":               wire.Handle(s.listLayerVersions),
		"ListLayers":                      wire.Handle(s.listLayers),
		"DeleteLayerVersion":              wire.Handle(s.deleteLayer),
		"GetLayerVersionByArn":            wire.Handle(s.getLayerByARN),
		"AddLayerVersionPermission":       wire.Handle(s.addLayerPermission),
		"RemoveLayerVersionPermission":    wire.Handle(s.removeLayerPermission),
		"GetLayerVersionPolicy":           wire.Handle(s.getLayerPolicy),
		"PutRuntimeManagementConfig":      wire.Handle(s.putRuntimeManagement),
		"ListCodeSigningConfigs":          wire.Always(wire.Object{"CodeSigningConfigs": []any{}}), // none can be made here
	}}
}

const latest = "$LATEST"

// which names a function, and perhaps a version or an alias of it.
type which struct{ name, qualifier string }

var numeric = regexp.MustCompile(`^[0-9]+$`)

// arn is the ARN of a function, of one of its versions or of an alias.
func (s *Service) arn(region, name, qualifier string) string {
	arn := "arn:aws:lambda:" + region + ":" + s.Account + ":function:" + name
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}

// which reads a function's name, ARN or partial ARN, and a qualifier beside it.
func (s *Service) which(c *wire.Call, name, qualifier string) (which, error) {
	w := which{name, qualifier}
	if _, rest, ok := strings.Cut(name, "function:"); ok {
		switch parts := strings.Split(name, ":"); {
		case parts[0] != "arn":
		case parts[4] != c.Account:
			return w, &wire.Error{Code: "AccessDeniedException", Status: http.StatusForbidden}
		case parts[3] != c.Region:
			return w, missing("Functions from '%s' are not reachable in this region ('%s')", parts[3], c.Region)
		}
		w.name = rest
	} else if parts := strings.Split(name, ":"); len(parts) >= 2 && numeric.MatchString(parts[0]) && len(parts[0]) == 12 {
		w.name = strings.Join(parts[1:], ":")
	}
	name, inside, qualified := strings.Cut(w.name, ":")
	w.name = name
	switch {
	case len(name) > 64:
		return w, wire.Errorf("InvalidParameterValueException", "1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64", name)
	case qualified && qualifier != "" && qualifier != inside:
		return w, invalid("The derived qualifier from the function name does not match the specified qualifier.")
	case qualified:
		w.qualifier = inside
	}
	return w, nil
}

func functionKey(region, name string) string { return region + "/" + name }

func invalid(format string, args ...any) error {
	return userError("InvalidParameterValueException", format, args...)
}

// userError is an error as Lambda tells what its caller has to mend.
func userError(code, format string, args ...any) error {
	e := wire.Errorf(code, format, args...)
	e.Members = map[string]any{"Type": "User"}
	return e
}

// refused is the error of what cannot be had here.
func refused(format string, args ...any) error {
	return invalid("This cannot be had here: "+format, args...)
}

func missing(what string, args ...any) error {
	return userError("ResourceNotFoundException", what, args...)
}

func conflict(format string, args ...any) error {
	return userError("ResourceConflictException", format, args...)
}

func (s *Service) noFunction(region string, w which) error {
	return missing("Function not found: %s", s.arn(region, w.name, w.qualifier))
}

var aliasName = regexp.MustCompile(`^[a-zA-Z0-9-_]+$`)

// noQualified is the error of a version or an alias that is not there.
func (s *Service) noQualified(region string, w which) error {
	if aliasName.MatchString(w.qualifier) && !numeric.MatchString(w.qualifier) {
		return s.noAlias(region, w, w.qualifier)
	}
	return s.noFunction(region, w)
}

// outdated is the error of a revision that is not the present one.
func outdated() error {
	return userError("PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
}

// load is the document of a function.
func (s *Service) load(ctx context.Context, region string, w which) (function, error) {
	f, err := s.docs.Get(ctx, functionKey(region, w.name))
	if problem.CodeOf(err) == problem.NotFound {
		err = s.noFunction(region, w)
	}
	return f, err
}

// change updates the document of a function.
func (s *Service) change(ctx context.Context, region string, w which, how func(*function) error) (function, error) {
	f, err := s.docs.Update(ctx, functionKey(region, w.name), how)
	if problem.CodeOf(err) == problem.NotFound {
		err = s.noFunction(region, w)
	}
	return f, err
}

// settled is a function as it is once what was begun is done: code and settings are
// there from the first moment, so it is whenever somebody asks again.
func (s *Service) settled(ctx context.Context, region string, w which) (function, error) {
	f, err := s.load(ctx, region, w)
	if err != nil || !f.unsettled() {
		return f, err
	}
	return s.change(ctx, region, w, func(f *function) error { f.settle(); return nil })
}

// paging is how lists are paged.
func paging() wire.Paging {
	return wire.Paging{Token: "Marker", Most: "MaxItems", Least: 1, Greatest: 10000, Otherwise: 50,
		BadToken: func(string) error { return invalid("Invalid value for marker") },
		BadCount: func(v string) error { return invalid("Invalid value for maxItems: %s", v) }}
}

// page is one page of a list as the members of an answer.
func page(in object, member string, list []object, key string) (*object, error) {
	part, next, err := wire.Cut(paging(), in, list, func(o object) string { return o.Text(key) })
	out := object{member: wire.List(part)}.With(object{"NextMarker": next})
	return &out, err
}

// watch is Watch, or silence.
func (s *Service) watch(region, stream string) (<-chan struct{}, func()) {
	if s.Watch == nil {
		return nil, func() {}
	}
	return s.Watch(region, stream)
}
