package importer

import "strings"

// pipelineReasons say why a member of a pipeline, stage, action or project has no
// meaning here.
var pipelineReasons = map[string]struct {
	why      string
	severity Severity
}{
	"rolearn":                        {"local regions need no role; what a stage may reach is decided by the secrets it refers to", Info},
	"servicerole":                    {"a build runs as the user that runs Showrunner; it needs no role", Info},
	"artifactstore":                  {"artifacts are kept in Showrunner's own content-addressed store", Info},
	"artifactstores":                 {"artifacts are kept in Showrunner's own content-addressed store, for all regions", Info},
	"encryptionkey":                  {"artifacts are not encrypted at rest: encrypt the disk of the data folder", Info},
	"version":                        {"versions of a pipeline file are its commits", Info},
	"restartexecutiononupdate":       {"run the pipeline after it was changed", Info},
	"disableinboundstagetransitions": {"a disabled transition is not carried over: stop the pipeline there with an approval stage", Error},
	"tags":                           {"the pipeline file has no tags", Info},
	"computetype":                    {"a build has the whole machine; set `memory:` and `cpus:` to bound it", Info},
	"type":                           {"builds run on this machine's system", Info},
	"imagepullcredentialstype":       {"images are pulled with the credentials of the container runtime", Info},
	"registrycredential":             {"images are pulled with the credentials of the container runtime: log in to the registry there", Warning},
	"privilegedmode":                 {"it has a meaning only where the build runs in a container image", Info},
	"logsconfig":                     {"logs are kept in the data folder and shown by `showrunner executions logs`", Info},
	"vpcconfig":                      {"builds run in this machine's network", Warning},
	"queuedtimeoutinminutes":         {"a build that waits is bounded by its stage's timeout", Info},
	"badgeenabled":                   {"there are no badges", Info},
	"concurrentbuildlimit":           {"builds are bounded by the pipeline's `concurrency`", Warning},
	"filesystemlocations":            {"no file system is mounted into builds", Error},
	"buildbatchconfig":               {"batch builds are not run: the buildspec runs once", Warning},
	"triggers":                       {"a project's own webhook starts builds outside any pipeline", Warning},
	"visibility":                     {"build results are shown to whoever may use the console", Info},
	"certificate":                    {"builds use this machine's certificates", Warning},
	"fleet":                          {"builds run on this machine", Info},
	"description":                    {"a remark", Info},
	"registerwiththirdparty":         {"set the repository's webhook to this server by hand", Info},
	"targetpipelineversion":          {"a trigger starts the pipeline as it is now", Info},
	"arn":                            {"the original's address", Info},
	"sourceversion":                  {"the source stage decides what is built", Info},
	"gitclonedepth":                  {"the source stage decides what is fetched", Info},
	"fetchsubmodules":                {"set `submodules: true` on the git stage if it is needed", Warning},
	"outputvariables":                {"a build's exported variables are outputs by themselves", Info},
}

// unreadPipeline gives the reason for a member that the conversion did not read.
func unreadPipeline(path, key string) (string, Severity) {
	if r, ok := pipelineReasons[strings.ToLower(key)]; ok {
		return r.why, r.severity
	}
	return "it has no equivalent", Warning
}

// resourceReasons say why a resource of a template has no meaning here, by type
// or by the prefix of a type.
var resourceReasons = []struct {
	kind     string
	why      string
	severity Severity
}{
	{"AWS::CDK::Metadata", "it counts uses of the CDK; nothing runs", Info},
	{"AWS::IAM::", "local regions need no role or policy; what a stage may reach is decided by the secrets it refers to", Info},
	{"AWS::KMS::", "artifacts and objects are not encrypted by key: encrypt the disk of the data folder", Info},
	{"AWS::S3::BucketPolicy", "a site is read through the edge, which asks for no policy", Info},
	{"AWS::S3::Bucket", "no stage deploys to it: artifacts are kept in Showrunner's own store; a bucket for other uses can be made in each region's object storage", Info},
	{"AWS::CodeBuild::Project", "no action of a pipeline uses it", Warning},
	{"AWS::CodeBuild::ReportGroup", "reports are kept with the execution", Info},
	{"AWS::CodePipeline::Webhook", "no action that was carried over is its target", Warning},
	{"AWS::CodePipeline::CustomActionType", "custom actions have no equivalent", Error},
	{"AWS::CodeStarConnections::", "a connection is a login of AWS: the git stage uses a token instead", Info},
	{"AWS::CodeConnections::", "a connection is a login of AWS: the git stage uses a token instead", Info},
	{"AWS::CodeStarNotifications::", "no message is sent: the console and the API's event stream show what happens", Warning},
	{"AWS::CodeCommit::Repository", "the repository itself stays where it is", Info},
	{"AWS::CloudFront::", "the edge serves the site, from the nearest region that is healthy", Info},
	{"AWS::Route53::", "the edge serves names under localhost; set the DNS where it runs in production", Info},
	{"AWS::CertificateManager::", "the edge speaks plain HTTP on loopback", Info},
	{"AWS::WAFv2::", "the edge has no such filter", Warning},
	{"AWS::SNS::", "no message is sent: the console and the API's event stream show what happens", Warning},
	{"AWS::Events::", "it does not start a pipeline that was carried over", Warning},
	{"AWS::SecretsManager::", "set the value with `showrunner secret set`", Info},
	{"AWS::SSM::", "give the value with --parameter or `showrunner secret set`", Info},
	{"AWS::Logs::", "logs are kept in the data folder", Info},
	{"AWS::CloudWatch::", "it watches AWS's own metrics", Warning},
	{"Custom::S3AutoDeleteObjects", "it empties the bucket when the stack goes; `showrunner` keeps the deployments that `keep:` says", Info},
	{"Custom::CDKBucketDeployment", "it deploys files from the CDK's own assets, outside any pipeline: put them into the source and a deploy-site stage", Error},
	{"AWS::CloudFormation::CustomResource", "it runs code of its own at deployment", Error},
	{"Custom::", "it runs code of its own at deployment", Error},
	{"AWS::Serverless::", "functions and their like do not run here", Warning},
	{"AWS::Scheduler::", "only rules of EventBridge become schedules: give the pipeline a `schedule` trigger", Error},
	{"AWS::Lambda::", "functions do not run here", Warning},
	{"AWS::ECS::", "a container service is a `deploy` stage here: an artifact, a command, a health check", Error},
	{"AWS::ECR::", "artifacts are kept in Showrunner's own store, not as images", Warning},
	{"AWS::EC2::", "regions bring their own network and instances", Info},
	{"AWS::AutoScaling", "capacity and scaling are part of a `deploy` stage", Warning},
	{"AWS::ElasticLoadBalancing", "each cluster of a region has its load balancer", Info},
	{"AWS::CodeDeploy::", "strategies are part of a `deploy` stage", Error},
}

// unreadResource gives the reason for a resource that nothing used.
func unreadResource(kind string) (string, Severity) {
	for _, r := range resourceReasons {
		if kind == r.kind || (strings.HasSuffix(r.kind, "::") || r.kind == "AWS::AutoScaling" || r.kind == "AWS::ElasticLoadBalancing") && strings.HasPrefix(kind, r.kind) {
			return r.why, r.severity
		}
	}
	return "resources of type " + kind + " have no equivalent", Warning
}
