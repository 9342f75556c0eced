package control

import (
	"context"
	"encoding/json"

	"showrunner/secret"
	"showrunner/store/record"
)

// SecretInfo is the public data of a secret.
type SecretInfo = secret.Info

// ListSecrets lists secrets by name, without values.
func (s *Service) ListSecrets(ctx context.Context, p Principal) ([]secret.Info, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindSecret}); err != nil {
		return nil, err
	}
	return s.Secrets.List(ctx)
}

// SetSecret creates or replaces a secret. Errors: invalid, precondition, denied.
func (s *Service) SetSecret(ctx context.Context, p Principal, name string, value []byte) error {
	return s.commit(ctx, p, opSecret, Subject{Kind: KindSecret, Name: name}, nil, func(done record.Event) error {
		return s.Secrets.Set(ctx, name, value, done)
	})
}

// DeleteSecret removes a secret. Errors: not_found, denied.
func (s *Service) DeleteSecret(ctx context.Context, p Principal, name string) error {
	return s.commit(ctx, p, opUnsecret, Subject{Kind: KindSecret, Name: name}, nil, func(done record.Event) error {
		return s.Secrets.Delete(ctx, name, done)
	})
}

// DeliveryLog is what the triggers keep of webhooks.
type DeliveryLog interface {
	// Deliveries lists them newest first, as JSON objects.
	Deliveries(ctx context.Context, application string, limit int) (json.RawMessage, error)
}

// Redeliverer handles the payload of an earlier delivery again.
type Redeliverer interface {
	// Redeliver answers with the new delivery, as a JSON object. Errors: not_found, unavailable.
	Redeliver(ctx context.Context, id, by string) (json.RawMessage, error)
}

// Redeliver handles what a webhook delivered again, by the triggers as they are now; what
// it started before is not started twice. Errors: not_found (the payload is not kept),
// denied, unavailable.
func (s *Service) Redeliver(ctx context.Context, p Principal, id string) (answer json.RawMessage, err error) {
	err = s.perform(ctx, p, opRedeliver, Subject{Kind: KindTrigger, Name: id}, nil, func() (map[string]any, error) {
		answer, err = s.Redeliverer.Redeliver(ctx, id, p.Name)
		return nil, err
	})
	return answer, err
}

// Deliveries lists what webhooks delivered, newest first.
func (s *Service) Deliveries(ctx context.Context, p Principal, application string, limit int) (json.RawMessage, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindTrigger}); err != nil {
		return nil, err
	}
	return s.DeliveryLog.Deliveries(ctx, application, limit)
}
