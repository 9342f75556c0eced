package resource

import (
	"context"
	"encoding/json"

	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/wire"
)

func secretTypes() []*Type {
	return []*Type{{
		Name:        "AWS::SecretsManager::Secret",
		Properties:  []string{"Name", "Description", "SecretString", "GenerateSecretString", "KmsKeyId", "Tags"},
		Replace:     []string{"Name"},
		Attributes:  []string{"Id"},
		Identify:    func(r *Request, random string) string { return r.Logical + "-" + random },
		Identifiers: []string{"Id"}, Tagged: true,
		Needs:   [2]string{"secretsmanager", "CreateSecret"},
		Handler: secret{},
	}, {
		Name:       "AWS::SecretsManager::ResourcePolicy",
		Properties: []string{"SecretId", "ResourcePolicy", "BlockPublicPolicy"},
		Required:   []string{"SecretId", "ResourcePolicy"},
		Kept:       []string{"BlockPublicPolicy"},
		Replace:    []string{"SecretId"},
		Attributes: []string{"Id"},
		Needs:      [2]string{"secretsmanager", "PutResourcePolicy"},
		Handler:    secretPolicy{},
	}, {
		Name:       "AWS::SecretsManager::RotationSchedule",
		Properties: []string{"SecretId", "RotationLambdaARN", "RotationRules", "RotateImmediatelyOnUpdate"},
		Required:   []string{"SecretId", "RotationLambdaARN"},
		Replace:    []string{"SecretId"},
		Attributes: []string{"Id"},
		Needs:      [2]string{"lambda", "Invoke"},
		Handler:    secretRotation{},
	}}
}

// secretRotation acts for AWS::SecretsManager::RotationSchedule, whose identifier is its secret's.
type secretRotation struct{}

func (secretRotation) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Id": r.Physical}}
}

func (h secretRotation) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"SecretId": "SecretId", "RotationLambdaARN": "RotationLambdaARN", "RotationRules": "RotationRules"})
	in["ClientRequestToken"] = UUID(r.Token)
	if v := r.Text("RotateImmediatelyOnUpdate"); v != "" {
		in["RotateImmediately"] = v
	}
	_, err := r.call(ctx, "secretsmanager", "RotateSecret", in)
	return h.made(r), err
}

func (h secretRotation) Update(ctx context.Context, r *Request) (Made, error) {
	return h.Create(ctx, r)
}

func (secretRotation) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "secretsmanager", "CancelRotateSecret", map[string]any{"SecretId": r.Properties["SecretId"]})
	return gone(err, "ResourceNotFoundException", "InvalidRequestException")
}

// Find is the rotation of a secret that has one.
func (h secretRotation) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "secretsmanager", "DescribeSecret", map[string]any{"SecretId": r.Properties["SecretId"]})
	if err != nil {
		return absent(h.made(r), err, "ResourceNotFoundException")
	}
	on, _ := out["RotationEnabled"].(bool)
	return h.made(r), on && textAt(out, "RotationLambdaARN") == r.Text("RotationLambdaARN"), nil
}

// secret acts for AWS::SecretsManager::Secret. Its identifier is the ARN; before
// it is made, its name.
type secret struct{}

func secretMade(arn string) Made {
	return Made{Physical: arn, Attributes: map[string]any{"Id": arn}}
}

func (s secret) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"Description": "Description", "KmsKeyId": "KmsKeyId"})
	in["Name"], in["Tags"], in["ClientRequestToken"] = r.Physical, r.tagList(), UUID(r.Token)
	if name := r.Text("Name"); name != "" {
		in["Name"] = name
	}
	value, err := s.value(ctx, r)
	if err != nil {
		return Made{}, err
	}
	in["SecretString"] = value
	out, err := r.call(ctx, "secretsmanager", "CreateSecret", in)
	return secretMade(textAt(out, "ARN")), err
}

// value is the secret's: as given, or made.
func (s secret) value(ctx context.Context, r *Request) (string, error) {
	if _, given := r.Properties["SecretString"]; given {
		return r.Text("SecretString"), nil
	}
	in, asked := map[string]any{}, r.Object("GenerateSecretString")
	for name, v := range asked {
		if name != "SecretStringTemplate" && name != "GenerateStringKey" {
			in[name] = v
		}
	}
	out, err := r.call(ctx, "secretsmanager", "GetRandomPassword", in)
	if err != nil {
		return "", err
	}
	password := textAt(out, "RandomPassword")
	key, _ := template.Text(asked["GenerateStringKey"])
	form, _ := template.Text(asked["SecretStringTemplate"])
	if key == "" && form == "" {
		return password, nil
	}
	var values map[string]any
	if key == "" || json.Unmarshal([]byte(form), &values) != nil {
		return "", wire.Errorf("InvalidRequest", "GenerateStringKey and SecretStringTemplate, a JSON object, have to be given together.")
	}
	values[key] = password
	b, err := json.Marshal(values)
	return string(b), err
}

func (s secret) Update(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"Description": "Description", "KmsKeyId": "KmsKeyId"})
	in["SecretId"] = r.Physical
	if in["Description"] == nil {
		in["Description"] = ""
	}
	old, now := []any{r.Old["SecretString"], r.Old["GenerateSecretString"]}, []any{r.Properties["SecretString"], r.Properties["GenerateSecretString"]}
	if !Same(old, now) && (now[0] != nil || now[1] != nil) {
		value, err := s.value(ctx, r)
		if err != nil {
			return Made{}, err
		}
		in["SecretString"], in["ClientRequestToken"] = value, UUID(r.Token)
	}
	if _, err := r.call(ctx, "secretsmanager", "UpdateSecret", in); err != nil {
		return Made{}, err
	}
	if keys := r.oldTagKeys(); len(keys) > 0 {
		if _, err := r.call(ctx, "secretsmanager", "UntagResource", map[string]any{"SecretId": r.Physical, "TagKeys": keys}); err != nil {
			return Made{}, err
		}
	}
	_, err := r.call(ctx, "secretsmanager", "TagResource", map[string]any{"SecretId": r.Physical, "Tags": r.tagList()})
	return secretMade(r.Physical), err
}

func (secret) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "secretsmanager", "DeleteSecret", map[string]any{"SecretId": r.Physical, "ForceDeleteWithoutRecovery": true})
	return gone(err, "ResourceNotFoundException")
}

func (secret) Find(ctx context.Context, r *Request) (Made, bool, error) {
	id := r.Physical
	if name := r.Text("Name"); name != "" {
		id = name
	}
	out, err := r.call(ctx, "secretsmanager", "DescribeSecret", map[string]any{"SecretId": id})
	return absent(secretMade(textAt(out, "ARN")), err, "ResourceNotFoundException")
}

// secretPolicy acts for AWS::SecretsManager::ResourcePolicy.
type secretPolicy struct{ unfindable }

func (secretPolicy) Create(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "secretsmanager", "PutResourcePolicy", map[string]any{"SecretId": r.Text("SecretId"), "ResourcePolicy": r.Document("ResourcePolicy")})
	return secretMade(textAt(out, "ARN")), err
}

func (p secretPolicy) Update(ctx context.Context, r *Request) (Made, error) { return p.Create(ctx, r) }

func (secretPolicy) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "secretsmanager", "DeleteResourcePolicy", map[string]any{"SecretId": r.Physical})
	return gone(err, "ResourceNotFoundException")
}
