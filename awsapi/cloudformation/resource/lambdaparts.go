package resource

import (
	"context"
	"encoding/json"
	"strings"

	"showrunner/awsapi/wire"
)

// lambdaVersion acts for AWS::Lambda::Version, whose identifier is its ARN.
type lambdaVersion struct{}

func versionMade(arn string) Made {
	return Made{Physical: arn, Attributes: map[string]any{"FunctionArn": arn, "Version": arn[strings.LastIndexByte(arn, ':')+1:]}}
}

func (lambdaVersion) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"CodeSha256": "CodeSha256", "Description": "Description", "FunctionName": "FunctionName"})
	out, err := r.call(ctx, "lambda", "PublishVersion", in)
	arn := textAt(out, "FunctionArn")
	if err == nil && arn == r.Replaced {
		err = wire.Errorf("ValidationError", "A version for this Lambda function exists ( %s ). Modify the function to create a new version.", textAt(out, "Version"))
	}
	return versionMade(arn), err
}

func (lambdaVersion) Update(_ context.Context, r *Request) (Made, error) {
	return versionMade(r.Physical), nil
}

// Delete leaves a version that an alias still refers to for the end of its function.
func (lambdaVersion) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "lambda", "DeleteFunction", map[string]any{"FunctionName": r.Physical})
	return gone(err, "ResourceNotFoundException")
}

// Find is the newest version: publishing what has not changed makes no other one.
func (lambdaVersion) Find(ctx context.Context, r *Request) (Made, bool, error) {
	if r.Physical != "" {
		_, err := r.call(ctx, "lambda", "GetFunctionConfiguration", map[string]any{"FunctionName": r.Physical})
		return absent(versionMade(r.Physical), err, "ResourceNotFoundException")
	}
	return Made{}, false, nil
}

// lambdaAlias acts for AWS::Lambda::Alias, whose identifier is its ARN.
type lambdaAlias struct{}

func aliasMade(arn string) Made {
	return Made{Physical: arn, Attributes: map[string]any{"AliasArn": arn}}
}

// in is an alias as the operations take it. A template lists the weights.
func (lambdaAlias) in(r *Request) map[string]any {
	in := r.pick(map[string]string{"Description": "Description", "FunctionVersion": "FunctionVersion"})
	cut := strings.LastIndexByte(r.Physical, ':')
	in["FunctionName"], in["Name"] = r.Physical[:cut], r.Physical[cut+1:]
	weights := map[string]any{}
	list, _ := r.Object("RoutingConfig")["AdditionalVersionWeights"].([]any)
	for _, e := range list {
		one, _ := e.(map[string]any)
		weights[document(one["FunctionVersion"])] = one["FunctionWeight"]
	}
	in["RoutingConfig"] = map[string]any{"AdditionalVersionWeights": weights}
	return in
}

func (h lambdaAlias) Create(ctx context.Context, r *Request) (Made, error) {
	_, err := r.call(ctx, "lambda", "CreateAlias", h.in(r))
	return aliasMade(r.Physical), err
}

func (h lambdaAlias) Update(ctx context.Context, r *Request) (Made, error) {
	_, err := r.call(ctx, "lambda", "UpdateAlias", h.in(r))
	return aliasMade(r.Physical), err
}

func (h lambdaAlias) Delete(ctx context.Context, r *Request) error {
	in := h.in(r)
	_, err := r.call(ctx, "lambda", "DeleteAlias", map[string]any{"FunctionName": in["FunctionName"], "Name": in["Name"]})
	return gone(err, "ResourceNotFoundException")
}

func (h lambdaAlias) Find(ctx context.Context, r *Request) (Made, bool, error) {
	in := h.in(r)
	_, err := r.call(ctx, "lambda", "GetAlias", map[string]any{"FunctionName": in["FunctionName"], "Name": in["Name"]})
	return absent(aliasMade(r.Physical), err, "ResourceNotFoundException")
}

// lambdaPermission acts for AWS::Lambda::Permission, whose identifier is the statement's.
type lambdaPermission struct{}

func (lambdaPermission) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Id": r.Physical}}
}

func (h lambdaPermission) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"Action": "Action", "EventSourceToken": "EventSourceToken", "FunctionName": "FunctionName", "FunctionUrlAuthType": "FunctionUrlAuthType", "Principal": "Principal",
		"PrincipalOrgID": "PrincipalOrgID", "SourceAccount": "SourceAccount", "SourceArn": "SourceArn"})
	in["StatementId"] = r.Physical
	_, err := r.call(ctx, "lambda", "AddPermission", in)
	return h.made(r), err
}

