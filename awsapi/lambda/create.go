package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// kept are the settings of a version that are kept as they are given.
var kept = []string{"Role", "Runtime", "Handler", "Description", "Timeout", "MemorySize", "PackageType", "Architectures", "TracingConfig", "EphemeralStorage", "LoggingConfig", "VpcConfig", "DeadLetterConfig", "KMSKeyArn"}

// create makes a function.
func (s *Service) create(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	if w.qualifier != "" {
		return nil, invalid("The provided function name cannot have a version: %s", in.Text("FunctionName"))
	}
	settings := in.Only(kept...).Clone()
	fill(settings, w.name)
	if err := s.check(ctx, c.Region, *in, settings); err != nil {
		return nil, err
	}
	if err := s.findNetwork(ctx, c, settings); err != nil {
		return nil, err
	}
	if _, err := s.docs.Get(ctx, functionKey(c.Region, w.name)); err == nil {
		return nil, conflict("Function already exist: %s", w.name)
	}
	v := version{Number: latest, Settings: settings, Creating: true}
	if v.Layers, err = s.usedLayers(ctx, c, *in); err != nil {
		return nil, err
	}
	if err := s.setCode(ctx, c, &v, in.Inner("Code")); err != nil {
		return nil, err
	}
	env, err := s.keepEnv(ctx, c.Region, w.name, &v, *in)
	if err != nil {
		return nil, err
	}
	now := s.Now().UTC()
	v.Modified, v.Revision = now, newRevision()
	f := function{Name: w.name, Created: now, Latest: v, Next: 1, Tags: texts(in.Inner("Tags"))}
	shown := &f.Latest
	if in.Is("Publish") {
		shown = f.publish(v, "", now)
	}
	if err := s.docs.Create(ctx, functionKey(c.Region, w.name), f); err != nil {
		s.dropEnv(ctx, v.Env)
		if problem.CodeOf(err) == problem.Conflict {
			err = conflict("Function already exist: %s", w.name)
		}
		return nil, err
	}
	out := s.told(c.Region, &f, shown, "", env) // also the first version is told with the function's ARN
	return &out, nil
}

// fill adds what AWS adds to settings that were left out.
func fill(o object, name string) {
	for member, value := range map[string]any{
		"Description": "", "Timeout": 3, "MemorySize": 128, "PackageType": "Zip", "Architectures": []any{"x86_64"},
		"TracingConfig": object{"Mode": "PassThrough"}, "EphemeralStorage": object{"Size": 512},
	} {
		if !o.Has(member) {
			o[member] = value
		}
	}
	logging := object{"LogFormat": "Text", "LogGroup": "/aws/lambda/" + name}.With(o.Inner("LoggingConfig"))
	o["LoggingConfig"] = logging
}

// check refuses what cannot be honoured. in is the request, settings are what they would be.
func (s *Service) check(ctx context.Context, region string, in, settings object) error {
	switch {
	case settings.Text("PackageType") == "Image" || in.Inner("Code").Has("ImageUri") || in.Has("ImageConfig"):
		return refused("functions from container images; give the code as a zip file")
	case settings.Text("Runtime") == "":
		return invalid("Runtime is mandatory for functions created with deployment packages.")
	case settings.Text("Handler") == "" && !strings.HasPrefix(settings.Text("Runtime"), "provided"):
		return invalid("Handler is mandatory for functions created with deployment packages.")
	case len(in.Objects("FileSystemConfigs")) > 0:
		return refused("FileSystemConfigs; a function reads and writes its TMPDIR")
	case in.Inner("SnapStart").Text("ApplyOn") == "PublishedVersions" && !slices.Contains(snapStarted, settings.Text("Runtime")):
		return invalid("%s is not supported for SnapStart enabled functions.", settings.Text("Runtime"))
	case in.Inner("SnapStart").Text("ApplyOn") == "PublishedVersions":
		return refused("SnapStart")
	case in.Text("CodeSigningConfigArn") != "":
		return refused("code signing")
	case in.Inner("DeadLetterConfig").Text("TargetArn") != "":
		return refused("the dead letter queue %s: SQS and SNS are not served; an OnFailure destination may be a function", in.Inner("DeadLetterConfig").Text("TargetArn"))
	case settings.Inner("LoggingConfig").Text("LogFormat") == "JSON":
		return refused("logs in the format JSON")
	}
	if err := s.checkRuntime(ctx, region, settings.Text("Runtime")); err != nil {
		return err
	}
	return checkEnv(in)
}

// snapStarted are the runtimes that SnapStart is for.
var snapStarted = strings.Fields("java11 java17 java21 java25 python3.12 python3.13 python3.14 dotnet8")

