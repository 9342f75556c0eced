package lambda

import (
	"context"
	"encoding/json"
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
	shown, qualifier := &f.Latest, ""
	if in.Is("Publish") {
		shown = f.publish(v, "", now)
		qualifier = shown.Number
	}
	if err := s.docs.Create(ctx, functionKey(c.Region, w.name), f); err != nil {
		s.dropEnv(ctx, v.Env)
		if problem.CodeOf(err) == problem.Conflict {
			err = conflict("Function already exist: %s", w.name)
		}
		return nil, err
	}
	out := s.told(c.Region, &f, shown, qualifier, env)
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

// unsupported are runtimes that AWS knows and that no function here can have, with what to do.
func unsupported(name string) error {
	advice := map[string]string{"go1.x": "provided.al2023 with the program as `bootstrap`", "provided": "provided.al2023", "python": "python3.13", "nodejs": "nodejs22.x"}
	for prefix, instead := range advice {
		if strings.HasPrefix(name, prefix) {
			return invalid("The runtime parameter of %s is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime (%s) while creating or updating functions.", name, instead)
		}
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

// mostEnv bounds the variables of a function, in bytes.
const mostEnv = 4 << 10

func checkEnv(in object) error {
	env := texts(in.Inner("Environment").Inner("Variables"))
	size := 0
	var bad []string
	for name, value := range env {
		size += len(name) + len(value)
		if slices.Contains(reserved, name) {
			bad = append(bad, name)
		}
	}
	slices.Sort(bad)
	if len(bad) > 0 {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(bad, ", "))
	}
	if size > mostEnv {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %d bytes", size)
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
	v.Env, v.EnvNames = "", nil
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
