package secretsmanager

import (
	"context"
	"slices"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

type tag struct{ Key, Value string }

type createInput struct {
	Name, Description, KmsKeyId, ClientRequestToken string
	SecretString                                    *string
	SecretBinary                                    []byte
	Tags                                            []tag
}

type secretOutput struct {
	ARN, Name, VersionId string
}

func (s *Secrets) create(ctx context.Context, c *wire.Call, in *createInput) (*secretOutput, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	value, binary, without, err := content(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if !without {
		if err := needToken(in.ClientRequestToken); err != nil {
			return nil, err
		}
	}
	key := c.Region + "/" + in.Name
	if err := s.bury(ctx, key); err != nil {
		return nil, err
	}
	d, err := s.docs.Put(ctx, key, func(d *document) error {
		switch {
		case d.Name != "" && !d.Deletes.IsZero():
			return wire.Errorf("InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
		case d.Name != "" && (without || d.version(in.ClientRequestToken) == nil):
			return wire.Errorf("ResourceExistsException", "The operation failed because the secret %s already exists.", in.Name)
		}
		if d.Name == "" {
			now := s.now().UTC()
			*d = document{ARN: arnPrefix(c) + in.Name + suffix(), Name: in.Name, Description: in.Description, KMSKey: in.KmsKeyId, Tags: in.Tags, Created: now, Changed: now}
		}
		if without {
			return nil
		}
		return s.addVersion(ctx, d, in.ClientRequestToken, value, binary, []string{current})
	})
	if err != nil {
		return nil, err
	}
	out := &secretOutput{ARN: d.ARN, Name: d.Name}
	if !without {
		out.VersionId = in.ClientRequestToken
	}
	return out, nil
}

type putInput struct {
	SecretId, ClientRequestToken string
	SecretString                 *string
	SecretBinary                 []byte
	VersionStages                []string
}

type putOutput struct {
	ARN, Name, VersionId string
	VersionStages        []string
}

func (s *Secrets) put(ctx context.Context, c *wire.Call, in *putInput) (*putOutput, error) {
	value, binary, without, err := content(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if without {
		return nil, wire.Errorf("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	}
	if err := needToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	stages := in.VersionStages
	if len(stages) == 0 {
		stages = []string{current}
	}
	var gone []string
	d, err := s.change(ctx, c, in.SecretId, func(d *document) error {
		err := s.addVersion(ctx, d, in.ClientRequestToken, value, binary, stages)
		gone = d.prune()
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.forget(ctx, gone); err != nil {
		return nil, err
	}
	return &putOutput{ARN: d.ARN, Name: d.Name, VersionId: in.ClientRequestToken, VersionStages: d.version(in.ClientRequestToken).Stages}, nil
}

type updateInput struct {
	SecretId, ClientRequestToken string
	Description, KmsKeyId        *string
	SecretString                 *string
	SecretBinary                 []byte
}

func (s *Secrets) update(ctx context.Context, c *wire.Call, in *updateInput) (*secretOutput, error) {
	value, binary, without, err := content(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if !without {
		if err := needToken(in.ClientRequestToken); err != nil {
			return nil, err
		}
	}
	var gone []string
	d, err := s.change(ctx, c, in.SecretId, func(d *document) error {
		if in.Description != nil {
			d.Description = *in.Description
		}
		if in.KmsKeyId != nil {
			d.KMSKey = *in.KmsKeyId
		}
		d.Changed = s.now().UTC()
		if without {
			return nil
		}
		err := s.addVersion(ctx, d, in.ClientRequestToken, value, binary, []string{current})
		gone = d.prune()
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.forget(ctx, gone); err != nil {
		return nil, err
	}
	out := &secretOutput{ARN: d.ARN, Name: d.Name}
	if !without {
		out.VersionId = in.ClientRequestToken
	}
	return out, nil
}

type stageInput struct{ SecretId, VersionStage, RemoveFromVersionId, MoveToVersionId string }

type nameOutput struct{ ARN, Name string }

func (s *Secrets) moveStage(ctx context.Context, c *wire.Call, in *stageInput) (*nameOutput, error) {
	d, err := s.change(ctx, c, in.SecretId, func(d *document) error {
		had := d.staged(in.VersionStage)
		if in.RemoveFromVersionId != "" && (had == nil || had.ID != in.RemoveFromVersionId) {
			return wire.Errorf("InvalidParameterException", "The parameter RemoveFromVersionId can't be %s. Staging label %s is not attached to that version.", in.RemoveFromVersionId, in.VersionStage)
		}
		if in.MoveToVersionId == "" {
			if in.VersionStage == current {
				return wire.Errorf("InvalidParameterException", "You can only move staging label AWSCURRENT to a different secret version. It can’t be completely removed.")
			}
			d.take(in.VersionStage)
			return nil
		}
		to := d.version(in.MoveToVersionId)
		switch {
		case to == nil:
			return wire.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: %s", in.MoveToVersionId)
		case had != nil && had.ID != to.ID && in.RemoveFromVersionId == "":
			return wire.Errorf("InvalidParameterException", "The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", in.VersionStage, had.ID)
		}
		d.move(in.VersionStage, to)
		d.Changed = s.now().UTC()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &nameOutput{d.ARN, d.Name}, nil
}

type deleteInput struct {
	SecretId                   string
	RecoveryWindowInDays       *int64
	ForceDeleteWithoutRecovery bool
}

type deleteOutput struct {
	ARN, Name    string
	DeletionDate time.Time
}

func (s *Secrets) delete(ctx context.Context, c *wire.Call, in *deleteInput) (*deleteOutput, error) {
	days := int64(30)
	if in.RecoveryWindowInDays != nil {
		if in.ForceDeleteWithoutRecovery {
			return nil, wire.Errorf("InvalidParameterException", "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
		}
		if days = *in.RecoveryWindowInDays; days < 7 || days > 30 {
			return nil, wire.Errorf("InvalidParameterException", "RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
		}
	}
	now := s.now().UTC()
	key, d, err := s.find(ctx, c, in.SecretId)
	if wire.CodeOf(err) == "ResourceNotFoundException" && in.ForceDeleteWithoutRecovery {
		// As AWS does: it is gone, which is what was asked for.
		return &deleteOutput{ARN: arnPrefix(c) + in.SecretId + suffix(), Name: in.SecretId, DeletionDate: now}, nil
	}
	if err != nil {
		return nil, err
	}
	if in.ForceDeleteWithoutRecovery {
		if err := s.docs.Delete(ctx, key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
			return nil, err
		}
		return &deleteOutput{ARN: d.ARN, Name: d.Name, DeletionDate: now}, s.forget(ctx, d.values())
	}
	d, err = s.docs.Update(ctx, key, func(d *document) error {
		if !d.Deletes.IsZero() {
			return marked()
		}
		d.Marked, d.Deletes = now, now.AddDate(0, 0, int(days))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &deleteOutput{ARN: d.ARN, Name: d.Name, DeletionDate: d.Deletes}, nil
}

type idInput struct{ SecretId string }

func (s *Secrets) restore(ctx context.Context, c *wire.Call, in *idInput) (*nameOutput, error) {
	key, _, err := s.find(ctx, c, in.SecretId)
	if err != nil {
		return nil, err
	}
	d, err := s.docs.Update(ctx, key, func(d *document) error {
		d.Deletes, d.Marked = time.Time{}, time.Time{}
		return nil
	})
	return &nameOutput{d.ARN, d.Name}, err
}

type tagInput struct {
	SecretId string
	Tags     []tag
}

type none struct{}

func (s *Secrets) tag(ctx context.Context, c *wire.Call, in *tagInput) (*none, error) {
	_, err := s.change(ctx, c, in.SecretId, func(d *document) error {
		for _, t := range in.Tags {
			i := slices.IndexFunc(d.Tags, func(o tag) bool { return o.Key == t.Key })
			if i >= 0 {
				d.Tags[i].Value = t.Value
				continue
			}
			d.Tags = append(d.Tags, t)
		}
		return nil
	})
	return &none{}, err
}

type untagInput struct {
	SecretId string
	TagKeys  []string
}

func (s *Secrets) untag(ctx context.Context, c *wire.Call, in *untagInput) (*none, error) {
	_, err := s.change(ctx, c, in.SecretId, func(d *document) error {
		d.Tags = slices.DeleteFunc(d.Tags, func(t tag) bool { return slices.Contains(in.TagKeys, t.Key) })
		return nil
	})
	return &none{}, err
}
