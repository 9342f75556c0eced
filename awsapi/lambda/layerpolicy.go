package lambda

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// getLayerByARN is getLayer by the ARN of a version.
func (s *Service) getLayerByARN(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	l, err := s.layerByARN(ctx, c, in.Text("Arn"))
	if wire.CodeOf(err) == "InvalidParameterValueException" {
		return nil, missing(noSuchResource)
	}
	if err != nil {
		return nil, err
	}
	return s.getLayer(ctx, c, &object{"LayerName": l.Name, "VersionNumber": l.Version})
}

func (s *Service) noLayer(c *wire.Call, in object) error {
	return missing("Layer version %s:%d does not exist.", s.layerARN(c.Region, layerName(in.Text("LayerName"))), in.Number("VersionNumber", 0))
}

// sameLayerRevision is sameRevision of a layer's policy.
func sameLayerRevision(in object, revision string) error {
	if wanted := in.Text("RevisionId"); wanted != "" && wanted != revision {
		return userError("PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id")
	}
	return nil
}

// changeLayer updates a version of a layer that is there.
func (s *Service) changeLayer(ctx context.Context, c *wire.Call, in object, how func(*layer) error) (layer, error) {
	gone := func() error { return s.noLayer(c, in) }
	l, err := s.layers.Update(ctx, layerKey(c.Region, layerName(in.Text("LayerName")), in.Number("VersionNumber", 0)), func(l *layer) error {
		if l.Deleted {
			return gone()
		}
		return how(l)
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = gone()
	}
	return l, err
}

// addLayerPermission keeps who may use a version of a layer. It is kept and returned.
func (s *Service) addLayerPermission(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	var who any = in.Text("Principal")
	if who != "*" {
		who = object{"AWS": who}
		if numeric.MatchString(in.Text("Principal")) {
			who = object{"AWS": "arn:aws:iam::" + in.Text("Principal") + ":root"}
		}
	}
	statement := object{"Sid": in.Text("StatementId"), "Effect": "Allow", "Principal": who, "Action": in.Text("Action"),
		"Resource": s.layerARN(c.Region, layerName(in.Text("LayerName"))) + ":" + strconv.Itoa(in.Number("VersionNumber", 0))}
	if id := in.Text("OrganizationId"); id != "" {
		statement["Condition"] = object{"StringEquals": object{"aws:PrincipalOrgID": id}}
	}
	l, err := s.changeLayer(ctx, c, *in, func(l *layer) error {
		if err := sameLayerRevision(*in, l.Policy.Revision); err != nil {
			return err
		}
		if slices.ContainsFunc(l.Policy.Statements, func(o object) bool { return o.Text("Sid") == in.Text("StatementId") }) {
			return conflict("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", in.Text("StatementId"))
		}
		l.Policy = policy{append(l.Policy.Statements, statement), newRevision()}
		return nil
	})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(statement)
	return &object{"Statement": string(text), "RevisionId": l.Policy.Revision}, err
}

func (s *Service) removeLayerPermission(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	_, err := s.changeLayer(ctx, c, *in, func(l *layer) error {
		if err := sameLayerRevision(*in, l.Policy.Revision); err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(l.Policy.Statements), func(o object) bool { return o.Text("Sid") == in.Text("StatementId") })
		if len(left) == len(l.Policy.Statements) {
			return missing("Statement %s is not found in resource policy.", in.Text("StatementId"))
		}
		l.Policy = policy{left, newRevision()}
		return nil
	})
	return &struct{}{}, err
}

func (s *Service) getLayerPolicy(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	l, err := s.layers.Get(ctx, layerKey(c.Region, layerName(in.Text("LayerName")), in.Number("VersionNumber", 0)))
	if problem.CodeOf(err) == problem.NotFound || err == nil && l.Deleted {
		return nil, s.noLayer(c, *in)
	}
	if err == nil && len(l.Policy.Statements) == 0 {
		return nil, missing("No policy is associated with the given resource.")
	}
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(object{"Version": "2012-10-17", "Id": "default", "Statement": l.Policy.Statements})
	return &object{"Policy": string(text), "RevisionId": l.Policy.Revision}, err
}

// putRuntimeManagement takes what is so in any case: it is the machine's runtime.
func (s *Service) putRuntimeManagement(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	if mode := in.Text("UpdateRuntimeOn"); mode != "Auto" {
		return nil, refused("the runtime update mode %s: functions run on the Node.js and Python of this machine, whatever version that is", mode)
	}
	return s.getRuntimeManagement(ctx, c, in)
}
