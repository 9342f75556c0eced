package cloudformation

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"showrunner/awsapi/cloudformation/resource"
	"showrunner/awsapi/signature"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Values keeps the values of hidden parameters, encrypted. Resolve's and Delete's
// error is not_found for what is not there.
type Values interface {
	Set(ctx context.Context, name string, value []byte) error
	Resolve(ctx context.Context, name string) (string, error)
	Delete(ctx context.Context, name string) error
}

// Config is what the service needs.
type Config struct {
	Records  state.Records
	Values   Values
	Services resource.Services
	// Zones are the availability zones of a region.
	Zones func(ctx context.Context, region string) ([]string, error)
	// Website is where a bucket's website is opened on this machine.
	Website func(bucket string) string
	// Endpoint is where this endpoint is reached by functions, Failed says whether one of
	// theirs has failed for good (resource.Config).
	Endpoint func() string
	Failed   func(ctx context.Context, region, token string) (why string, failed bool, err error)
	// Alone says that no other control plane has these records: operations that are
	// found when the service starts are then nobody's.
	Alone bool
	// AnswerWithin is how long a request waits for the operation that it began: most
	// end within it, and clients that poll see the end with their first look. 0: 3 s.
	AnswerWithin time.Duration
	// SettleEvery is how often a resource that is not ready is asked again. 0: 500 ms.
	SettleEvery time.Duration
	Now         func() time.Time
	Log         *slog.Logger
}

// Stacks is the service.
type Stacks struct {
	Config
	types      func() resource.Catalog
	stacks     state.Collection[stack]
	names      state.Collection[name]
	changeSets state.Collection[changeSet]
	chunks     state.Collection[chunk]
	exports    state.Collection[export]
	work       state.Collection[work]
	drifts     state.Collection[detection]
	me         string
	wake       chan struct{}

	mu   sync.Mutex
	done map[string]chan struct{} // stack's key → closed when its operation has ended or waits
}

// name says which stack has a name now.
type name struct {
	ID string `json:"id"`
}

// New makes the service; Run has to run for anything to happen.
func New(c Config) *Stacks {
	c.AnswerWithin = cmp.Or(c.AnswerWithin, 3*time.Second)
	c.SettleEvery = cmp.Or(c.SettleEvery, 500*time.Millisecond)
	s := &Stacks{
		Config: c, stacks: state.New[stack](c.Records, "aws.cloudformation.stacks").Paged(8), names: state.New[name](c.Records, "aws.cloudformation.names"),
		changeSets: state.New[changeSet](c.Records, "aws.cloudformation.changesets").Paged(8), chunks: state.New[chunk](c.Records, "aws.cloudformation.events").Paged(8),
		exports: state.New[export](c.Records, "aws.cloudformation.exports"), work: state.New[work](c.Records, "aws.cloudformation.work"),
		drifts: state.New[detection](c.Records, "aws.cloudformation.drifts"),
		me:     newUUID(), wake: make(chan struct{}, 1), done: map[string]chan struct{}{},
	}
	s.types = sync.OnceValue(func() resource.Catalog {
		return resource.Types(resource.Config{Records: c.Records, Website: c.Website, Endpoint: c.Endpoint, Failed: c.Failed, Now: c.Now}, c.Services.Serves)
	})
	return s
}

// Service is the operations of cloudformation that are served.
func (s *Stacks) Service() wire.Service {
	return wire.Service{Name: "cloudformation", Invalid: "ValidationError", Operations: map[string]wire.Handler{
		"CreateStack":                 wire.Handle(s.createStack),
		"UpdateStack":                 wire.Handle(s.updateStack),
		"DeleteStack":                 wire.Handle(s.deleteStack),
		"CancelUpdateStack":           wire.Handle(s.cancelUpdate),
		"ContinueUpdateRollback":      wire.Handle(s.continueRollback),
		"RollbackStack":               wire.Handle(s.rollbackStack),
		"UpdateTerminationProtection": wire.Handle(s.protect),
		"SetStackPolicy":              wire.Handle(s.setPolicy),
		"GetStackPolicy":              wire.Handle(s.getPolicy),
		"DescribeStacks":              wire.Handle(s.describeStacks),
		"ListStacks":                  wire.Handle(s.listStacks),
		"DescribeStackEvents":         wire.Handle(s.describeEvents),
		"DescribeStackResource":       wire.Handle(s.describeResource),
		"DescribeStackResources":      wire.Handle(s.describeResources),
		"ListStackResources":          wire.Handle(s.listResources),
		"GetTemplate":                 wire.Handle(s.getTemplate),
		"GetTemplateSummary":          wire.Handle(s.summary),
		"ValidateTemplate":            wire.Handle(s.validate),
		"CreateChangeSet":             wire.Handle(s.createChangeSet),
		"DescribeChangeSet":           wire.Handle(s.describeChangeSet),
		"ExecuteChangeSet":            wire.Handle(s.executeChangeSet),
		"DeleteChangeSet":             wire.Handle(s.deleteChangeSet),
		"ListChangeSets":              wire.Handle(s.listChangeSets),
		"ListExports":                 wire.Handle(s.listExports),
		"ListImports":                 wire.Handle(s.listImports),
		"DescribeAccountLimits":       wire.Handle(s.limits),
		"ListTypes":                   wire.HandleObject(s.listTypes),
		"DescribeType":                wire.HandleObject(s.describeType),
		"DescribeEvents":              wire.HandleObject(s.describeOperations),
		"ListHookResults":             wire.HandleObject(listHookResults),
		"DetectStackDrift":            wire.Handle(s.detectDrift),
		"DetectStackResourceDrift":    wire.HandleObject(s.detectResourceDrift),
		"DescribeStackResourceDrifts": wire.HandleObject(s.resourceDrifts),

		"DescribeStackDriftDetectionStatus": wire.Handle(s.detectionStatus),
		"ListStackSets":                     wire.Always(wire.Object{"Summaries": []any{}}), // none can be made here
	}}
}

