package wire

import (
	"context"
	"fmt"
	"reflect"
)

// Call is what every operation knows of its caller.
type Call struct {
	Account string // twelve digits
	Region  string // of the signature's scope
	ID      string // of the request
	// Caller is the principal's ARN.
	Caller string
	Key    string // the access key that signed
	// Token is set of a call of another service of this endpoint: the same whenever
	// the same act is asked for again, so that what it makes is made once.
	Token string
}

// Handler carries out one operation.
type Handler struct {
	run    func(ctx context.Context, c *Call, q *Request) (any, error)
	input  reflect.Type
	output reflect.Type
}

// Handle makes a handler of a function whose structs stand for the operation's
// input and output (bind.go says how).
func Handle[In, Out any](f func(ctx context.Context, c *Call, in *In) (*Out, error)) Handler {
	return Handler{
		input: reflect.TypeFor[In](), output: reflect.TypeFor[Out](),
		run: func(ctx context.Context, c *Call, q *Request) (any, error) {
			in := new(In)
			if q.operation.Input != nil {
				if err := q.model.bind(q.model.of(q.operation.Input), q.Input, reflect.ValueOf(in).Elem()); err != nil {
					return nil, err
				}
			}
			return f(ctx, c, in)
		},
	}
}

// ObjectFunc carries out an operation whose input and output are members by name.
type ObjectFunc func(ctx context.Context, c *Call, in Object) (Object, error)

// HandleObject makes a handler of it.
func HandleObject(f ObjectFunc) Handler {
	return Handle(func(ctx context.Context, c *Call, in *Object) (*Object, error) {
		out, err := f(ctx, c, *in)
		return &out, err
	})
}

// Run carries out the request.
func (h Handler) Run(ctx context.Context, c *Call, q *Request) (any, error) { return h.run(ctx, c, q) }

// Service is the operations of one service that are served.
type Service struct {
	Name       string // of the model
	Operations map[string]Handler
	// Global is true of a service without regions.
	Global bool
	// Data are operations that only add data, such as records of a stream: they are
	// too many, and too plain, for the audit log.
	Data []string
	// Words, when it is set, says in words of the service's own what is wrong with an
	// input that the model forbids; empty: in those of the model.
	Words func(violations []string) string
	// Invalid is the code for inputs that the model forbids; empty: ValidationException.
	Invalid string
}

// Check says whether every handler's structs fit the model.
func (s Service) Check() error {
	m, err := Load(s.Name)
	if err != nil {
		return err
	}
	for name, h := range s.Operations {
		o := m.Operations[name]
		if o == nil {
			return fmt.Errorf("%s has no operation %s", s.Name, name)
		}
		for _, part := range []struct {
			ref *Ref
			t   reflect.Type
		}{{o.Input, h.input}, {o.Output, h.output}} {
			shape := &Shape{Name: "nothing", Type: "structure"}
			if part.ref != nil {
				shape = m.of(part.ref)
			}
			if part.t == streamedType {
				continue
			}
			if err := m.check(shape, part.t, map[reflect.Type]bool{}); err != nil {
				return fmt.Errorf("%s.%s: %w", s.Name, name, err)
			}
		}
	}
	return nil
}

// Violated says what is wrong with an input that the model forbids.
func (s Service) Violated(violations []string) string {
	if s.Words != nil {
		if text := s.Words(violations); text != "" {
			return text
		}
	}
	return Summary(violations)
}

// Always makes a handler whose answer is the same whatever is asked: of what there is
// once and for all, or never.
func Always(answer Object) Handler {
	return HandleObject(func(context.Context, *Call, Object) (Object, error) { return answer, nil })
}
