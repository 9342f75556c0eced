package control

import (
	"context"
	"slices"

	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/subscription"
)

func (s *Service) subscriptions() subscription.Store {
	return subscription.Store{Records: s.Records}
}

// Subscriptions lists who has events sent, with how far each is.
func (s *Service) Subscriptions(ctx context.Context, p Principal) ([]subscription.Subscription, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindSubscription}); err != nil {
		return nil, err
	}
	return s.subscriptions().List(ctx)
}

// PutSubscription creates or replaces a subscription. A new one begins with what
// happens from now on, or after position from when that is given; one that is
// replaced goes on where it was. Errors: invalid, not_found (the secret), denied.
func (s *Service) PutSubscription(ctx context.Context, p Principal, sub subscription.Subscription, from *int64) error {
	return s.commit(ctx, p, opSubscribe, subscriptionSubject(sub.Name, sub.Application), map[string]any{"url": sub.URL}, func(done record.Event) error {
		return s.putSubscription(ctx, p, sub, from, done)
	})
}

func subscriptionSubject(name, application string) Subject {
	return Subject{Kind: KindSubscription, Name: name, Application: application}
}

func (s *Service) putSubscription(ctx context.Context, p Principal, sub subscription.Subscription, from *int64, done record.Event) error {
	if err := sub.Check(); err != nil {
		return err
	}
	if sub.Secret != "" {
		if _, err := s.Secrets.Resolve(ctx, sub.Secret); err != nil {
			return problem.Wrap(err, "", opSubscribe, "subscription %s uses a secret that cannot be read", sub.Name).
				WithHelp("set it first: showrunner secret set %s", sub.Secret)
		}
	}
	start, err := s.End(ctx)
	if err != nil {
		return err
	}
	if from != nil {
		start = *from
	}
	sub.By = p.Name
	return s.subscriptions().Put(ctx, sub, start, done)
}

// DeleteSubscription ends a subscription. Errors: not_found, denied.
func (s *Service) DeleteSubscription(ctx context.Context, p Principal, name string) error {
	return s.commit(ctx, p, opUnsubscribe, subscriptionSubject(name, ""), nil, func(done record.Event) error {
		return s.subscriptions().Delete(ctx, name, done)
	})
}

// ResumeSubscription has one that is parked, or pauses after failures, tried
// again at once. Errors: not_found, denied.
func (s *Service) ResumeSubscription(ctx context.Context, p Principal, name string) error {
	return s.perform(ctx, p, opResume, subscriptionSubject(name, ""), nil, func() (map[string]any, error) {
		list, err := s.subscriptions().List(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list, func(sub subscription.Subscription) bool { return sub.Name == name }) {
			return nil, problem.New(problem.NotFound, opResume, "there is no subscription %q", name)
		}
		return nil, s.subscriptions().Resume(ctx, name, 0)
	})
}