type none struct{}

func invalid(format string, args ...any) error {
	return wire.Errorf("ValidationError", format, args...)
}

func noStack(id string) error { return invalid("Stack with id %s does not exist", id) }

// key is where a stack is kept.
func (d *stack) key() string { return d.Region + "/" + d.ID }

func (d *stack) arn(account string) string {
	return arnOf(d.Region, account, "stack", d.Name, d.ID)
}

// find is the stack of a name or an ARN. One that was deleted is found by its ARN
// alone. The error's code is not_found.
func (s *Stacks) find(ctx context.Context, c *wire.Call, id string) (stack, error) {
	missing := problem.New(problem.NotFound, "cloudformation", "there is no stack %s", id)
	if rest, ok := strings.CutPrefix(id, "arn:"); ok {
		parts := strings.Split(rest, "/")
		if len(parts) != 3 || !strings.HasPrefix(id, arnOf(c.Region, c.Account, "stack", parts[1], "")) {
			return stack{}, missing
		}
		d, err := s.stacks.Get(ctx, c.Region+"/"+parts[2])
		if err == nil && d.Name != parts[1] {
			err = missing
		}
		return d, err
	}
	n, err := s.names.Get(ctx, c.Region+"/"+id)
	if err != nil {
		return stack{}, err
	}
	d, err := s.stacks.Get(ctx, c.Region+"/"+n.ID)
	if err == nil && d.Status == deleteComplete {
		err = missing
	}
	return d, err
}

// need is find with AWS's words for a stack that is not there.
func (s *Stacks) need(ctx context.Context, c *wire.Call, id string, missing func(string) error) (stack, error) {
	d, err := s.find(ctx, c, id)
	if problem.CodeOf(err) == problem.NotFound {
		err = missing(id)
	}
	return d, err
}

// change updates a stack.
func (s *Stacks) change(ctx context.Context, c *wire.Call, id string, how func(*stack) error) (stack, error) {
	d, err := s.need(ctx, c, id, noStack)
	if err != nil {
		return d, err
	}
	return s.stacks.Update(ctx, d.key(), how)
}

// claimName gives a name to a new stack. Errors: taken when a stack that is not
// deleted has it.
func (s *Stacks) claimName(ctx context.Context, d *stack, taken error) error {
	_, err := s.names.Put(ctx, d.Region+"/"+d.Name, func(n *name) error {
		if n.ID != "" && n.ID != d.ID {
			had, err := s.stacks.Get(ctx, d.Region+"/"+n.ID)
			if err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
			if err == nil && had.Status != deleteComplete {
				return taken
			}
		}
		n.ID = d.ID
		return nil
	})
	return err
}

// Open is what answers a request that needs no signature: a function's answer about a
// custom resource. nil for every other request.
func (s *Stacks) Open(r *http.Request) http.Handler {
	if r.Method != http.MethodPut || !strings.HasPrefix(r.URL.Path, resource.AnswerPath) || signature.Loopback(r.Host) != nil {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if arn := resource.NewAnswers(s.Records).Take(w, r); arn != "" {
			s.hasten(r.Context(), arn)
		}
	})
}

// hasten has a stack's operation carried on at once. One that is under way, or that
// cannot be hastened, looks again by itself.
func (s *Stacks) hasten(ctx context.Context, arn string) {
	parts := strings.Split(arn, ":")
	if len(parts) < 6 {
		return
	}
	key := parts[3] + "/" + arn[strings.LastIndexByte(arn, '/')+1:]
	if _, err := s.work.Update(ctx, key, func(w *work) error { w.Due = time.Time{}; return nil }); err != nil {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
