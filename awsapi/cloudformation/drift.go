package cloudformation

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/cloudformation/resource"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// detection is the last look at how the resources of a stack differ from its template.
type detection struct {
	ID        string                       `json:"id"`
	Stack     string                       `json:"stack"` // its ARN
	At        time.Time                    `json:"at"`
	Resources map[string]*detectedResource `json:"resources"`
}

// detectedResource is one of them.
type detectedResource struct {
	Type        string       `json:"type"`
	Physical    string       `json:"physical"`
	Status      string       `json:"status"`
	At          time.Time    `json:"at"`
	Expected    string       `json:"expected,omitempty"` // properties, as JSON
	Actual      string       `json:"actual,omitempty"`
	Differences []difference `json:"differences,omitempty"`
}

type difference struct{ PropertyPath, ExpectedValue, ActualValue, DifferenceType string }

const (
	notChecked = "NOT_CHECKED"
	inSync     = "IN_SYNC"
	modified   = "MODIFIED"
	deleted    = "DELETED"
)

// status is that of the whole stack, and how many resources differ.
func (d detection) status() (string, int) {
	n := 0
	for _, r := range d.Resources {
		if r.Status == modified || r.Status == deleted {
			n++
		}
	}
	if n > 0 {
		return "DRIFTED", n
	}
	return inSync, 0
}

// driftOf is the last detection of a stack; false when there is none since it changed.
func (s *Stacks) driftOf(ctx context.Context, d *stack) (detection, bool, error) {
	found, err := s.drifts.Get(ctx, d.key())
	if problem.CodeOf(err) == problem.NotFound {
		return found, false, nil
	}
	return found, err == nil && !found.At.Before(d.Updated), err
}

type detectInput struct {
	StackName          string
	LogicalResourceIds []string
}

type detectOutput struct{ StackDriftDetectionId string }

// detectDrift looks at the resources of a stack, all at once: it has ended when it is answered.
func (s *Stacks) detectDrift(ctx context.Context, c *wire.Call, in *detectInput) (*detectOutput, error) {
	d, err := s.need(ctx, c, in.StackName, noStack)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "ROLLBACK_FAILED", "IMPORT_COMPLETE"}, d.Status) {
		return nil, invalid("Drift detection cannot be performed on stack [%s] while it is in %s state.", d.Name, d.Status)
	}
	found := detection{ID: newUUID(), Stack: d.arn(c.Account), Resources: map[string]*detectedResource{}}
	if had, current, err := s.driftOf(ctx, &d); err != nil {
		return nil, err
	} else if current && len(in.LogicalResourceIds) > 0 {
		found.Resources = had.Resources
	}
	for name, r := range d.Resources {
		if !r.there() || len(in.LogicalResourceIds) > 0 && !slices.Contains(in.LogicalResourceIds, name) {
			continue
		}
		if found.Resources[name], err = s.detect(ctx, c, &d, name, r); err != nil {
			return nil, err
		}
	}
	found.At = s.Now().UTC()
	_, err = s.drifts.Put(ctx, d.key(), func(kept *detection) error { *kept = found; return nil })
	return &detectOutput{found.ID}, err
}

// detect compares a resource with what the stack says of it. A type whose properties
// are not read is only looked for.
func (s *Stacks) detect(ctx context.Context, c *wire.Call, d *stack, name string, r *stackResource) (*detectedResource, error) {
	out := &detectedResource{Type: r.Type, Physical: r.Physical, Status: notChecked, At: s.Now().UTC()}
	kind := s.types()[r.Type]
	if kind == nil || !kind.Findable() {
		return out, nil
	}
	req := s.request(d, c.Account, c.Caller, "", name, r.Properties, nil, d.Current.Tags)
	req.Physical, req.Attributes = r.Physical, r.Attributes
	_, found, err := kind.Handler.Find(ctx, req)
	if err != nil {
		return nil, err
	}
	if !found {
		out.Status = deleted
		return out, nil
	}
	read := kind.Reader()
	if read == nil {
		return out, nil
	}
	actual, err := read(ctx, req)
	if err == nil {
		actual, err = asTemplate(actual)
	}
	if err != nil {
		return nil, err
	}
	out.Status = inSync
	expected, shown := map[string]any{}, map[string]any{}
	for _, property := range slices.Sorted(maps.Keys(actual)) {
		want, there := r.Properties[property]
		text := jsonText(want)
		if !there || strings.Contains(text, "{{resolve:") || want == nil {
			continue
		}
		expected[property] = want
		if actual[property] != nil {
			shown[property] = actual[property]
		}
		if resource.Same(want, actual[property]) {
			continue
		}
		out.Status = modified
		one := difference{"/" + property, text, jsonText(actual[property]), "NOT_EQUAL"}
		if actual[property] == nil {
			one.DifferenceType = "REMOVE"
		}
		out.Differences = append(out.Differences, one)
	}
	out.Expected, out.Actual = jsonText(expected), jsonText(shown)
	return out, nil
}

