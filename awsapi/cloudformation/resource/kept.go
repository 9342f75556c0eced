package resource

import (
	"context"

	"showrunner/awsapi/state"
	"showrunner/problem"
)

// keptTypes are types without a service here: they are kept and returned, and do nothing.
func keptTypes(c Config) []*Type {
	docs := state.New[keptDocument](c.Records, "aws.cloudformation.kept")
	account := func(r *Request, service, rest string) string {
		return "arn:aws:" + service + ":" + r.Region + ":" + r.Account + ":" + rest
	}
	uuid := func(r *Request, random string) string { return UUID(random) }
	return []*Type{{
		Name:       "AWS::KMS::Key",
		Properties: []string{"Description", "EnableKeyRotation", "Enabled", "KeyPolicy", "KeySpec", "KeyUsage", "MultiRegion", "PendingWindowInDays", "Tags", "Origin", "RotationPeriodInDays"},
		Replace:    []string{"KeySpec", "KeyUsage", "MultiRegion", "Origin"}, Attributes: []string{"Arn", "KeyId"}, Identify: uuid, Identifiers: []string{"KeyId"},
		Handler: kept{docs, "AWS::KMS::Key", func(r *Request) map[string]any {
			return map[string]any{"Arn": account(r, "kms", "key/"+r.Physical), "KeyId": r.Physical}
		}},
	}, {
		Name:       "AWS::KMS::Alias",
		Properties: []string{"AliasName", "TargetKeyId"}, Required: []string{"AliasName", "TargetKeyId"},
		Replace: []string{"AliasName"}, Named: "AliasName", Identifiers: []string{"AliasName"},
		Handler: kept{docs, "AWS::KMS::Alias", func(*Request) map[string]any { return nil }},
	}, {
		Name: "AWS::ECR::Repository",
		Properties: []string{"RepositoryName", "EncryptionConfiguration", "ImageScanningConfiguration", "ImageTagMutability", "LifecyclePolicy", "RepositoryPolicyText",
			"EmptyOnDelete", "Tags"},
		Replace: []string{"RepositoryName", "EncryptionConfiguration"}, Attributes: []string{"Arn", "RepositoryUri"}, Named: "RepositoryName", Identifiers: []string{"RepositoryName"},
		Identify: func(r *Request, _ string) string { return bucketName(r, "") },
		Handler: kept{docs, "AWS::ECR::Repository", func(r *Request) map[string]any {
			return map[string]any{"Arn": account(r, "ecr", "repository/"+r.Physical), "RepositoryUri": r.Account + ".dkr.ecr." + r.Region + ".amazonaws.com/" + r.Physical}
		}},
	}}
}

// keptDocument says whose a resource without a service is; its properties are in the stack.
type keptDocument struct {
	Stack   string `json:"stack"`
	Logical string `json:"logical"`
}

// kept acts for a type without a service: names are unique, everything else is a record.
type kept struct {
	docs       state.Collection[keptDocument]
	kind       string
	attributes func(r *Request) map[string]any
}

func (k kept) key(r *Request) string { return r.Region + "/" + k.kind + "/" + r.Physical }

func (k kept) made(r *Request) Made { return Made{Physical: r.Physical, Attributes: k.attributes(r)} }

func (k kept) Create(ctx context.Context, r *Request) (Made, error) {
	return k.Update(ctx, r)
}

func (k kept) Update(ctx context.Context, r *Request) (Made, error) {
	_, err := k.docs.Put(ctx, k.key(r), func(d *keptDocument) error {
		d.Stack, d.Logical = r.StackID, r.Logical
		return nil
	})
	return k.made(r), err
}

func (k kept) Delete(ctx context.Context, r *Request) error {
	err := k.docs.Delete(ctx, k.key(r), nil)
	if problem.CodeOf(err) == problem.NotFound {
		return nil
	}
	return err
}

func (k kept) Find(ctx context.Context, r *Request) (Made, bool, error) {
	_, err := k.docs.Get(ctx, k.key(r))
	if problem.CodeOf(err) == problem.NotFound {
		return Made{}, false, nil
	}
	return k.made(r), err == nil, err
}
