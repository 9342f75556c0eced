package resource

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// CustomResource is the type of all types whose names begin with Custom::.
const CustomResource = "AWS::CloudFormation::CustomResource"

// Catalog is the types that are served, by name.
type Catalog map[string]*Type

// Of is the type of a name; nil when it is not served.
func (c Catalog) Of(name string) *Type {
	t := c[name]
	if t == nil && c[CustomResource] != nil && strings.HasPrefix(name, "Custom::") && len(name) <= 68 {
		copied := *c[CustomResource]
		copied.Name = name
		t = &copied
	}
	return t
}

// Asked is what a function was asked about a custom resource, and what it has answered.
type Asked struct {
	Key    string    `json:"key"` // that its answer has to know
	At     time.Time `json:"at"`
	Stack  string    `json:"stack"`          // the stack's ARN
	Sent   bool      `json:"sent,omitempty"` // the function has the request
	Answer *Answer   `json:"answer,omitempty"`
}

// Answer is what a function says about a custom resource.
type Answer struct {
	Status, Reason, PhysicalResourceId string //nolint:revive // as the answer is written
	Data                               map[string]any
	NoEcho                             bool
}

// Answers keeps what functions were asked about custom resources.
type Answers struct{ docs state.Collection[Asked] }

// NewAnswers is what the records have.
func NewAnswers(records state.Records) Answers {
	return Answers{state.New[Asked](records, "aws.cloudformation.custom")}
}

// AnswerPath begins the paths to which functions put their answers.
const AnswerPath = "/_cloudformation/answers/"

// mostAnswer bounds an answer, in bytes. AWS takes 4,096.
const mostAnswer = 4096

// Take takes an answer, and says which stack waits for it; empty when none does.
func (a Answers) Take(w http.ResponseWriter, r *http.Request) (stack string) {
	id, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, AnswerPath), "/")
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostAnswer+1))
	if err != nil || len(raw) > mostAnswer {
		http.Error(w, "an answer to CloudFormation has 4096 bytes at most", http.StatusRequestEntityTooLarge)
		return ""
	}
	var answer Answer
	if err := json.Unmarshal(raw, &answer); err != nil {
		answer = Answer{Status: "FAILED", Reason: "Invalid response body: " + err.Error()}
	}
	d, err := a.docs.Update(r.Context(), id, func(d *Asked) error {
		if key == "" || d.Key != key {
			return problem.New(problem.NotFound, "cloudformation.answer", "nothing was asked")
		}
		if d.Answer == nil { // the first one counts
			d.Answer = &answer
		}
		return nil
	})
	switch {
	case problem.CodeOf(err) == problem.NotFound:
		http.Error(w, "nobody waits for this answer", http.StatusForbidden)
	case err != nil:
		http.Error(w, "the answer could not be kept", http.StatusServiceUnavailable)
	default:
		return d.Stack
	}
	return ""
}

func customTypes(c Config) []*Type {
	return []*Type{{
		Name: CustomResource, Properties: []string{"*"}, Required: []string{"ServiceToken"}, Attributes: []string{"*"}, Repeatable: true,
		Check: checkCustom, Needs: [2]string{"lambda", "Invoke"}, Handler: custom{c, NewAnswers(c.Records)},
	}}
}

func checkCustom(properties map[string]any) error {
	token, known := template.Text(properties["ServiceToken"])
	if known && strings.HasPrefix(token, "arn:") && !strings.HasPrefix(token, "arn:aws:lambda:") {
		return wire.Errorf("InvalidRequest", "the ServiceToken %s is no function: SNS is not served here", token)
	}
	if timeout, known := template.Text(properties["ServiceTimeout"]); known {
		if n, err := strconv.Atoi(timeout); err != nil || n < 1 || n > 3600 {
			return wire.Errorf("InvalidRequest", "ServiceTimeout has to be between 1 and 3600")
		}
	}
	return nil
}

// custom acts for custom resources: it asks the function that the ServiceToken names, and
// waits for its answer.
type custom struct {
	Config
	answers Answers
}

// longest is how long a function has to answer, unless the resource says otherwise.
const longest = time.Hour

func (h custom) Create(ctx context.Context, r *Request) (Made, error) { return h.ask(ctx, r, "Create") }

func (h custom) Update(ctx context.Context, r *Request) (Made, error) { return h.ask(ctx, r, "Update") }