// asTemplate is what was read with the types of values that a template has.
func asTemplate(actual map[string]any) (out map[string]any, err error) {
	raw, err := json.Marshal(actual)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	return out, err
}

// jsonText is a value as it stands in the answers about drift.
func jsonText(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(raw)
}

type detectionInput struct{ StackDriftDetectionId string }

func (s *Stacks) detectionStatus(ctx context.Context, c *wire.Call, in *detectionInput) (*wire.Object, error) {
	for e, err := range s.drifts.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.ID == in.StackDriftDetectionId {
			status, n := e.Doc.status()
			return &wire.Object{"StackId": e.Doc.Stack, "StackDriftDetectionId": e.Doc.ID, "StackDriftStatus": status, "DetectionStatus": "DETECTION_COMPLETE",
				"DriftedStackResourceCount": n, "Timestamp": e.Doc.At}, nil
		}
	}
	return nil, invalid("Drift detection with id %s does not exist, or another one of its stack came after it.", in.StackDriftDetectionId)
}

func (r *detectedResource) told(stack, name string) wire.Object {
	out := wire.Object{"StackId": stack, "LogicalResourceId": name, "PhysicalResourceId": r.Physical, "ResourceType": r.Type, "StackResourceDriftStatus": r.Status, "Timestamp": r.At}
	if r.Expected != "" {
		differences := []any{}
		for _, d := range r.Differences {
			differences = append(differences, wire.Object{"PropertyPath": d.PropertyPath, "ExpectedValue": d.ExpectedValue, "ActualValue": d.ActualValue, "DifferenceType": d.DifferenceType})
		}
		out = out.With(wire.Object{"ExpectedProperties": r.Expected, "ActualProperties": r.Actual, "PropertyDifferences": differences})
	}
	return out
}

func (s *Stacks) resourceDrifts(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	d, err := s.need(ctx, c, in.Text("StackName"), noStack)
	if err != nil {
		return nil, err
	}
	found, _, err := s.driftOf(ctx, &d)
	if err != nil {
		return nil, err
	}
	wanted := in.Texts("StackResourceDriftStatusFilters")
	all := []wire.Object{}
	for _, name := range slices.Sorted(maps.Keys(found.Resources)) {
		if r := found.Resources[name]; len(wanted) == 0 || slices.Contains(wanted, r.Status) {
			all = append(all, r.told(found.Stack, name))
		}
	}
	p := wire.Paging{Token: "NextToken", Most: "MaxResults", Least: 1, Greatest: 100, Otherwise: 100,
		BadToken: func(string) error { return invalid("The token is invalid") },
		BadCount: func(string) error { return invalid("MaxResults must be between 1 and 100") }}
	out, next, err := wire.Cut(p, in, all, func(o wire.Object) string { return o.Text("LogicalResourceId") })
	return wire.Object{"StackResourceDrifts": wire.List(out)}.With(wire.Object{"NextToken": next}), err
}

func (s *Stacks) detectResourceDrift(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	name := in.Text("LogicalResourceId")
	d, err := s.need(ctx, c, in.Text("StackName"), noStack)
	if err != nil {
		return nil, err
	}
	if r := d.Resources[name]; !r.there() {
		return nil, invalid("Resource %s does not exist for stack %s", name, d.Name)
	}
	if _, err := s.detectDrift(ctx, c, &detectInput{in.Text("StackName"), []string{name}}); err != nil {
		return nil, err
	}
	found, err := s.drifts.Get(ctx, d.key())
	if err != nil {
		return nil, err
	}
	return wire.Object{"StackResourceDrift": found.Resources[name].told(found.Stack, name)}, nil
}
