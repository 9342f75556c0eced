package control

import (
	"context"

	"showrunner/eventlog"
	"showrunner/problem"
)

// Operations on subscriptions; the deliverers follow their audit events.
const (
	opSubscribe   = "subscription.put"
	opUnsubscribe = "subscription.delete"
	opResume      = "subscription.resume"
)

func (s *Service) subscriptions() eventlog.Subscriptions {
	return eventlog.Subscriptions{Records: s.Records}
}

// Subscriptions lists who has events sent, with how far each is.
func (s *Service) Subscriptions(ctx context.Context, p Principal) ([]eventlog.Subscription, error) {
	if err := s.allow(p, opRead, "subscriptions"); err != nil {
		return nil, err
	}
	return s.subscriptions().List(ctx)
}

// PutSubscription creates or replaces a subscription. A new one begins with what
// happens from now on, or after position from when that is given; one that is
// replaced goes on where it was. Errors: invalid, not_found (the secret), denied.
func (s *Service) PutSubscription(ctx context.Context, p Principal, sub eventlog.Subscription, from *int64) error {
	if err := s.allow(p, opSubscribe, sub.Name); err != nil {
		return err
	}
	if err := sub.Check(); err != nil {
		return err
	}
	if _, err := s.Secrets.Resolve(ctx, sub.Secret); err != nil {
		return problem.Wrap(err, "", opSubscribe, "subscription %s signs with a secret that cannot be read", sub.Name).
			WithHelp("set it first: showrunner secret set %s", sub.Secret)
	}
	start, err := s.End(ctx)
	if err != nil {
		return err
	}
	if from != nil {
		start = *from
	}
	sub.By = p.Name
	return s.subscriptions().Put(ctx, sub, start, s.audit(p, opSubscribe, sub.Application, sub.Name, map[string]any{"url": sub.URL}))
}

// DeleteSubscription ends a subscription. Errors: not_found, denied.
func (s *Service) DeleteSubscription(ctx context.Context, p Principal, name string) error {
	if err := s.allow(p, opUnsubscribe, name); err != nil {
		return err
	}
	return s.subscriptions().Delete(ctx, name, s.audit(p, opUnsubscribe, "", name, nil))
}

// ResumeSubscription has one that is parked, or pauses after failures, tried
// again at once. Errors: not_found, denied.
func (s *Service) ResumeSubscription(ctx context.Context, p Principal, name string) error {
	if err := s.allow(p, opResume, name); err != nil {
		return err
	}
	list, err := s.subscriptions().List(ctx)
	if err != nil {
		return err
	}
	for _, sub := range list {
		if sub.Name == name {
			return s.did(ctx, p, opResume, sub.Application, name, nil, s.subscriptions().Resume(ctx, name, 0))
		}
	}
	return problem.New(problem.NotFound, opResume, "there is no subscription %q", name)
}
