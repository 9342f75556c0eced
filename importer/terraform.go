package importer

import (
	"cmp"
	"strconv"
	"strings"

	"showrunner/pipeline"
	"showrunner/problem"
)

// Terraform reads the output of `terraform show -json` for a state or a plan: its
// aws_codepipeline and aws_codebuild_project resources. Terraform's language
// (HCL, also as JSON) is refused: only Terraform knows the values in it.
func Terraform(src []byte, opts Options) (Result, error) {
	in := newInput(opts)
	v, err := parse(in.opts.File, src)
	const help = "the language of .tf files is not read, nor its JSON form (.tf.json): only Terraform knows the values in it. Give what `terraform show -json` prints of a state, or `terraform show -json PLANFILE` of a plan"
	if err != nil {
		return Result{}, problem.Wrap(err, problem.Invalid, "import", "%s: not the JSON of `terraform show -json`", in.opts.File).WithHelp("%s", help)
	}
	top := in.root(v)
	values := top.get("planned_values")
	if !values.ok() {
		values = top.get("values")
	}
	root := values.get("root_module")
	if !root.ok() {
		return Result{}, problem.New(problem.Invalid, "import", "%s: it has no root module, so it is not the JSON of `terraform show -json`", in.opts.File).WithHelp("%s", help)
	}
	t := &terraform{in: in}
	t.module(root)
	if len(t.pipelines) == 0 {
		return Result{}, problem.New(problem.Invalid, "import", "%s: it holds no aws_codepipeline", in.opts.File)
	}
	for _, key := range []string{"planned_values", "values"} {
		top.get(key).markRead()
	}
	for _, key := range []string{"format_version", "terraform_version", "configuration", "prior_state", "resource_changes", "output_changes", "variables",
		"relevant_attributes", "timestamp", "applyable", "complete", "errored", "checks", "resource_drift", "action_invocations", "deferred_changes"} {
		top.get(key).leave(Info, key, "the values of the resources say it already")
	}
	top.unread(unreadPipeline)
	t.outputs(values.get("outputs"))
	return t.document()
}

// terraform collects the resources of all modules.
type terraform struct {
	in        *input
	pipelines []cursor
	// resourceNames are the names that Terraform's files give the pipelines.
	resourceNames []string
	projects      []cursor
}

func (t *terraform) module(m cursor) {
	for _, r := range m.get("resources").items() {
		kind := scalar(r.get("type").raw)
		what := kind + " " + scalar(r.get("address").raw)
		body := cursor{in: t.in, path: "rewritten:" + r.path + "/values"} // a path of its own, beside the path in the document
		body.raw = t.in.awsShape(r.get("values").raw, body.path, r.path+"/values", "")
		switch {
		case scalar(r.get("mode").raw) == "data":
			r.leave(Info, what, "it is looked up, and changes nothing")
			continue
		case kind == "aws_codepipeline":
			t.pipelines = append(t.pipelines, body)
			t.resourceNames = append(t.resourceNames, scalar(r.get("name").raw))
		case kind == "aws_codebuild_project":
			t.projects = append(t.projects, body)
		default:
			why, severity := unreadResource(terraformKind(kind))
			r.leave(severity, what, "%s", why)
			continue
		}
		for _, key := range []string{"address", "mode", "name", "index", "provider_name", "schema_version", "sensitive_values", "identity", "identity_schema_version", "depends_on"} {
			r.get(key).leave(Info, key, "how Terraform keeps the resource")
		}
		r.get("type").markRead()
		r.get("values").markRead()
		r.unread(unreadPipeline)
	}
	for _, child := range m.get("child_modules").items() {
		child.get("address").leave(Info, "module "+scalar(child.get("address").raw), "modules of Terraform have no meaning here")
		t.module(child)
	}
}

// terraformKind is CloudFormation's name for a kind of resource, as far as the
// service goes.
func terraformKind(kind string) string {
	for prefix, service := range map[string]string{
		"aws_iam_": "AWS::IAM::Role", "aws_kms_": "AWS::KMS::Key", "aws_s3_bucket": "AWS::S3::Bucket", "aws_sns_": "AWS::SNS::Topic", "aws_lambda_": "AWS::Lambda::Function",
		"aws_cloudwatch_event_": "AWS::Events::Rule", "aws_cloudwatch_log": "AWS::Logs::LogGroup", "aws_codestarconnections": "AWS::CodeConnections::Connection",
		"aws_codeconnections": "AWS::CodeConnections::Connection", "aws_codestarnotifications": "AWS::CodeStarNotifications::NotificationRule",
		"aws_codecommit_repository": "AWS::CodeCommit::Repository", "aws_ecs_": "AWS::ECS::Service", "aws_ecr_": "AWS::ECR::Repository", "aws_codedeploy": "AWS::CodeDeploy::Application",
		"aws_secretsmanager": "AWS::SecretsManager::Secret", "aws_ssm_parameter": "AWS::SSM::Parameter", "aws_vpc": "AWS::EC2::VPC", "aws_subnet": "AWS::EC2::Subnet",
		"aws_security_group": "AWS::EC2::SecurityGroup", "aws_cloudfront": "AWS::CloudFront::Distribution", "aws_codepipeline_webhook": "AWS::CodePipeline::Webhook",
	} {
		if strings.HasPrefix(kind, prefix) {
			return service
		}
	}
	return kind
}

func (t *terraform) outputs(o cursor) {
	keys, values := o.members()
	for i, k := range keys {
		values[i].leave(Info, "output "+k, "it is Terraform's")
	}
}

