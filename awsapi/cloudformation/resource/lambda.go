package resource

import (
	"archive/zip"
	"bytes"
	"context"
	"embed"
	"strings"

	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/wire"
)

func functionTypes(c Config) []*Type {
	needs := [2]string{"lambda", "CreateFunction"}
	types := []*Type{{
		Name: "AWS::Lambda::Function",
		Properties: []string{"Architectures", "Code", "CodeSigningConfigArn", "DeadLetterConfig", "Description", "Environment", "EphemeralStorage", "FileSystemConfigs", "FunctionName", "Handler", "ImageConfig", "KmsKeyArn", "Layers",
			"LoggingConfig", "MemorySize", "PackageType", "RecursiveLoop", "ReservedConcurrentExecutions", "Role", "Runtime", "RuntimeManagementConfig", "SnapStart", "Tags", "Timeout", "TracingConfig", "VpcConfig"},
		Required: []string{"Code", "Role"},
		Kept:     []string{"KmsKeyArn", "RecursiveLoop", "RuntimeManagementConfig", "TracingConfig", "VpcConfig", "EphemeralStorage"},
		Replace:  []string{"FunctionName", "PackageType"}, Attributes: []string{"Arn"}, Named: "FunctionName", Identifiers: []string{"FunctionName"}, Tagged: true,
		Check: checkFunction, Needs: needs, Handler: lambdaFunction{},
	}, {
		Name:       "AWS::Lambda::Version",
		Properties: []string{"CodeSha256", "Description", "FunctionName", "ProvisionedConcurrencyConfig", "RuntimePolicy"},
		Required:   []string{"FunctionName"}, Kept: []string{"RuntimePolicy"},
		Replace: []string{"FunctionName", "CodeSha256", "Description", "RuntimePolicy"}, Attributes: []string{"Version", "FunctionArn"}, Assigned: true, Repeatable: true,
		Check: refuseProvisioned, Needs: needs, Handler: lambdaVersion{},
	}, {
		Name:       "AWS::Lambda::Alias",
		Properties: []string{"Description", "FunctionName", "FunctionVersion", "Name", "ProvisionedConcurrencyConfig", "RoutingConfig"},
		Required:   []string{"FunctionName", "FunctionVersion", "Name"},
		Replace:    []string{"FunctionName", "Name"}, Attributes: []string{"AliasArn"},
		Identify: func(r *Request, _ string) string {
			return functionARN(r, r.Text("FunctionName")) + ":" + r.Text("Name")
		},
		Check: refuseProvisioned, Needs: needs, Handler: lambdaAlias{},
	}, {
		Name:       "AWS::Lambda::Permission",
		Properties: []string{"Action", "EventSourceToken", "FunctionName", "FunctionUrlAuthType", "InvokedViaFunctionUrl", "Principal", "PrincipalOrgID", "SourceAccount", "SourceArn"},
		Required:   []string{"Action", "FunctionName", "Principal"}, Kept: []string{"InvokedViaFunctionUrl"},
		Replace: []string{"Action", "EventSourceToken", "FunctionName", "FunctionUrlAuthType", "InvokedViaFunctionUrl", "Principal", "PrincipalOrgID", "SourceAccount", "SourceArn"}, Attributes: []string{"Id"},
		Needs: needs, Handler: lambdaPermission{},
	}, {
		Name:       "AWS::Lambda::Url",
		Properties: []string{"AuthType", "Cors", "InvokeMode", "Qualifier", "TargetFunctionArn"},
		Required:   []string{"AuthType", "TargetFunctionArn"},
		Replace:    []string{"Qualifier", "TargetFunctionArn"}, Attributes: []string{"FunctionArn", "FunctionUrl"},
		Identify: func(r *Request, _ string) string { return functionARN(r, qualifiedTarget(r)) },
		Needs:    needs, Handler: lambdaURL{},
	}, {
		Name: "AWS::Lambda::EventSourceMapping",
		Properties: []string{"BatchSize", "BisectBatchOnFunctionError", "DestinationConfig", "Enabled", "EventSourceArn", "FilterCriteria", "FunctionName", "FunctionResponseTypes", "MaximumBatchingWindowInSeconds",
			"MaximumRecordAgeInSeconds", "MaximumRetryAttempts", "ParallelizationFactor", "StartingPosition", "StartingPositionTimestamp", "Tags", "TumblingWindowInSeconds"},
		Required: []string{"FunctionName", "EventSourceArn"}, Kept: []string{"Tags"},
		Replace: []string{"EventSourceArn", "StartingPosition", "StartingPositionTimestamp"}, Attributes: []string{"Id", "EventSourceMappingArn"}, Assigned: true,
		Needs: needs, Handler: lambdaMapping{},
	}, {
		Name:       "AWS::Lambda::EventInvokeConfig",
		Properties: []string{"DestinationConfig", "FunctionName", "MaximumEventAgeInSeconds", "MaximumRetryAttempts", "Qualifier"},
		Required:   []string{"FunctionName", "Qualifier"}, Replace: []string{"FunctionName", "Qualifier"},
		Needs: needs, Handler: lambdaEvents{},
	}, {
		Name:       "AWS::Lambda::LayerVersion",
		Properties: []string{"CompatibleArchitectures", "CompatibleRuntimes", "Content", "Description", "LayerName", "LicenseInfo"},
		Required:   []string{"Content"},
		Replace:    []string{"CompatibleArchitectures", "CompatibleRuntimes", "Content", "Description", "LayerName", "LicenseInfo"}, Attributes: []string{"LayerVersionArn"}, Assigned: true,
		Needs: needs, Handler: lambdaLayer{},
	}, {
		Name:       "AWS::Lambda::LayerVersionPermission",
		Properties: []string{"Action", "LayerVersionArn", "OrganizationId", "Principal"}, Kept: []string{"Action", "LayerVersionArn", "OrganizationId", "Principal"},
		Needs: needs, Handler: nothing{},
	}}
	return append(types, customTypes(c)...)
}

