package control

import (
	"context"
	"encoding/json"

	"showrunner/secret"
)

// ListSecrets lists secrets by name, without values.
func (s *Service) ListSecrets(ctx context.Context, p Principal) ([]secret.Info, error) {
	if err := s.allow(p, opRead, "secrets"); err != nil {
		return nil, err
	}
	return s.Secrets.List(ctx)
}

// SetSecret creates or replaces a secret. Errors: invalid, precondition, denied.
func (s *Service) SetSecret(ctx context.Context, p Principal, name string, value []byte) error {
	if err := s.allow(p, opSecret, name); err != nil {
		return err
	}
	return s.Secrets.Set(ctx, name, value, s.audit(p, opSecret, "", name, nil))
}

// DeleteSecret removes a secret. Errors: not_found, denied.
func (s *Service) DeleteSecret(ctx context.Context, p Principal, name string) error {
	if err := s.allow(p, opUnsecret, name); err != nil {
		return err
	}
	return s.Secrets.Delete(ctx, name, s.audit(p, opUnsecret, "", name, nil))
}

// Deliveries is what the triggers keep of webhooks.
type Deliveries interface {
	// Deliveries lists them newest first, as JSON objects.
	Deliveries(ctx context.Context, application string, limit int) (json.RawMessage, error)
}

// Deliveries lists what webhooks delivered, newest first.
func (s *Service) Deliveries(ctx context.Context, p Principal, application string, limit int) (json.RawMessage, error) {
	if err := s.allow(p, opRead, "deliveries"); err != nil {
		return nil, err
	}
	return s.Hooks.Deliveries(ctx, application, limit)
}