func (h lambdaPermission) Update(_ context.Context, r *Request) (Made, error) { return h.made(r), nil }

func (lambdaPermission) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "lambda", "RemovePermission", map[string]any{"FunctionName": r.Properties["FunctionName"], "StatementId": r.Physical})
	return gone(err, "ResourceNotFoundException")
}

func (h lambdaPermission) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "lambda", "GetPolicy", map[string]any{"FunctionName": r.Properties["FunctionName"]})
	if err != nil {
		return absent(Made{}, err, "ResourceNotFoundException")
	}
	var policy struct{ Statement []struct{ Sid string } }
	if err := json.Unmarshal([]byte(textAt(out, "Policy")), &policy); err != nil {
		return Made{}, false, err
	}
	for _, s := range policy.Statement {
		if s.Sid == r.Physical {
			return h.made(r), true, nil
		}
	}
	return Made{}, false, nil
}

// lambdaURL acts for AWS::Lambda::Url, whose identifier is the ARN of what it opens.
type lambdaURL struct{}

// qualifiedTarget is the function or alias of an address.
func qualifiedTarget(r *Request) string {
	name := r.Text("TargetFunctionArn")
	if q := r.Text("Qualifier"); q != "" {
		return name + ":" + q
	}
	return name
}

func (lambdaURL) made(r *Request, out map[string]any) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"FunctionArn": textAt(out, "FunctionArn"), "FunctionUrl": textAt(out, "FunctionUrl")}}
}

func (h lambdaURL) ask(ctx context.Context, r *Request, operation string) (Made, error) {
	in := map[string]any{"FunctionName": r.Physical}
	if operation != "GetFunctionUrlConfig" {
		for name, v := range r.pick(map[string]string{"AuthType": "AuthType", "Cors": "Cors", "InvokeMode": "InvokeMode"}) {
			in[name] = v
		}
		if in["Cors"] == nil && operation == "UpdateFunctionUrlConfig" {
			in["Cors"] = map[string]any{}
		}
	}
	out, err := r.call(ctx, "lambda", operation, in)
	return h.made(r, out), err
}

func (h lambdaURL) Create(ctx context.Context, r *Request) (Made, error) {
	return h.ask(ctx, r, "CreateFunctionUrlConfig")
}

func (h lambdaURL) Update(ctx context.Context, r *Request) (Made, error) {
	return h.ask(ctx, r, "UpdateFunctionUrlConfig")
}

func (lambdaURL) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "lambda", "DeleteFunctionUrlConfig", map[string]any{"FunctionName": r.Physical})
	return gone(err, "ResourceNotFoundException")
}

func (h lambdaURL) Find(ctx context.Context, r *Request) (Made, bool, error) {
	made, err := h.ask(ctx, r, "GetFunctionUrlConfig")
	return absent(made, err, "ResourceNotFoundException")
}

// lambdaMapping acts for AWS::Lambda::EventSourceMapping.
type lambdaMapping struct{}

var mappingSettings = map[string]string{"BatchSize": "BatchSize", "BisectBatchOnFunctionError": "BisectBatchOnFunctionError", "DestinationConfig": "DestinationConfig", "Enabled": "Enabled", "FilterCriteria": "FilterCriteria", "FunctionName": "FunctionName",
	"FunctionResponseTypes": "FunctionResponseTypes", "MaximumBatchingWindowInSeconds": "MaximumBatchingWindowInSeconds", "MaximumRecordAgeInSeconds": "MaximumRecordAgeInSeconds", "MaximumRetryAttempts": "MaximumRetryAttempts",
	"ParallelizationFactor": "ParallelizationFactor", "TumblingWindowInSeconds": "TumblingWindowInSeconds"}

func mappingMade(r *Request, id string) Made {
	return Made{Physical: id, Attributes: map[string]any{"Id": id, "EventSourceMappingArn": "arn:aws:lambda:" + r.Region + ":" + r.Account + ":event-source-mapping:" + id}}
}

func (lambdaMapping) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(mappingSettings)
	for _, name := range []string{"EventSourceArn", "StartingPosition", "StartingPositionTimestamp"} {
		if v, given := r.Properties[name]; given {
			in[name] = v
		}
	}
	out, err := r.call(ctx, "lambda", "CreateEventSourceMapping", in)
	return mappingMade(r, textAt(out, "UUID")), err
}

