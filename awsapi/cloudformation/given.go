package cloudformation

import (
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/wire"
)

// given checks a client's parameters against the template's, with defaults and the
// values from before. With an error it answers with what it had kept until then.
func (s *Stacks) given(ctx context.Context, c *wire.Call, t *template.Template, list []givenParameter, before []parameter) ([]parameter, error) {
	var unknown, missing []string
	for _, g := range list {
		if t.Parameter(g.ParameterKey) == nil {
			unknown = append(unknown, g.ParameterKey)
		}
	}
	if len(unknown) > 0 {
		return nil, invalid("Parameters: [%s] do not exist in the template", strings.Join(unknown, ", "))
	}
	var out []parameter
	var refused error
	for _, p := range t.Parameters {
		one, ok, err := s.one(ctx, p, list, before)
		if err != nil {
			if refused == nil {
				refused = refusal(err)
			}
			continue
		}
		if !ok {
			missing = append(missing, p.Name)
			continue
		}
		out = append(out, one)
	}
	if len(missing) > 0 {
		return out, invalid("Parameters: [%s] must have values", strings.Join(missing, ", "))
	}
	if refused != nil {
		return out, refused
	}
	return out, s.stored(ctx, c, t, out)
}

// one is the value of one parameter; false when it has none.
func (s *Stacks) one(ctx context.Context, p *template.Parameter, list []givenParameter, before []parameter) (parameter, bool, error) {
	var had *parameter
	if at := slices.IndexFunc(before, func(b parameter) bool { return b.Key == p.Name }); at >= 0 {
		had = &before[at]
	}
	out := parameter{Key: p.Name, NoEcho: p.NoEcho, FromSSM: p.FromSSM()}
	at := slices.IndexFunc(list, func(g givenParameter) bool { return g.ParameterKey == p.Name })
	var text string
	switch {
	case at >= 0 && list[at].UsePreviousValue:
		if had == nil {
			return out, false, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true for a parameter key not in the previous template", p.Name)
		}
		if had.NoEcho && p.NoEcho {
			out.Value = had.Value
			return out, true, nil
		}
		text = had.Value
	case at >= 0 && list[at].ParameterValue != nil:
		text = *list[at].ParameterValue
	case p.Default != nil:
		text = *p.Default
	default:
		return out, false, nil
	}
	if _, err := p.Value(text); err != nil {
		return out, false, err
	}
	out.Value = text
	if p.NoEcho {
		name, err := s.hide(ctx, text, had)
		out.Value = name
		return out, true, err
	}
	return out, true, nil
}

// stored fills in the values of the parameters that name parameters of Systems Manager.
func (s *Stacks) stored(ctx context.Context, c *wire.Call, t *template.Template, list []parameter) error {
	var missing []string
	for i, p := range list {
		declared := t.Parameter(p.Key)
		if !p.FromSSM && declared.Type != "AWS::SSM::Parameter::Name" {
			continue
		}
		out, err := s.Services.Call(ctx, *c, "ssm", "GetParameter", map[string]any{"Name": p.Value})
		switch wire.CodeOf(err) {
		case "":
			found, _ := out["Parameter"].(map[string]any)
			if p.FromSSM {
				list[i].Resolved, _ = found["Value"].(string)
			}
		case "ParameterNotFound", "ParameterVersionNotFound", "ValidationException":
			missing = append(missing, p.Value)
		default:
			return err
		}
	}
	if len(missing) > 0 {
		return invalid("Unable to fetch parameters [%s] from parameter store for this account.", strings.Join(missing, ","))
	}
	return nil
}
