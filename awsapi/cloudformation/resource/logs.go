package resource

import (
	"context"
)

func logTypes() []*Type {
	return []*Type{{
		Name:       "AWS::Logs::LogGroup",
		Properties: []string{"LogGroupName", "RetentionInDays", "KmsKeyId", "LogGroupClass", "DataProtectionPolicy", "FieldIndexPolicies", "Tags"},
		Kept:       []string{"KmsKeyId", "LogGroupClass", "DataProtectionPolicy", "FieldIndexPolicies"},
		Replace:    []string{"LogGroupName"}, Attributes: []string{"Arn"}, Named: "LogGroupName", Identifiers: []string{"LogGroupName"}, Tagged: true,
		Needs:   [2]string{"logs", "CreateLogGroup"},
		Handler: logGroup{},
	}}
}

// logGroup acts for AWS::Logs::LogGroup.
type logGroup struct{}

func (logGroup) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Arn": "arn:aws:logs:" + r.Region + ":" + r.Account + ":log-group:" + r.Physical + ":*"}}
}

func (h logGroup) tags(r *Request) map[string]any {
	out := map[string]any{}
	for _, t := range r.AllTags() {
		out[t.Key] = t.Value
	}
	return out
}

func (h logGroup) Create(ctx context.Context, r *Request) (Made, error) {
	if _, err := r.call(ctx, "logs", "CreateLogGroup", map[string]any{"logGroupName": r.Physical, "tags": h.tags(r)}); err != nil {
		return Made{}, err
	}
	return h.Complete(ctx, r)
}

// Complete sets how long a group keeps its events.
func (h logGroup) Complete(ctx context.Context, r *Request) (Made, error) {
	in := map[string]any{"logGroupName": r.Physical}
	days, there := r.Properties["RetentionInDays"]
	var err error
	switch {
	case there:
		in["retentionInDays"] = days
		_, err = r.call(ctx, "logs", "PutRetentionPolicy", in)
	case r.Old["RetentionInDays"] != nil:
		_, err = r.call(ctx, "logs", "DeleteRetentionPolicy", in)
	}
	return h.made(r), err
}

func (h logGroup) Update(ctx context.Context, r *Request) (Made, error) {
	if keys := r.oldTagKeys(); len(keys) > 0 {
		if _, err := r.call(ctx, "logs", "UntagLogGroup", map[string]any{"logGroupName": r.Physical, "tags": keys}); err != nil {
			return Made{}, err
		}
	}
	if tags := h.tags(r); len(tags) > 0 {
		if _, err := r.call(ctx, "logs", "TagLogGroup", map[string]any{"logGroupName": r.Physical, "tags": tags}); err != nil {
			return Made{}, err
		}
	}
	return h.Complete(ctx, r)
}

func (logGroup) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "logs", "DeleteLogGroup", map[string]any{"logGroupName": r.Physical})
	return gone(err, "ResourceNotFoundException")
}

func (h logGroup) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "logs", "DescribeLogGroups", map[string]any{"logGroupNamePrefix": r.Physical})
	list, _ := out["logGroups"].([]any)
	for _, g := range list {
		if textAt(g, "logGroupName") == r.Physical {
			return h.made(r), true, nil
		}
	}
	return Made{}, false, err
}