func (lambdaMapping) Update(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(mappingSettings)
	in["UUID"] = r.Physical
	_, err := r.call(ctx, "lambda", "UpdateEventSourceMapping", in)
	return mappingMade(r, r.Physical), err
}

func (lambdaMapping) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "lambda", "DeleteEventSourceMapping", map[string]any{"UUID": r.Physical})
	return gone(err, "ResourceNotFoundException")
}

// Find is the one mapping that a function and a stream can have.
func (lambdaMapping) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "lambda", "ListEventSourceMappings", map[string]any{"FunctionName": r.Properties["FunctionName"], "EventSourceArn": r.Properties["EventSourceArn"]})
	list, _ := out["EventSourceMappings"].([]any)
	for _, e := range list {
		if id := textAt(e, "UUID"); r.Physical == "" || id == r.Physical {
			return mappingMade(r, id), true, err
		}
	}
	return Made{}, false, err
}

// lambdaEvents acts for AWS::Lambda::EventInvokeConfig.
type lambdaEvents struct{}

func (lambdaEvents) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"DestinationConfig": "DestinationConfig", "FunctionName": "FunctionName", "MaximumEventAgeInSeconds": "MaximumEventAgeInSeconds", "MaximumRetryAttempts": "MaximumRetryAttempts"})
	if q := r.Text("Qualifier"); q != "$LATEST" {
		in["Qualifier"] = q
	}
	_, err := r.call(ctx, "lambda", "PutFunctionEventInvokeConfig", in)
	return Made{Physical: r.Physical}, err
}

func (h lambdaEvents) Update(ctx context.Context, r *Request) (Made, error) { return h.Create(ctx, r) }

func (lambdaEvents) target(r *Request) map[string]any {
	in := map[string]any{"FunctionName": r.Properties["FunctionName"]}
	if q := r.Text("Qualifier"); q != "$LATEST" {
		in["Qualifier"] = q
	}
	return in
}

func (h lambdaEvents) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "lambda", "DeleteFunctionEventInvokeConfig", h.target(r))
	return gone(err, "ResourceNotFoundException")
}

func (h lambdaEvents) Find(ctx context.Context, r *Request) (Made, bool, error) {
	_, err := r.call(ctx, "lambda", "GetFunctionEventInvokeConfig", h.target(r))
	return absent(Made{Physical: r.Physical}, err, "ResourceNotFoundException")
}

// lambdaLayer acts for AWS::Lambda::LayerVersion, whose identifier is its ARN.
type lambdaLayer struct{}

func layerMade(arn string) Made {
	return Made{Physical: arn, Attributes: map[string]any{"LayerVersionArn": arn}}
}

func (lambdaLayer) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"CompatibleArchitectures": "CompatibleArchitectures", "CompatibleRuntimes": "CompatibleRuntimes", "Content": "Content", "Description": "Description", "LicenseInfo": "LicenseInfo", "LayerName": "LayerName"})
	if in["LayerName"] == nil {
		in["LayerName"] = r.Logical + Random(8, false, r.Token)
	}
	out, err := r.call(ctx, "lambda", "PublishLayerVersion", in)
	return layerMade(textAt(out, "LayerVersionArn")), err
}

func (lambdaLayer) Update(_ context.Context, r *Request) (Made, error) {
	return layerMade(r.Physical), nil
}

func (lambdaLayer) Delete(ctx context.Context, r *Request) error {
	cut := strings.LastIndexByte(r.Physical, ':')
	if cut < 0 {
		return nil
	}
	_, err := r.call(ctx, "lambda", "DeleteLayerVersion", map[string]any{"LayerName": r.Physical[:cut], "VersionNumber": r.Physical[cut+1:]})
	return gone(err, "ResourceNotFoundException")
}

// Find looks for a version of a layer that a crash left without a record of it: the name
// of one that has none of its own is the act's.
func (lambdaLayer) Find(ctx context.Context, r *Request) (Made, bool, error) {
	if r.Text("LayerName") != "" {
		return Made{}, false, nil
	}
	out, err := r.call(ctx, "lambda", "ListLayerVersions", map[string]any{"LayerName": r.Logical + Random(8, false, r.Token)})
	list, _ := out["LayerVersions"].([]any)
	if len(list) == 0 {
		return Made{}, false, err
	}
	return layerMade(textAt(list[0], "LayerVersionArn")), true, err
}
