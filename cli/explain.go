package cli

import "showrunner/problem"

func notFound(format string, args ...any) *problem.Error {
	return problem.New(problem.NotFound, "", format, args...)
}

// explanation is what a failure's code means and what to do.
type explanation struct{ means, do string }

// explanations knows every code that a stage's failure, or an instance's, may carry.
var explanations = map[string]explanation{
	"HEALTH_TIMEOUT":     {"A new version did not have enough healthy instances in time. Traffic stayed on, or went back to, the version before.", "Read the probe's answer and the last log lines in the evidence; raise health.grace when the program merely starts slowly."},
	"NEVER_HEALTHY":      {"Instances of a new version ran, but none ever passed its health check within its grace.", "Check health.path and that the program listens on $HOST:$PORT; the evidence has the probe's last answer."},
	"EXITED":             {"The program ended although it should go on.", "The exit code and last log lines are in the evidence; `showrunner logs INSTANCE` has the rest."},
	"START_FAILED":       {"The program could not be started.", "Check that command names a file in the artifact and that it is executable."},
	"UNHEALTHY":          {"An instance that had served stopped passing its liveness check; it was replaced.", "See the probe's answer in the evidence."},
	"OVER_LIMIT":         {"An instance used more than limits allow; it was ended and replaced.", "Raise limits, or find the leak: the evidence says which limit."},
	"STOP_TIMEOUT":       {"An instance ignored SIGTERM past stopTimeout and was killed.", "Handle SIGTERM, or raise stopTimeout."},
	"CRASH_LOOP":         {"Instances of a new version become healthy and then end, again and again. The rollout was undone.", "The exit code and last log lines are in the evidence."},
	"CANARY_ERRORS":      {"The new version answers more requests with errors than the judge allows, beyond what chance can explain.", "Compare the counts in the evidence; fix the version and deliver again."},
	"CANARY_SLOW":        {"The new version is slower than judge.maxP99.", "Compare the latencies in the evidence."},
	"CANARY_NO_DATA":     {"Too few requests reached the new version for a verdict. Missing data never passes.", "Lower judge.minRequests, raise the step, or send more traffic."},
	"VALIDATION_FAILED":  {"The validation hook refused a step.", "Ask the hook's owner; the evidence has its answer."},
	"REGION_UNAVAILABLE": {"A region could not be reached for as long as the rollout waits.", "Bring the region back (`showrunner regions`), or take it out of the waves."},
	"SERVER_GROUP_GONE":  {"A server group disappeared while a rollout used it.", "Look in `showrunner audit` for who destroyed it; run the pipeline again."},
	"CLOUD_REFUSED":      {"The cloud refused a change of the rollout.", "The message says what it refused and why."},
	"NO_ARTIFACT":        {"A stage needs an artifact that no earlier stage made.", "Check the names; a buildspec's secondary artifact is stage.identifier."},
	"NO_EARLIER_VERSION": {"A rollback found no kept version to return to.", "Run the pipeline at the older commit instead."},
	"NO_CLUSTER":         {"No region has the cluster.", "`showrunner clusters` lists them."},
	"CANCELED":           {"Somebody canceled the execution.", "`showrunner audit` says who."},
	"TIMEOUT":            {"The stage took longer than its timeout.", "Raise the stage's timeout, or find what it waited for in its log."},
	"IN_DOUBT":           {"The process died while an act was under way whose outcome cannot be asked for. It is not repeated by itself, since it may have happened.", "Find out, then: showrunner executions signal EXECUTION STAGE done|retry|fail."},
	"BUILD_FAILED":       {"A command of the buildspec failed.", "The evidence names the phase and the command; `showrunner build DIR` runs the same build here."},
	"APPROVAL_EXPIRED":   {"Nobody decided in time.", "Start the pipeline again, or raise approval.expires."},
	"REJECTED":           {"A person rejected the approval.", "Their comment is the cause."},
}
