package cli

import "showrunner/problem"

func notFound(format string, args ...any) *problem.Error {
	return problem.New(problem.NotFound, "", format, args...)
}

// explanation is what a failure's code means and what to do.
type explanation struct{ means, do string }

// explanations knows every code that a stage's failure, or an instance's, may carry.
var explanations = map[string]explanation{
	"HEALTH_TIMEOUT":      {"A new version did not have enough healthy instances in time. Traffic stayed on, or went back to, the version before.", "Read the probe's answer and the last log lines in the evidence; raise health.grace when the program merely starts slowly."},
	"NEVER_HEALTHY":       {"Instances of a new version ran, but none ever passed its health check within its grace.", "Check health.path and that the program listens on $HOST:$PORT; the evidence has the probe's last answer."},
	"EXITED":              {"The program ended although it should go on.", "The exit code and last log lines are in the evidence; `showrunner logs INSTANCE` has the rest."},
	"START_FAILED":        {"The program could not be started.", "Check that command names a file in the artifact and that it is executable."},
	"UNHEALTHY":           {"An instance that had served stopped passing its liveness check; it was replaced.", "See the probe's answer in the evidence."},
	"OVER_LIMIT":          {"An instance used more than limits allow; it was ended and replaced.", "Raise limits, or find the leak: the evidence says which limit."},
	"STOP_TIMEOUT":        {"An instance ignored SIGTERM past stopTimeout and was killed.", "Handle SIGTERM, or raise stopTimeout."},
	"CRASH_LOOP":          {"Instances of a new version become healthy and then end, again and again. The rollout was undone.", "The exit code and last log lines are in the evidence."},
	"CANARY_ERRORS":       {"The new version answers more requests with errors than the judge allows, beyond what chance can explain.", "Compare the counts in the evidence; fix the version and deliver again."},
	"CANARY_SLOW":         {"The new version is slower than judge.maxP99.", "Compare the latencies in the evidence."},
	"CANARY_NO_DATA":      {"Too few requests reached the new version for a verdict. Missing data never passes.", "Lower judge.minRequests, raise the step, or send more traffic."},
	"VALIDATION_FAILED":   {"The validation hook refused a step.", "Ask the hook's owner; the evidence has its answer."},
	"REGION_UNAVAILABLE":  {"A region could not be reached for as long as the rollout waits.", "Bring the region back (`showrunner regions`), or take it out of the waves."},
	"ROLLED_BACK_PARTLY":  {"A rollback is done in the regions that answered; others could not be asked.", "Once they answer, roll them back with --to and --region as the help line says; `showrunner drift` shows what differs."},
	"SERVER_GROUP_GONE":   {"A server group disappeared while a rollout used it.", "Look in `showrunner audit` for who destroyed it; run the pipeline again."},
	"CLOUD_REFUSED":       {"The cloud refused a change of the rollout.", "The message says what it refused and why."},
	"NO_ARTIFACT":         {"A stage needs an artifact that no earlier stage made.", "Check the names; a buildspec's secondary artifact is stage.identifier."},
	"NO_EARLIER_VERSION":  {"A rollback found no kept version to return to.", "Run the pipeline at the older commit instead."},
	"NO_CLUSTER":          {"No region has the cluster.", "`showrunner clusters` lists them."},
	"CANCELED":            {"Somebody canceled the execution.", "`showrunner audit` says who."},
	"TIMEOUT":             {"The stage took longer than its timeout.", "Raise the stage's timeout, or find what it waited for in its log."},
	"IN_DOUBT":            {"The process died while an act was under way whose outcome cannot be asked for. It is not repeated by itself, since it may have happened.", "Find out, then: showrunner executions signal EXECUTION STAGE done|retry|fail."},
	"BUILD_FAILED":        {"A command of the buildspec failed.", "The evidence names the phase and the command; `showrunner build DIR` runs the same build here."},
	"APPROVAL_EXPIRED":    {"Nobody decided in time.", "Start the pipeline again, or raise approval.expires."},
	"REJECTED":            {"A person rejected the approval.", "Their comment is the cause."},
	"BUILDSPEC_INVALID":   {"The buildspec cannot be used.", "The evidence shows the line; `showrunner build DIR` checks it here."},
	"COMMAND_FAILED":      {"A command of a run stage failed.", "The evidence has its exit code and last lines; the stage's log has the rest."},
	"CHILD_FAILED":        {"The pipeline that this stage started failed.", "The cause is the child's own; look at its execution."},
	"CHILD_CANCELED":      {"The pipeline that this stage started was canceled.", "`showrunner audit` says by whom."},
	"CHILD_GONE":          {"The execution that this stage started is no longer kept.", "Start it again, or keep executions longer (--keep)."},
	"NESTED_TOO_DEEP":     {"Pipelines start each other in a circle, or too deep.", "Break the circle."},
	"GIT_AUTH":            {"The Git server refused the credentials.", "Set the secret that git.credentials names: showrunner secret set NAME."},
	"GIT_NOT_FOUND":       {"The Git server has no such repository, or shows it only to those who may see it.", "Check git.url and git.credentials."},
	"GIT_NO_SUCH_REF":     {"The repository has no such branch, tag or commit.", "The evidence lists what it has."},
	"GIT_NETWORK":         {"The Git server could not be reached.", "Try again; check git.url and the network."},
	"GIT_TIMEOUT":         {"Git took too long.", "Raise the stage's timeout, or see in its log where it stood."},
	"GIT_HOST_KEY":        {"The SSH server's key is not the known one.", "Put the right line into git.credentials.knownHosts."},
	"GIT_LFS_MISSING":     {"The stage asks for Git LFS, and git-lfs is not installed.", "Install git-lfs where the control plane runs."},
	"GIT_ADDRESS":         {"The repository's address or content cannot be used.", "The cause names what; transports that run programs are refused."},
	"GIT_MIRROR":          {"The local mirror could not be used, and making it anew failed.", "See the evidence; check the disk of the data folder."},
	"GIT_FAILED":          {"A git command failed.", "The evidence has what it said."},
	"DISK_FULL":           {"The disk is full.", "Make room in the data folder."},
	"INVALID_TIME":        {"A time in the stage cannot be read.", "Write it as 2026-12-27T00:00:00Z."},
	"SECRET_MISSING":      {"The stage refers to a secret that is not set.", "showrunner secret set NAME, with the value on standard input."},
	"WEBHOOK_REFUSED":     {"The other side answered the call with a status that was not expected.", "The evidence has its answer; set webhook.expect when the status is right."},
	"WEBHOOK_UNREACHABLE": {"The other side could not be reached.", "Check webhook.url."},
	"WEBHOOK_ADDRESS":     {"The address of the call cannot be used.", "Check webhook.url."},
	"WEBHOOK_ANSWER":      {"The answer does not hold what webhook.outputs asks for.", "Check the JSON pointers against the answer in the evidence."},
	"WEBHOOK_HEADER":      {"A header of the call cannot be sent.", "Take line breaks out of webhook.headers."},
}
