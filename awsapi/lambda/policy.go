package lambda

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// permitted is where a policy is kept: of the function, a version or an alias that is there.
func (s *Service) permitted(f *function, region string, w which) (string, error) {
	switch {
	case w.qualifier == latest:
		return "", invalid("We currently do not support adding policies for $LATEST.")
	case w.qualifier != "" && f.qualified(w.qualifier) == nil:
		return "", s.noFunction(region, w)
	}
	return w.qualifier, nil
}

func (s *Service) addPermission(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), in.Text("Qualifier"))
	if err != nil {
		return nil, err
	}
	statement := s.statement(c, w, *in)
	_, err = s.change(ctx, c.Region, w, func(f *function) error {
		key, err := s.permitted(f, c.Region, w)
		if err != nil {
			return err
		}
		p := f.Policies[key]
		if err := sameRevision(*in, p.Revision); err != nil {
			return err
		}
		if slices.ContainsFunc(p.Statements, func(o object) bool { return o.Text("Sid") == in.Text("StatementId") }) {
			return conflict("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", in.Text("StatementId"))
		}
		if f.Policies == nil {
			f.Policies = map[string]policy{}
		}
		f.Policies[key] = policy{append(p.Statements, statement), newRevision()}
		return nil
	})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(statement)
	return &object{"Statement": string(text)}, err
}

// statement is a permission as a statement of a policy.
func (s *Service) statement(c *wire.Call, w which, in object) object {
	principal := in.Text("Principal")
	var who any = object{"AWS": principal}
	switch {
	case principal == "*":
		who = "*"
	case strings.HasSuffix(principal, ".amazonaws.com"):
		who = object{"Service": principal}
	case numeric.MatchString(principal):
		who = object{"AWS": "arn:aws:iam::" + principal + ":root"}
	}
	out := object{"Sid": in.Text("StatementId"), "Effect": "Allow", "Principal": who, "Action": in.Text("Action"), "Resource": s.arn(c.Region, w.name, w.qualifier)}
	conditions := object{}
	add := func(kind, name, value string) {
		if value == "" {
			return
		}
		if conditions[kind] == nil {
			conditions[kind] = object{}
		}
		conditions.Inner(kind)[name] = value
	}
	add("StringEquals", "AWS:SourceAccount", in.Text("SourceAccount"))
	add("ArnLike", "AWS:SourceArn", in.Text("SourceArn"))
	add("StringEquals", "aws:PrincipalOrgID", in.Text("PrincipalOrgID"))
	add("StringEquals", "lambda:FunctionUrlAuthType", in.Text("FunctionUrlAuthType"))
	add("StringEquals", "lambda:EventSourceToken", in.Text("EventSourceToken"))
	if len(conditions) > 0 {
		out["Condition"] = conditions
	}
	return out
}

func (s *Service) removePermission(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	w, err := s.which(c, in.Text("FunctionName"), in.Text("Qualifier"))
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, c.Region, w, func(f *function) error {
		p, ok := f.Policies[w.qualifier]
		if !ok {
			return missing("No policy is associated with the given resource.")
		}
		if err := sameRevision(*in, p.Revision); err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(p.Statements), func(o object) bool { return o.Text("Sid") == in.Text("StatementId") })
		if len(left) == len(p.Statements) {
			return missing("Statement %s is not found in resource policy.", in.Text("StatementId"))
		}
		f.Policies[w.qualifier] = policy{left, newRevision()}
		if len(left) == 0 {
			delete(f.Policies, w.qualifier)
		}
		return nil
	})
	return &struct{}{}, err
}

func (s *Service) getPolicy(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), in.Text("Qualifier"))
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, c.Region, w)
	if err != nil {
		return nil, err
	}
	p, ok := f.Policies[w.qualifier]
	if !ok {
		return nil, missing("The resource you requested does not exist.")
	}
	text, err := json.Marshal(struct {
		Version   string
		ID        string `json:"Id"`
		Statement []object
	}{"2012-10-17", "default", p.Statements})
	return &object{"Policy": string(text), "RevisionId": p.Revision}, err
}
