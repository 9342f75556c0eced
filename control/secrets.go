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

// Deliveries lists what webhooks delivered, newest first.
func (s *Service) Deliveries(ctx context.Context, p Principal, application string, limit int) (json.RawMessage, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindTrigger}); err != nil {
		return nil, err
	}
	return s.DeliveryLog.Deliveries(ctx, application, limit)
}