// functionARN is the ARN of a function that a property names.
func functionARN(r *Request, name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	return "arn:aws:lambda:" + r.Region + ":" + r.Account + ":function:" + name
}

func refuseProvisioned(properties map[string]any) error {
	if properties["ProvisionedConcurrencyConfig"] != nil {
		return wire.Errorf("InvalidRequest", "ProvisionedConcurrencyConfig cannot be had here: environments are started when they are needed")
	}
	return nil
}

// checkFunction refuses what no function here can have, before anything is made.
func checkFunction(properties map[string]any) error {
	if text, _ := template.Text(properties["PackageType"]); text == "Image" || at(properties, "Code", "ImageUri") != nil {
		return wire.Errorf("InvalidRequest", "functions from container images cannot be had here; give the code as a zip file")
	}
	if runtime, _ := template.Text(properties["Runtime"]); strings.HasPrefix(runtime, "go1") || strings.HasPrefix(runtime, "java") || strings.HasPrefix(runtime, "ruby") || strings.HasPrefix(runtime, "dotnet") {
		return wire.Errorf("InvalidRequest", "the runtime %s cannot be had here; use provided.al2023, nodejs or python", runtime)
	}
	return nil
}

//go:embed inline
var helpers embed.FS

// code is a function's code as the operations take it. Code that stands in the template
// becomes the file index, beside the module that answers to CloudFormation, as on AWS.
func code(r *Request) (map[string]any, error) {
	given := r.Object("Code")
	text, written := template.Text(given["ZipFile"])
	if !written {
		out := map[string]any{}
		for _, name := range []string{"S3Bucket", "S3Key", "S3ObjectVersion"} {
			if given[name] != nil {
				out[name] = given[name]
			}
		}
		return out, nil
	}
	name, helper, place := "index.js", "cfn-response.js", "node_modules/cfn-response.js"
	switch runtime := r.Text("Runtime"); {
	case strings.HasPrefix(runtime, "python"):
		name, helper, place = "index.py", "cfnresponse.py", "cfnresponse.py"
	case !strings.HasPrefix(runtime, "nodejs"):
		return nil, wire.Errorf("InvalidRequest", "ZipFile can only be used when Runtime is set to either of nodejs or python.")
	}
	module, err := helpers.ReadFile("inline/" + helper)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, one := range []struct {
		name string
		text []byte
	}{{name, []byte(text)}, {place, module}} {
		f, err := z.Create(one.name)
		if err == nil {
			_, err = f.Write(one.text)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return map[string]any{"ZipFile": b.Bytes()}, nil
}

// lambdaFunction acts for AWS::Lambda::Function.
type lambdaFunction struct{}

func (lambdaFunction) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Arn": functionARN(r, r.Physical)}}
}

var functionSettings = map[string]string{"Description": "Description", "Environment": "Environment", "EphemeralStorage": "EphemeralStorage", "FileSystemConfigs": "FileSystemConfigs", "Handler": "Handler", "KmsKeyArn": "KMSKeyArn", "Layers": "Layers",
	"LoggingConfig": "LoggingConfig", "MemorySize": "MemorySize", "Role": "Role", "Runtime": "Runtime", "SnapStart": "SnapStart", "Timeout": "Timeout", "TracingConfig": "TracingConfig", "DeadLetterConfig": "DeadLetterConfig"}

func tagMap(r *Request) map[string]any {
	out := map[string]any{}
	for _, t := range r.AllTags() {
		out[t.Key] = t.Value
	}
	return out
}

// functionNetwork is the settings of a network as the operations take them.
func functionNetwork(r *Request) map[string]any {
	out := map[string]any{}
	for name, v := range r.Object("VpcConfig") {
		out[name] = v
	}
	return out
}

func (h lambdaFunction) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(functionSettings)
	in["FunctionName"], in["Tags"] = r.Physical, tagMap(r)
	for _, name := range []string{"Architectures", "CodeSigningConfigArn", "PackageType"} {
		if v, given := r.Properties[name]; given {
			in[name] = v
		}
	}
	if r.Properties["VpcConfig"] != nil {
		in["VpcConfig"] = functionNetwork(r)
	}
	var err error
	if in["Code"], err = code(r); err != nil {
		return Made{}, err
	}
	if _, err := r.call(ctx, "lambda", "CreateFunction", in); err != nil {
		return Made{}, err
	}
	return h.Complete(ctx, r)
}

