package secretsmanager

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

type getInput struct{ SecretId, VersionId, VersionStage string }

type getOutput struct {
	ARN, Name, VersionId string
	CreatedDate          time.Time
	SecretString         *string
	SecretBinary         []byte
	VersionStages        []string
}

func (s *Secrets) get(ctx context.Context, c *wire.Call, in *getInput) (*getOutput, error) {
	key, d, err := s.find(ctx, c, in.SecretId)
	if err != nil {
		return nil, err
	}
	if !d.Deletes.IsZero() {
		return nil, marked()
	}
	v, err := d.wanted(in)
	if err != nil {
		return nil, err
	}
	if v.Empty {
		return nil, wire.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: %s", v.ID)
	}
	text, err := s.values.Resolve(ctx, v.Value)
	if err != nil {
		return nil, err
	}
	if err := s.access(ctx, key, d, *v); err != nil {
		return nil, err
	}
	out := &getOutput{ARN: d.ARN, Name: d.Name, VersionId: v.ID, CreatedDate: v.Created, VersionStages: v.Stages}
	if v.Binary {
		out.SecretBinary = []byte(text)
	} else {
		out.SecretString = &text
	}
	return out, nil
}

// wanted is the version that a request is for.
func (d *document) wanted(in *getInput) (*version, error) {
	if in.VersionId == "" {
		stage := in.VersionStage
		if stage == "" {
			stage = current
		}
		if v := d.staged(stage); v != nil {
			return v, nil
		}
		return nil, wire.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: %s", stage)
	}
	v := d.version(in.VersionId)
	switch {
	case v == nil:
		return nil, wire.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: %s", in.VersionId)
	case in.VersionStage != "" && !slices.Contains(v.Stages, in.VersionStage):
		return nil, wire.Errorf("InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.")
	}
	return v, nil
}

// access notes the day of a read, at most once a day: AWS tells no more.
func (s *Secrets) access(ctx context.Context, key string, d document, v version) error {
	day := s.now().UTC().Truncate(24 * time.Hour)
	if d.Accessed.Equal(day) && v.Accessed.Equal(day) {
		return nil
	}
	_, err := s.docs.Update(ctx, key, func(d *document) error {
		d.Accessed = day
		if v := d.version(v.ID); v != nil {
			v.Accessed = day
		}
		return nil
	})
	return err
}

type batchInput struct {
	SecretIdList []string
	Filters      []filter
	MaxResults   *int64
	NextToken    string
}

type batchError struct{ SecretId, ErrorCode, Message string }

type batchOutput struct {
	SecretValues []getOutput
	Errors       []batchError
	NextToken    string
}

func (s *Secrets) batchGet(ctx context.Context, c *wire.Call, in *batchInput) (*batchOutput, error) {
	if (len(in.SecretIdList) > 0) == (len(in.Filters) > 0) {
		return nil, wire.Errorf("InvalidParameterException", "Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	}
	out := &batchOutput{SecretValues: []getOutput{}}
	ids := in.SecretIdList
	if len(ids) == 0 {
		found, next, err := s.search(ctx, c, in.Filters, false, in.MaxResults, in.NextToken, 20)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			ids = append(ids, d.ARN)
		}
		out.NextToken = next
	}
	for _, id := range ids {
		one, err := s.get(ctx, c, &getInput{SecretId: id})
		if code := wire.CodeOf(err); code == "InternalFailure" {
			return nil, err
		} else if err != nil {
			_, message, _ := strings.Cut(err.Error(), ": ")
			out.Errors = append(out.Errors, batchError{SecretId: id, ErrorCode: code, Message: message})
			continue
		}
		out.SecretValues = append(out.SecretValues, *one)
	}
	return out, nil
}

type describeOutput struct {
	ARN, Name, Description, KmsKeyId                            string
	CreatedDate, LastChangedDate, LastAccessedDate, DeletedDate time.Time
	Tags                                                        []tag
	VersionIdsToStages                                          map[string][]string
	RotationEnabled                                             *bool
	RotationLambdaARN                                           string
	RotationRules                                               *rules
	LastRotatedDate, NextRotationDate                           time.Time
}

func (s *Secrets) describe(ctx context.Context, c *wire.Call, in *idInput) (*describeOutput, error) {
	_, d, err := s.find(ctx, c, in.SecretId)
	if err != nil {
		return nil, err
	}
	out := &describeOutput{ARN: d.ARN, Name: d.Name, Description: d.Description, KmsKeyId: d.KMSKey, CreatedDate: d.Created, LastChangedDate: d.Changed,
		LastAccessedDate: d.Accessed, DeletedDate: d.Marked, Tags: d.Tags, VersionIdsToStages: d.stages()}
	if r := d.Rotation; r != nil {
		out.RotationEnabled, out.RotationLambdaARN, out.RotationRules, out.LastRotatedDate, out.NextRotationDate = &r.Enabled, r.Function, r.Rules, r.Last, r.Next
	}
	return out, nil
}

type versionsInput struct {
	SecretId          string
	IncludeDeprecated bool
	MaxResults        *int64
	NextToken         string
}

type versionEntry struct {
	VersionId                     string
	VersionStages, KmsKeyIds      []string
	CreatedDate, LastAccessedDate time.Time
}

type versionsOutput struct {
	ARN, Name, NextToken string
	Versions             []versionEntry
}

func (s *Secrets) listVersions(ctx context.Context, c *wire.Call, in *versionsInput) (*versionsOutput, error) {
	_, d, err := s.find(ctx, c, in.SecretId)
	if err != nil {
		return nil, err
	}
	out := &versionsOutput{ARN: d.ARN, Name: d.Name, Versions: []versionEntry{}}
	most := wire.Page(in.MaxResults, 100)
	after, err := openToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	skipping := after != ""
	for _, v := range d.Versions {
		if skipping {
			skipping = v.ID != after
			continue
		}
		if len(v.Stages) == 0 && !in.IncludeDeprecated {
			continue
		}
		if len(out.Versions) == most {
			out.NextToken = wire.Token(out.Versions[most-1].VersionId)
			break
		}
		out.Versions = append(out.Versions, versionEntry{VersionId: v.ID, VersionStages: v.Stages, KmsKeyIds: []string{"DefaultEncryptionKey"}, CreatedDate: v.Created, LastAccessedDate: v.Accessed})
	}
	return out, nil
}

// openToken is where a list goes on.
func openToken(t string) (string, error) {
	key, ok := wire.OpenToken(t)
	if !ok {
		return "", wire.Errorf("InvalidNextTokenException", "The NextToken value is invalid.")
	}
	return key, nil
}
