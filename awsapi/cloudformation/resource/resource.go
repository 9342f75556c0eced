// Package resource owns the types of resources that stacks can have: which
// properties a type has, what a change of one means, and how a resource is made,
// changed, found and deleted. Handlers act through the other services of the
// endpoint, as an outside client would. A file for each family of types.
//
// It refuses to know templates and stacks: what a handler gets is evaluated.
package resource

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
)

// Services are the other services of the endpoint.
type Services interface {
	// Call carries out an operation; the error is a *wire.Error with AWS's code.
	Call(ctx context.Context, c wire.Call, service, operation string, in map[string]any) (map[string]any, error)
	// Serves says whether an operation is there.
	Serves(service, operation string) bool
	// Object carries out a request of S3.
	Object(ctx context.Context, c wire.Call, method, path string, header http.Header, body []byte) ([]byte, error)
}

// Request is what a handler is asked about one resource.
type Request struct {
	Services
	wire.Call // whose region, account and caller the resource is made with
	StackID   string
	StackName string
	Logical   string
	Type      string // the resource's
	// Physical is the identifier: the one that the resource has, or, before it is
	// made, the one that it gets if its type lets CloudFormation choose.
	Physical string
	// Token is the same whenever the same act is asked for again.
	Token      string
	Replaced   string // the identifier of the resource that this one replaces
	Properties map[string]any
	Old        map[string]any // before an update
	Attributes map[string]any // as they were, in an update and a deletion
	Tags       []Tag          // of the stack, and CloudFormation's own
}

// Tag is a tag of a resource.
type Tag struct{ Key, Value string }

// Made is a resource as it is.
type Made struct {
	Physical   string
	Attributes map[string]any
	// Settling is set of a resource that is not ready yet: Settled is asked until it is.
	Settling bool
}

// Handler acts for the resources of one type. Every method may be called again
// after a crash with the same request. The error's text is the reason that the
// stack's events give; a *Later asks for another call.
type Handler interface {
	Create(ctx context.Context, r *Request) (Made, error)
	Update(ctx context.Context, r *Request) (Made, error)
	Delete(ctx context.Context, r *Request) error
	// Find is the resource with the identifier Physical, if there is one. It tells,
	// before an act, whether a name is taken, and, after a crash, whether the act happened.
	Find(ctx context.Context, r *Request) (Made, bool, error)
}

// unfindable is part of the handlers of resources that are not looked for: making one
// again does no harm.
type unfindable struct{}

// Find says no.
func (unfindable) Find(context.Context, *Request) (Made, bool, error) { return Made{}, false, nil }

func (unfindable) isNotFound() {}

// Findable says whether a type's handler looks for resources: only then something is
// gone when it finds nothing.
func (t *Type) Findable() bool {
	_, not := t.Handler.(interface{ isNotFound() })
	return !not && !strings.HasPrefix(t.Name, "Custom::") && t.Name != CustomResource
}

// Settler is a handler of resources that are not ready at once.
type Settler interface {
	// Settled is the resource once it is ready. The error is of one that failed.
	Settled(ctx context.Context, r *Request) (Made, error)
}

// Completer is a handler that makes a resource in several steps.
type Completer interface {
	// Complete carries out what Create does after the resource is there.
	Complete(ctx context.Context, r *Request) (Made, error)
}

// Later is the error of an act that has begun and has to be asked for again.
type Later struct{ Why string }

func (l *Later) Error() string { return l.Why }

// Type is a type of resources.
type Type struct {
	Name       string
	Properties []string // all that are taken
	Required   []string
	// Kept are those of Properties that are kept and returned without an effect here.
	Kept       []string
	Replace    []string // a change of one needs another resource
	Attributes []string // for Fn::GetAtt; "*" for any
	// Named is the property that gives the identifier; empty when the service or
	// CloudFormation chooses it.
	Named string
	// Identify makes the identifier that CloudFormation chooses; nil: StackName-Logical-Random.
	Identify func(r *Request, random string) string
	// Identifiers are the properties that identify one, for import.
	Identifiers []string
	IAM         bool // making one needs CAPABILITY_IAM, and CAPABILITY_NAMED_IAM with a name
	Tagged      bool // it takes the stack's tags
	Assigned    bool // the service gives the identifier when one is made: none can be taken
	Repeatable  bool // making one again with the same token makes nothing more
	// Check refuses properties that cannot be honoured, before anything is made.
	Check func(properties map[string]any) error
	// Needs is the operation that has to be served: service and name.
	Needs   [2]string
	Handler Handler
}

// Reader reads a resource's properties as they are, of those that detecting drift
// compares; nil: the type's properties are not read.
func (t *Type) Reader() func(ctx context.Context, r *Request) (map[string]any, error) {
	return readers[t.Name]
}

// Config is what handlers need besides the other services.
type Config struct {
	Records state.Records
	// Website is where a bucket's website is opened on this machine.
	Website func(bucket string) string
	// Endpoint is where this endpoint is reached by functions.
	Endpoint func() string
	// Failed says of a request that was sent to a function with a token, and that nobody
	// waits for, whether the function has failed for good, and why.
	Failed func(ctx context.Context, region, token string) (why string, failed bool, err error)
	Now    func() time.Time
}