// Complete sets the function's concurrency.
func (h lambdaFunction) Complete(ctx context.Context, r *Request) (Made, error) {
	in := map[string]any{"FunctionName": r.Physical}
	var err error
	if v, given := r.Properties["ReservedConcurrentExecutions"]; given {
		in["ReservedConcurrentExecutions"] = v
		_, err = r.call(ctx, "lambda", "PutFunctionConcurrency", in)
	} else if r.Old["ReservedConcurrentExecutions"] != nil {
		_, err = r.call(ctx, "lambda", "DeleteFunctionConcurrency", in)
	}
	return h.made(r), err
}

// firstSettings are what settings that are not given any more become.
var firstSettings = map[string]any{"Description": "", "Environment": map[string]any{"Variables": map[string]any{}}, "MemorySize": 128, "Timeout": 3, "Layers": []any{}, "TracingConfig": map[string]any{"Mode": "PassThrough"},
	"EphemeralStorage": map[string]any{"Size": 512}}

func (h lambdaFunction) Update(ctx context.Context, r *Request) (Made, error) {
	if !Same(r.Old["Code"], r.Properties["Code"]) || !Same(r.Old["Architectures"], r.Properties["Architectures"]) || !Same(r.Old["Runtime"], r.Properties["Runtime"]) {
		in, err := code(r)
		if err != nil {
			return Made{}, err
		}
		in["FunctionName"] = r.Physical
		if v, given := r.Properties["Architectures"]; given {
			in["Architectures"] = v
		}
		if _, err := r.call(ctx, "lambda", "UpdateFunctionCode", in); err != nil {
			return Made{}, err
		}
	}
	in := r.pick(functionSettings)
	for name, value := range firstSettings {
		if r.Old[name] != nil && r.Properties[name] == nil {
			in[name] = value
		}
	}
	if r.Properties["VpcConfig"] != nil {
		in["VpcConfig"] = functionNetwork(r)
	}
	in["FunctionName"] = r.Physical
	if _, err := r.call(ctx, "lambda", "UpdateFunctionConfiguration", in); err != nil {
		return Made{}, err
	}
	arn := functionARN(r, r.Physical)
	if keys := r.oldTagKeys(); len(keys) > 0 {
		if _, err := r.call(ctx, "lambda", "UntagResource", map[string]any{"Resource": arn, "TagKeys": keys}); err != nil {
			return Made{}, err
		}
	}
	if tags := tagMap(r); len(tags) > 0 {
		if _, err := r.call(ctx, "lambda", "TagResource", map[string]any{"Resource": arn, "Tags": tags}); err != nil {
			return Made{}, err
		}
	}
	return h.Complete(ctx, r)
}

func (lambdaFunction) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "lambda", "DeleteFunction", map[string]any{"FunctionName": r.Physical})
	return gone(err, "ResourceNotFoundException")
}

func (h lambdaFunction) Find(ctx context.Context, r *Request) (Made, bool, error) {
	_, err := r.call(ctx, "lambda", "GetFunctionConfiguration", map[string]any{"FunctionName": r.Physical})
	return absent(h.made(r), err, "ResourceNotFoundException")
}
