package lambda

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

func (s *Service) eventTarget(c *wire.Call, in object) (which, string, error) {
	w, err := s.which(c, in.Text("FunctionName"), in.Text("Qualifier"))
	return w, eventKey(w.qualifier), err
}

// eventKey is where the settings of a qualifier are kept: $LATEST is the function itself.
func eventKey(qualifier string) string {
	if qualifier == latest {
		return ""
	}
	return qualifier
}

func (s *Service) noEventConfig(region, name, key string) error {
	return missing("The function %s doesn't have an EventInvokeConfig", s.arn(region, name, orLatest(key)))
}

// eventGone is the error of settings whose function, version or alias is not there.
func eventGone(err error) error {
	if wire.CodeOf(err) == "ResourceNotFoundException" {
		return missing("The function doesn't exist.")
	}
	return err
}

func (s *Service) putEventConfig(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	return s.setEventConfig(ctx, c, *in, false)
}

func (s *Service) updateEventConfig(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	return s.setEventConfig(ctx, c, *in, true)
}

func (s *Service) setEventConfig(ctx context.Context, c *wire.Call, in object, merge bool) (*object, error) {
	w, key, err := s.eventTarget(c, in)
	if err != nil {
		return nil, err
	}
	given := in.Only("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig").Clone()
	if len(given) == 0 {
		return nil, invalid("You must specify at least one of error handling or destination setting.")
	}
	if f, err := s.load(ctx, c.Region, w); err != nil || f.qualified(w.qualifier) == nil {
		if err == nil {
			err = s.noFunction(c.Region, w)
		}
		return nil, eventGone(err)
	}
	if err := s.checkDestinations(ctx, c, w, given.Inner("DestinationConfig")); err != nil {
		return nil, err
	}
	given["LastModified"] = float64(s.Now().UnixMilli()) / 1000
	f, err := s.change(ctx, c.Region, w, func(f *function) error {
		if f.qualified(w.qualifier) == nil {
			return s.noFunction(c.Region, w)
		}
		next := object{}
		if merge {
			if f.Events[key] == nil {
				return s.noEventConfig(c.Region, w.name, key)
			}
			next = f.Events[key].Clone()
		}
		maps.Copy(next, given)
		if f.Events == nil {
			f.Events = map[string]object{}
		}
		f.Events[key] = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.toldEvents(c.Region, &f, key), nil
}

// checkDestinations refuses destinations that are not there, and those that are not served.
func (s *Service) checkDestinations(ctx context.Context, c *wire.Call, w which, in object) error {
	for _, kind := range []string{"OnSuccess", "OnFailure"} {
		arn := in.Inner(kind).Text("Destination")
		parts := strings.SplitN(arn, ":", 6)
		switch {
		case arn == "":
		case len(parts) < 6 || !slices.Contains([]string{"lambda", "sqs", "sns", "events", "s3"}, parts[2]):
			return invalid("The provided destination config DestinationConfig(onSuccess=%s, onFailure=%s) is invalid.", shownDestination(in, "OnSuccess"), shownDestination(in, "OnFailure"))
		case parts[2] != "lambda":
			return refused("the destination %s: it may be a function of this region; SQS, SNS, EventBridge and S3 are not served", arn)
		default:
			to, err := s.which(c, arn, "")
			if err == nil && to.name == w.name {
				return invalid("You can't specify the function as a destination for itself.")
			}
			if err == nil {
				_, err = s.load(ctx, c.Region, to)
			}
			if wire.CodeOf(err) == "ResourceNotFoundException" {
				err = invalid("The destination ARN %s is invalid.", arn)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// shownDestination is a destination as Lambda's error shows it.
func shownDestination(in object, kind string) string {
	if !in.Has(kind) {
		return "null"
	}
	return kind + "(destination=" + in.Inner(kind).Text("Destination") + ")"
}

func orLatest(qualifier string) string {
	if qualifier == "" {
		return latest
	}
	return qualifier
}

func (s *Service) toldEvents(region string, f *function, key string) *object {
	out := f.Events[key].Clone()
	out["FunctionArn"] = s.arn(region, f.Name, orLatest(key))
	out["LastModified"] = time.UnixMilli(int64(out["LastModified"].(float64) * 1000)).UTC()
	destinations := out.Inner("DestinationConfig")
	out["DestinationConfig"] = object{"OnSuccess": object{}, "OnFailure": object{}}.With(destinations)
	return &out
}

func (s *Service) getEventConfig(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, key, err := s.eventTarget(c, *in)
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, c.Region, w)
	if wire.CodeOf(err) == "ResourceNotFoundException" || err == nil && f.Events[key] == nil {
		err = s.noEventConfig(c.Region, w.name, key)
	}
	if err != nil {
		return nil, err
	}
	return s.toldEvents(c.Region, &f, key), nil
}

func (s *Service) deleteEventConfig(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	w, key, err := s.eventTarget(c, *in)
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, c.Region, w, func(f *function) error {
		if f.Events[key] == nil {
			return s.noEventConfig(c.Region, w.name, key)
		}
		delete(f.Events, key)
		return nil
	})
	if wire.CodeOf(err) == "ResourceNotFoundException" {
		err = s.noEventConfig(c.Region, w.name, key)
	}
	return &struct{}{}, err
}

func (s *Service) listEventConfigs(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	f, _, _, err := s.found(ctx, c, in.Only("FunctionName"))
	if err != nil {
		return nil, eventGone(err)
	}
	var list []object
	for key := range f.Events {
		list = append(list, *s.toldEvents(c.Region, &f, key))
	}
	return page(*in, "FunctionEventInvokeConfigs", sorted(list, "FunctionArn"), "FunctionArn")
}