// Types are all types, by name, that are served over these services.
func Types(c Config, served func(service, operation string) bool) Catalog {
	out := Catalog{}
	for _, family := range [][]*Type{objectTypes(c), parameterTypes(), secretTypes(), identityTypes(), streamTypes(), logTypes(), deliveryTypes(c), networkTypes(), computeTypes(), balancerTypes(), nestedTypes(), cdkTypes(), functionTypes(c), containerTypes(), serviceScalingTypes(), watchTypes(), principalTypes(), keptTypes(c), ownTypes()} {
		for _, t := range family {
			if t.Needs[0] == "" || served(t.Needs[0], t.Needs[1]) {
				out[t.Name] = t
			}
		}
	}
	return out
}

// Random is a text of n letters and digits that is the same for the same seed.
func Random(n int, lower bool, seed ...string) string {
	letters := "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	if lower {
		letters = "0123456789abcdefghijklmnopqrstuvwxyz"
	}
	sum := sha256.Sum256([]byte(strings.Join(seed, "\n")))
	number, base, digit := new(big.Int).SetBytes(sum[:]), big.NewInt(int64(len(letters))), new(big.Int)
	out := make([]byte, n)
	for i := range out {
		number.DivMod(number, base, digit)
		out[i] = letters[digit.Int64()]
	}
	return string(out)
}

// UUID is an identifier that is the same for the same seed.
func UUID(seed ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(seed, "\n")))
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 36)
	for i, x := range sum[:16] {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, digits[x>>4], digits[x&15])
	}
	return string(b)
}

// Identifier is the identifier that a resource gets, if its type lets the property
// or CloudFormation choose.
func (t *Type) Identifier(r *Request) string {
	if t.Assigned {
		return ""
	}
	if name := r.Text(t.Named); t.Named != "" && name != "" {
		return name
	}
	if t.Identify != nil {
		return t.Identify(r, Random(12, false, r.Token))
	}
	return shortened(r, 64, Random(12, false, r.Token))
}

// shortened is StackName-Logical-Random with at most so many characters.
func shortened(r *Request, most int, random string) string {
	left := most - len(random) - 2
	stack, logical := r.StackName, r.Logical
	if len(stack)+len(logical) > left {
		logical = logical[:min(len(logical), max(left/2, left-len(stack)))]
		stack = stack[:min(len(stack), left-len(logical))]
	}
	return strings.TrimRight(stack, "-") + "-" + logical + "-" + random
}

// Chosen says whether the identifier is the template's own.
func (t *Type) Chosen(properties map[string]any) bool {
	text, _ := template.Text(properties[t.Named])
	return t.Named != "" && text != ""
}

// Changed are the properties that differ, by name, and whether a change of one of
// them needs another resource.
func (t *Type) Changed(old, properties map[string]any) (names []string, replace bool) {
	for name := range properties {
		if !Same(old[name], properties[name]) {
			names = append(names, name)
		}
	}
	for name := range old {
		if _, there := properties[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, slices.ContainsFunc(names, t.Replaces)
}

// Replaces says whether a change of a property needs another resource.
func (t *Type) Replaces(property string) bool { return slices.Contains(t.Replace, property) }

// Same compares values as CloudFormation does: "1" and 1, "true" and true are the same.
func Same(a, b any) bool {
	x, okX := template.Text(a)
	y, okY := template.Text(b)
	if okX || okY {
		return okX && okY && x == y
	}
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !Same(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			if _, there := y[k]; !there || !Same(x[k], y[k]) {
				return false
			}
		}
		return true
	}
	return a == nil && b == nil
}

// Text is a property as text, empty when it is not there.
func (r *Request) Text(name string) string {
	text, _ := template.Text(r.Properties[name])
	return text
}

// Flag is a property that is true or false.
func (r *Request) Flag(name string) bool { return strings.EqualFold(r.Text(name), "true") }

// Texts is a property as a list of texts.
func (r *Request) Texts(name string) []string { return texts(r.Properties[name]) }

func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		if text, is := template.Text(v); is && text != "" {
			return []string{text}
		}
	}
	var out []string
	for _, e := range list {
		if text, ok := template.Text(e); ok {
			out = append(out, text)
		}
	}
	return out
}

// Object is a property that is an object.
func (r *Request) Object(name string) map[string]any {
	m, _ := r.Properties[name].(map[string]any)
	return m
}

// Document is a property as JSON text; text stays as it is.
func (r *Request) Document(name string) string {
	return document(r.Properties[name])
}

func document(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil || v == nil {
		return ""
	}
	return string(b)
}

// pick is those of the properties that are there, under the names that the
// operation gives them.
func (r *Request) pick(names map[string]string) map[string]any {
	out := map[string]any{}
	for property, member := range names {
		if v, ok := r.Properties[property]; ok {
			out[member] = v
		}
	}
	return out
}

// call is Call for the resource's region and caller.
func (r *Request) call(ctx context.Context, service, operation string, in map[string]any) (map[string]any, error) {
	c := r.Call
	c.Token = r.Token
	return r.Services.Call(ctx, c, service, operation, in)
}

// gone makes nothing of an error that says that what is to go is not there.
func gone(err error, codes ...string) error {
	if slices.Contains(codes, wire.CodeOf(err)) {
		return nil
	}
	return err
}

// absent makes "not found" of an error with one of the codes.
func absent(m Made, err error, codes ...string) (Made, bool, error) {
	if slices.Contains(codes, wire.CodeOf(err)) {
		return Made{}, false, nil
	}
	return m, err == nil, err
}

// at is a value inside of an answer.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func textAt(v any, path ...string) string {
	text, _ := at(v, path...).(string)
	return text
}