func (t *terraform) document() (Result, error) {
	in := t.in
	given, err := readProjects(in)
	if err != nil {
		return Result{}, err
	}
	found := projects{}
	for _, p := range t.projects {
		found[p.get("Name").static()] = p
	}
	for name, p := range given {
		found[name] = p
	}
	doc := &pipeline.Document{}
	taken, siblings := map[string]bool{}, map[string]string{}
	names := make([]string, len(t.pipelines))
	for i, p := range t.pipelines {
		name := p.get("Name").static()
		from := cmp.Or(name, t.resourceNames[i])
		names[i] = unique(taken, slug(from, "pipeline", 63))
		if name != "" {
			siblings[name] = names[i]
		} else {
			in.note(Warning, p.path, "name", "it is not known before `terraform apply`: taken as %s, the name of the resource; rename it in the file", names[i])
		}
		if i == 0 {
			doc.Application = applicationName(in, p.get("Name").path, from)
		}
	}
	for i, def := range t.pipelines {
		if arn := strings.Split(scalar(def.get("Arn").raw), ":"); len(arn) == 6 {
			in.homeRegion = arn[3]
		}
		def.get("Arn").note(Info, "arn", "the original's address; its region is taken where the pipeline names none")
		c := &conversion{in: in, def: def, projects: found, name: names[i], siblings: siblings}
		doc.Pipelines = append(doc.Pipelines, c.convert())
		def.unread(unreadPipeline)
	}
	for _, p := range t.projects {
		if name := p.get("Name").static(); !in.projectsUsed[name] {
			p.leave(Warning, "aws_codebuild_project "+name, "no action of a pipeline uses it")
			continue
		}
		p.unread(unreadPipeline)
	}
	return finish(in, doc, "terraform")
}

// terraformNames are members whose names differ in CodePipeline and CodeBuild,
// not only in spelling.
var terraformNames = map[string]string{
	"stage": "stages", "action": "actions", "trigger": "triggers", "variable": "variables", "condition": "conditions", "rule": "rules",
	"environment_variable": "environmentVariables", "build_timeout": "timeoutInMinutes", "queued_timeout": "queuedTimeoutInMinutes",
	"buildspec": "buildSpec", "secondary_artifacts": "secondaryArtifacts",
}

// terraformSingle are blocks that exist at most once; Terraform keeps them in a
// list.
var terraformSingle = map[string]bool{
	"git_configuration": true, "branches": true, "tags": true, "file_paths": true, "environment": true, "source": true, "artifacts": true, "cache": true,
	"on_failure": true, "on_success": true, "before_entry": true, "retry_configuration": true, "rule_type_id": true, "logs_config": true, "vpc_config": true,
	"registry_credential": true, "build_batch_config": true, "encryption_key": true,
}

// awsShape writes Terraform's values with the names and shapes of AWS's own JSON,
// and remembers the original place of each member. Empty values are left out.
func (in *input) awsShape(v any, path, was, key string) any {
	in.originalPaths[path] = was
	switch e := v.(type) {
	case *object:
		if key == "configuration" { // names of Terraform's own
			return e
		}
		out := newObject()
		kind := newObject()
		for _, k := range e.keys {
			name, from := camelCase(k), pointer(was, k)
			value := e.vals[k]
			if key == "action" && (k == "category" || k == "owner" || k == "provider" || k == "version") {
				in.originalPaths[path+"/actionTypeId/"+k] = from
				kind.set(k, value)
				continue
			}
			if list, ok := value.([]any); ok && terraformSingle[k] && len(list) == 1 {
				value, from = list[0], from+"/0"
			}
			if list, ok := value.([]any); ok && (k == "input_artifacts" || k == "output_artifacts") {
				in.originalPaths[pointer(path, name)] = from
				value = in.artifactNames(list, pointer(path, name), from)
			} else {
				value = in.awsShape(value, pointer(path, name), from, k)
			}
			if !empty(value) {
				out.set(name, value)
			}
		}
		if len(kind.keys) > 0 {
			out.set("actionTypeId", kind)
		}
		return out
	case []any:
		out := make([]any, len(e))
		for i, item := range e {
			n := "/" + strconv.Itoa(i)
			out[i] = in.awsShape(item, path+n, was+n, key)
		}
		return out
	}
	return v
}

// artifactNames writes the names of artifacts in AWS's form.
func (in *input) artifactNames(list []any, path, was string) []any {
	out := make([]any, len(list))
	for i, name := range list {
		n := "/" + strconv.Itoa(i)
		in.originalPaths[path+n] = was + n
		in.originalPaths[path+n+"/name"] = was + n
		o := newObject()
		o.set("name", name)
		out[i] = o
	}
	return out
}

// empty says whether Terraform stores a value in this form when it was not given.
func empty(v any) bool {
	switch e := v.(type) {
	case nil:
		return true
	case string:
		return e == ""
	case []any:
		return len(e) == 0
	case *object:
		return len(e.keys) == 0
	}
	return false
}

// camelCase is snake_case as camelCase.
func camelCase(key string) string {
	if name, ok := terraformNames[key]; ok {
		return name
	}
	words := strings.Split(key, "_")
	for i, w := range words[1:] {
		if w != "" {
			words[i+1] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}

// original is the original path in the document for a path in rewritten values.
func (in *input) original(path string) string {
	for at := path; at != ""; at = at[:strings.LastIndexByte(at, '/')] {
		if was, ok := in.originalPaths[at]; ok {
			return was + path[len(at):]
		}
		if !strings.Contains(at, "/") {
			break
		}
	}
	return path
}