func (h custom) Delete(ctx context.Context, r *Request) error {
	_, err := h.ask(ctx, r, "Delete")
	return err
}

// Find never finds one: a function makes it, and only the function knows.
func (custom) Find(_ context.Context, r *Request) (Made, bool, error) {
	return Made{Physical: r.Physical}, false, nil
}

// ask carries a request to the function on: it is sent once, and asked for until the
// answer is there.
func (h custom) ask(ctx context.Context, r *Request, kind string) (Made, error) {
	id := UUID(r.Token, kind, r.Physical)
	d, err := h.answers.docs.Put(ctx, id, func(d *Asked) error {
		if d.Key == "" {
			d.Key, d.At, d.Stack = rand.Text(), h.Now().UTC(), r.StackID
		}
		return nil
	})
	if err != nil {
		return Made{}, err
	}
	if !d.Sent {
		if err := h.send(ctx, r, kind, id, d); err != nil {
			return Made{}, err
		}
	}
	if d.Answer != nil {
		return h.made(r, kind, id, *d.Answer)
	}
	if why, failed, err := h.Failed(ctx, r.Region, id); err != nil || failed {
		if err == nil {
			err = wire.Errorf("ValidationError", "The function of the custom resource failed and has not answered: %s (RequestId: %s)", why, id)
		}
		return Made{Physical: r.Physical}, err
	}
	limit := longest
	if n, err := strconv.Atoi(r.Text("ServiceTimeout")); err == nil {
		limit = time.Duration(n) * time.Second
	}
	if h.Now().Sub(d.At) > limit {
		return Made{Physical: r.Physical}, wire.Errorf("ValidationError", "CloudFormation did not receive a response from your Custom Resource. Please check your logs for requestId [%s]. If you are using the Python cfn-response module, you may need to update your Lambda function code so that CloudFormation can attach the updated version.", id)
	}
	return Made{}, &Later{"the function has not answered"}
}

// send gives the function the request.
func (h custom) send(ctx context.Context, r *Request, kind, id string, d Asked) error {
	event := map[string]any{
		"RequestType": kind, "ServiceToken": r.Text("ServiceToken"), "ResponseURL": h.Endpoint() + AnswerPath + id + "/" + d.Key, "StackId": r.StackID, "RequestId": id,
		"LogicalResourceId": r.Logical, "ResourceType": h.typeOf(r), "ResourceProperties": texted(r.Properties),
	}
	if kind != "Create" {
		event["PhysicalResourceId"] = r.Physical
	}
	if kind == "Update" {
		event["OldResourceProperties"] = texted(r.Old)
	}
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	c := r.Call
	c.Token = id
	_, err = r.Services.Call(ctx, c, "lambda", "Invoke", map[string]any{"FunctionName": r.Text("ServiceToken"), "InvocationType": "Event", "Payload": payload})
	if kind == "Delete" && wire.CodeOf(err) == "ResourceNotFoundException" {
		return wire.Errorf("ValidationError", "The function of the custom resource, %s, is not there any more. Delete the stack with the resource retained.", r.Text("ServiceToken"))
	}
	if err != nil {
		return err
	}
	_, err = h.answers.docs.Update(ctx, id, func(d *Asked) error { d.Sent = true; return nil })
	return err
}

func (custom) typeOf(r *Request) string {
	if r.Type == "" {
		return CustomResource
	}
	return r.Type
}

// made is what the function's answer says.
func (h custom) made(r *Request, kind, id string, a Answer) (Made, error) {
	m := Made{Physical: r.Physical, Attributes: a.Data}
	if a.PhysicalResourceId != "" {
		m.Physical = a.PhysicalResourceId
	}
	switch {
	case a.Status == "FAILED":
		return m, wire.Errorf("ValidationError", "Received response status [FAILED] from custom resource. Message returned: %s (RequestId: %s)", a.Reason, id)
	case a.Status != "SUCCESS":
		return m, wire.Errorf("ValidationError", "Invalid Status in response: %q (RequestId: %s)", a.Status, id)
	case kind != "Delete" && a.PhysicalResourceId == "":
		return m, wire.Errorf("ValidationError", "Invalid PhysicalResourceId (RequestId: %s)", id)
	}
	return m, nil
}

// texted is a value whose single values are texts, as functions get them.
func texted(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = texted(e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = texted(e)
		}
		return out
	}
	if text, ok := template.Text(v); ok {
		return text
	}
	return fmt.Sprint(v)
}