// ended are the runtimes that AWS has given up, with those that it recommends instead.
var ended = map[string]string{"java8": "java21", "go1.x": "provided.al2023", "provided": "provided.al2023", "ruby2.7": "ruby3.2", "nodejs14.x": "nodejs20.x", "python3.7": "python3.12", "dotnetcore3.1": "dotnet6", "nodejs12.x": "nodejs18.x"}

// unsupported are runtimes that no function here can have, with what to do.
func unsupported(name string) error {
	if instead, was := ended[name]; was {
		return invalid("The runtime parameter of %s is no longer supported for creating or updating AWS Lambda functions. We recommend you use the new runtime (%s) while creating or updating functions.", name, instead)
	}
	if !slices.Contains(wire.LambdaRuntimes, name) {
		return invalid("Value %s at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [%s] or be a valid ARN", name, strings.Join(wire.LambdaRuntimes, ", "))
	}
	return refused("the runtime %s; use provided.al2023 with a program of your own as `bootstrap`, nodejs or python", name)
}

// checkRuntime refuses a runtime that the region's machine does not have.
func (s *Service) checkRuntime(ctx context.Context, region, name string) error {
	list, err := s.Functions.Runtimes(ctx, region, name)
	if err != nil {
		return err
	}
	for _, r := range list {
		switch {
		case r.Name != name:
		case r.Missing != "":
			return refused("%s", r.Missing)
		default:
			return nil
		}
	}
	return unsupported(name)
}

// reserved are the variables that a function may not set.
var reserved = []string{"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT"}

// mostEnv bounds the variables of a function, in bytes of their JSON.
const mostEnv = 4 << 10

func checkEnv(in object) error {
	env := texts(in.Inner("Environment").Inner("Variables"))
	var bad []string
	for name := range env {
		if slices.Contains(reserved, name) {
			bad = append(bad, name)
		}
	}
	slices.Sort(bad)
	if len(bad) > 0 {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(bad, ", "))
	}
	measured, err := json.Marshal(env)
	if err == nil && len(measured) > mostEnv {
		err = invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %s", measured)
	}
	return err
}

// findNetwork adds the network of the subnets in settings to them.
func (s *Service) findNetwork(ctx context.Context, c *wire.Call, settings object) error {
	vpc := settings.Inner("VpcConfig")
	subnets := vpc.Texts("SubnetIds")
	if len(subnets) == 0 {
		return nil
	}
	out, err := s.Services.Call(ctx, *c, "ec2", "DescribeSubnets", map[string]any{"SubnetIds": vpc["SubnetIds"]})
	var e *wire.Error
	if errors.As(err, &e) {
		return invalid("Error occurred while DescribeSubnets. EC2 Error Code: %s. EC2 Error Message: %s", e.Code, e.Message)
	}
	if err != nil {
		return err
	}
	for _, subnet := range object(out).Objects("Subnets") {
		settings["VpcConfig"] = vpc.With(object{"VpcId": subnet.Text("VpcId")})
	}
	return nil
}

// texts is a member that is a map of strings.
func texts(o object) map[string]string {
	if o == nil {
		return nil
	}
	out := map[string]string{}
	for k, v := range o {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

// keepEnv keeps the variables that a request gives as those of a version.
func (s *Service) keepEnv(ctx context.Context, region, name string, v *version, in object) (map[string]string, error) {
	env := texts(in.Inner("Environment").Inner("Variables"))
	v.Env, v.EnvNames, v.EnvGiven = "", nil, in.Has("Environment")
	if len(env) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(env)
	if err != nil {
		return nil, err
	}
	v.Env, v.EnvNames = "aws.lambda/"+region+"/"+name+"/"+carry.NewUUID(), slices.Sorted(maps.Keys(env))
	return env, s.Values.Set(ctx, v.Env, raw)
}

// env are the variables of a version.
func (s *Service) env(ctx context.Context, v *version) (map[string]string, error) {
	if v.Env == "" {
		return nil, nil
	}
	raw, err := s.Values.Resolve(ctx, v.Env)
	if err != nil {
		return nil, err
	}
	var env map[string]string
	return env, json.Unmarshal([]byte(raw), &env)
}

// dropEnv removes variables that nothing uses any more; what fails stays, encrypted.
func (s *Service) dropEnv(ctx context.Context, name string) {
	if name == "" {
		return
	}
	if err := s.Values.Delete(ctx, name); err != nil && problem.CodeOf(err) != problem.NotFound {
		s.Log.Warn("environment variables of a function could not be removed", "name", name, "error", err)
	}
}
