package cloudformation

import (
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// export is an output that other stacks of the region may use.
type export struct {
	Name  string `json:"name"`
	Stack string `json:"stack"` // its identifier
	ARN   string `json:"arn"`
	Value string `json:"value"`
}

// imported is the value of an export.
func (s *Stacks) imported(ctx context.Context, region, name string) (string, error) {
	e, err := s.exports.Get(ctx, region+"/"+name)
	if problem.CodeOf(err) == problem.NotFound {
		return "", invalid("No export named %s found.", name)
	}
	return e.Value, err
}

// importers are the names of the stacks that use an export.
func (s *Stacks) importers(ctx context.Context, region, name string) ([]string, error) {
	var out []string
	for e, err := range s.stacks.All(ctx, region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Status != deleteComplete && slices.Contains(e.Doc.Imports, name) {
			out = append(out, e.Doc.Name)
		}
	}
	return out, nil
}

// canExport refuses exports of another stack, and to take away what is used.
func (s *Stacks) canExport(ctx context.Context, d *stack, outputs []output) error {
	now := map[string]string{}
	for _, o := range outputs {
		if o.Export == "" {
			continue
		}
		now[o.Export] = o.Value
		e, err := s.exports.Get(ctx, d.Region+"/"+o.Export)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
		if err == nil && e.Stack != d.ID {
			other, err := s.stacks.Get(ctx, d.Region+"/"+e.Stack)
			if err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
			return invalid("Export with name %s is already exported by stack %s. Rollback requested by user.", o.Export, other.Name)
		}
	}
	for _, o := range d.Outputs {
		v, still := now[o.Export]
		if o.Export == "" || still && v == o.Value {
			continue
		}
		users, err := s.importers(ctx, d.Region, o.Export)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			what := "deleted"
			if still {
				what = "updated"
			}
			return invalid("Cannot %s export %s as it is in use by %s", strings.TrimSuffix(what, "d"), o.Export, strings.Join(users, ", "))
		}
	}
	return nil
}

// export makes the stack's exports those of the outputs.
func (s *Stacks) export(ctx context.Context, d *stack, outputs []output) error {
	now := map[string]bool{}
	for _, o := range outputs {
		if o.Export == "" {
			continue
		}
		now[o.Export] = true
		_, err := s.exports.Put(ctx, d.Region+"/"+o.Export, func(e *export) error {
			if e.Stack == "" || e.Stack == d.ID {
				*e = export{Name: o.Export, Stack: d.ID, ARN: d.arn(accountOf(d.Operation.Caller)), Value: o.Value}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for e, err := range s.exports.All(ctx, d.Region+"/") {
		if err != nil {
			return err
		}
		if e.Doc.Stack == d.ID && !now[e.Doc.Name] {
			if err := s.exports.Delete(ctx, e.Key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
		}
	}
	return nil
}

type tokenInput struct{ NextToken string }

type toldExport struct{ ExportingStackId, Name, Value string }

type exportsOutput struct {
	Exports   []toldExport
	NextToken string
}

// mostListed is how many entries a page has.
const mostListed = 100

func (s *Stacks) listExports(ctx context.Context, c *wire.Call, in *tokenInput) (*exportsOutput, error) {
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, invalid("The token is not valid.")
	}
	out := &exportsOutput{Exports: []toldExport{}}
	for e, err := range s.exports.From(ctx, c.Region+"/", after) {
		if err != nil {
			return nil, err
		}
		if len(out.Exports) == mostListed {
			out.NextToken = wire.Token(after)
			break
		}
		after = e.Key
		value, err := s.reveal(ctx, e.Doc.Value)
		if err != nil {
			return nil, err
		}
		out.Exports = append(out.Exports, toldExport{ExportingStackId: e.Doc.ARN, Name: e.Doc.Name, Value: value})
	}
	return out, nil
}

type importsInput struct{ ExportName, NextToken string }

type importsOutput struct {
	Imports   []string
	NextToken string
}

func (s *Stacks) listImports(ctx context.Context, c *wire.Call, in *importsInput) (*importsOutput, error) {
	users, err := s.importers(ctx, c.Region, in.ExportName)
	if err == nil && len(users) == 0 {
		err = invalid("Export '%s' is not imported by any stack.", in.ExportName)
	}
	return &importsOutput{Imports: users}, err
}
