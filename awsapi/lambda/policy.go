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
		return "", s.noQualified(region, w)
	}
	return w.qualifier, nil
}

func (s *Service) addPermission(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), in.Text("Qualifier"))
	if err != nil {
		return nil, err
	}
	statement, err := s.statement(c, w, *in)
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, c.Region, w, func(f *function) error {
		key, err := s.permitted(f, c.Region, w)
		if err != nil {
			return err
		}
		p := f.Policies[key]
		revision := f.revision(key)
		if err := sameRevision(*in, *revision); err != nil {
			return err
		}
		if slices.ContainsFunc(p.Statements, func(o object) bool { return o.Text("Sid") == in.Text("StatementId") }) {
			return conflict("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", in.Text("StatementId"))
		}
		if f.Policies == nil {
			f.Policies = map[string]policy{}
		}
		f.Policies[key] = policy{Statements: append(p.Statements, statement)}
		*revision = newRevision()
		return nil
	})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(statement)
	return &object{"Statement": string(text)}, err
}

// statement is a permission as a statement of a policy.
func (s *Service) statement(c *wire.Call, w which, in object) (object, error) {
	principal := in.Text("Principal")
	var who any = object{"AWS": principal}
	switch {
	case principal == "*":
		who = "*"
	case strings.HasSuffix(principal, ".amazonaws.com"), strings.HasSuffix(principal, ".amazon.com"):
		who = object{"Service": principal}
	case numeric.MatchString(principal) && len(principal) == 12:
		who = object{"AWS": "arn:aws:iam::" + principal + ":root"}
	case !strings.HasPrefix(principal, "arn:aws:iam:") && !strings.HasPrefix(principal, "arn:aws:sts:"):
		return nil, invalid("The provided principal was invalid. Please check the principal and try again.")
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
	return out, nil
}

func (s *Service) removePermission(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	w, err := s.which(c, in.Text("FunctionName"), in.Text("Qualifier"))
	if err != nil {
		return nil, err
	}
	if _, err := s.load(ctx, c.Region, w); wire.CodeOf(err) == "ResourceNotFoundException" {
		return nil, missing("No policy found for: %s", s.arn(c.Region, w.name, w.qualifier))
	}
	_, err = s.change(ctx, c.Region, w, func(f *function) error {
		revision := f.revision(w.qualifier)
		if revision == nil {
			return s.noQualified(c.Region, w)
		}
		p, ok := f.Policies[w.qualifier]
		if !ok {
			return missing("No policy is associated with the given resource.")
		}
		if err := sameRevision(*in, *revision); err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(p.Statements), func(o object) bool { return o.Text("Sid") == in.Text("StatementId") })
		if len(left) == len(p.Statements) {
			return missing("Statement %s is not found in resource policy.", in.Text("StatementId"))
		}
		f.Policies[w.qualifier] = policy{Statements: left}
		*revision = newRevision()
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
	f, err := s.settled(ctx, c.Region, w)
	if err != nil {
		return nil, err
	}
	p, ok := f.Policies[w.qualifier]
	if !ok || f.revision(w.qualifier) == nil {
		return nil, missing("The resource you requested does not exist.")
	}
	text, err := json.Marshal(struct {
		Version   string
		ID        string `json:"Id"`
		Statement []object
	}{"2012-10-17", "default", p.Statements})
	return &object{"Policy": string(text), "RevisionId": *f.revision(w.qualifier)}, err
}
