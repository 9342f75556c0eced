package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/pipeline"
	"showrunner/problem"
)

func notFound(format string, args ...any) *problem.Error {
	return problem.New(problem.NotFound, "", format, args...)
}

// explanation is what a failure's code means and what to do.
type explanation struct{ means, do string }

// explanations knows every code that a stage's failure, or an instance's, may carry.
var explanations = map[string]explanation{
	"HEALTH_TIMEOUT":      {"A new version did not have enough healthy instances in time. Traffic stayed on, or went back to, the version before.", "Read the probe's answer and the last log lines in the evidence; raise health.grace when the program merely starts slowly."},
	"NEVER_HEALTHY":       {"Instances of a new version ran, but none ever passed its health check within its grace.", "Check health.path and that the program listens on $HOST:$PORT; the evidence has the probe's last answer."},
	"HOOK_FAILED":         {"A lifecycle hook of an instance failed, was abandoned, or took too long. After a launch hook the instance was ended and replaced; after a terminate hook its end went on.", "What the hook wrote is in the instance's log and in the evidence; hooks.launch.defaultResult: continue lets instances serve in spite of it. One with wait: true needs showrunner complete-hook INSTANCE continue within its timeout, or showrunner heartbeat INSTANCE for more time."},
	"EXITED":              {"The program ended although it should go on.", "The exit code and last log lines are in the evidence; `showrunner logs INSTANCE` has the rest."},
	"START_FAILED":        {"The program could not be started.", "Check that command names a file in the artifact and that it is executable."},
	"UNHEALTHY":           {"An instance that had served stopped passing its liveness check; it was replaced.", "See the probe's answer in the evidence."},
	"CONDEMNED":           {"A person or program said that an instance is unhealthy (`showrunner set-health`); it is replaced whatever its checks say.", "`showrunner audit` says who. `showrunner set-health INSTANCE healthy` takes it back while the instance is there."},
	"OVER_LIMIT":          {"An instance used more than limits allow; it was ended and replaced.", "Raise limits, or find the leak: the evidence says which limit."},
	"STOP_TIMEOUT":        {"An instance ignored SIGTERM past stopTimeout and was killed.", "Handle SIGTERM, or raise stopTimeout."},
	"CRASH_LOOP":          {"Instances of a new version become healthy and then end, again and again. The rollout was undone.", "The exit code and last log lines are in the evidence."},
	"CANARY_ERRORS":       {"The new version fails more often than the judge allows, beyond what chance can explain at any number of looks.", "The failure names the effect with its interval, the numbers and the guards; the run's page draws them. Fix the version and deliver again."},
	"CANARY_SLOW":         {"The new version is slower than judge.maxP99, or than the old version with judge.latency: fail.", "Compare the latencies in the evidence; the run's page draws them."},
	"BASELINE_UNHEALTHY":  {"The baseline, a fresh group of the version in traffic that a canary is compared with, did not become healthy: that version does not start any more. The rollout was undone.", "`showrunner logs INSTANCE` shows what the baseline's instances wrote. Find what the version in traffic needs and no longer has; `canary.baseline: production` compares with its running instances instead."},
	"CANARY_METRICS":      {"Metrics of the new version are worse than those of the baseline, by the analysis of the strategy. The rollout was undone.", "The evidence names each metric with its interval; the run's page draws both sides. `showrunner canary analyze` judges the same time again with an edited configuration."},
	"CANARY_INCONCLUSIVE": {"The judge could not decide in the time of the step, or a guard forbids a verdict: the traffic is not divided by the weights, or failures come in clusters.", "The failure names the guard, or what was not shown. More traffic or a longer pause helps where evidence is missing; judge.whenInconclusive says what happens then."},
	"CANARY_NO_DATA":      {"Too few requests reached the new version for a verdict, or the old version where the new one is compared with it. Without data a step passes only where judge.whenNoData is pass.", "Send traffic to the region; `showrunner edge weights` divides requests over regions. When it has some, lower judge.minRequests or raise the step. When it is to have none, set judge.whenNoData: pass."},
	"CHAOS_NOT_SURVIVED":  {"A new version failed its users while it met the faults of a chaos stage, and a group of the same version without them did not. It was not promoted; the faults were undone and both groups ended.", "The evidence has the numbers of both groups. Give each call to a dependency a timeout and an answer for when it fails."},
	"CHAOS_NO_DATA":       {"A chaos stage had too little traffic for a verdict: the cluster does not serve yet, or the shares of both groups were too small.", "Raise share or for, lower judge.minRequests, or send traffic to the region. judge.whenNoData: pass goes on without a verdict."},
	"CHAOS_INCONCLUSIVE":  {"The judge of a chaos stage could not decide, or a guard allows no verdict.", "The evidence names the guard, or what was not shown; judge.whenInconclusive says what happens then."},
	"CHAOS_HELD":          {"No chaos may begin: all of it is stopped, an alarm is open, or a freeze holds the application. Nothing was begun.", "Run the pipeline again when that is over; `showrunner chaos status` shows the lever."},
	"CHAOS_STOPPED":       {"A fault of a chaos stage ended before the comparison did: somebody stopped all chaos or undid the fault, or its region restarted.", "`showrunner chaos fault list` says why it ended; run the pipeline again when chaos may run."},
	"CHAOS_REFUSED":       {"A check refused a fault of a chaos stage, or the cloud cannot do it. What was begun was undone.", "The cause names the check."},
	"CHAOS_NOT_MADE":      {"The two groups of a chaos stage could not be made, or not be given traffic. What was made is gone.", "The cause has the cloud's answer."},
	"CHAOS_NO_DEPENDENCY": {"A chaos stage names a service that no region has. Nothing was begun.", "`showrunner clusters` lists what is there."},
	"CLOUD_CANNOT":        {"The cloud cannot carry out what the strategy promises: it divides traffic too coarsely, has too few versions in traffic at once, or counts no requests. Nothing was made. `showrunner plan` says so before a run.", "Choose another strategy, such as red-black, or another account."},
	"VALIDATION_FAILED":   {"The validation hook refused a step.", "Ask the hook's owner; the evidence has its answer."},
	"REGION_UNAVAILABLE":  {"A region could not be reached for as long as the rollout waits.", "Bring the region back (`showrunner regions`), or take it out of the waves."},
	"ROLLED_BACK_PARTLY":  {"A rollback is done in the regions that answered; others could not be asked.", "Once they answer, roll them back with --to and --region as the help line says; `showrunner drift` shows what differs."},
	"SERVER_GROUP_GONE":   {"A server group disappeared while a rollout used it.", "Look in `showrunner audit` for who destroyed it; run the pipeline again."},
	"TRAFFIC_CHANGED":     {"Somebody else, by hand or with a rollback, changed the traffic of a cluster while it was deployed. The rollout did not fight: it stopped and was undone, and left what they had put into traffic.", "`showrunner audit` says who. Deliver again when nobody else changes this cluster."},
	"CLOUD_REFUSED":       {"The cloud refused a change of the rollout.", "The message says what it refused and why."},
	"NO_ARTIFACT":         {"A stage needs an artifact that no earlier stage made.", "Check the names; a buildspec's secondary artifact is stage.identifier."},
	"NO_EARLIER_VERSION":  {"A rollback stage found no kept version to return to.", "`showrunner rollback NAME --list` says what is kept. Otherwise run the pipeline at the older commit."},
	"NO_CLUSTER":          {"No region has the cluster.", "`showrunner clusters` lists them."},
	"CANCELED":            {"Somebody canceled the execution.", "`showrunner audit` says who."},
	"TIMEOUT":             {"The stage took longer than its timeout.", "Raise the stage's timeout, or find what it waited for in its log."},
	"IN_DOUBT":            {"The process died while an act was under way whose outcome cannot be asked for. It is not repeated by itself, since it may have happened.", "Find out, then: showrunner executions signal EXECUTION STAGE done|retry|fail."},
	"BUILD_FAILED":        {"A command of the buildspec failed.", "The evidence names the phase and the command; `showrunner build DIR` runs the same build here."},
	"APPROVAL_EXPIRED":    {"Nobody decided in time.", "Start the pipeline again, or raise approval.expires."},
	"REJECTED":            {"A person rejected the approval.", "Their comment is the cause."},
	"BUILDSPEC_INVALID":   {"The buildspec cannot be used.", "The evidence shows the line; `showrunner build DIR` checks it here."},
	"COMMAND_FAILED":      {"A command of a build or of a run stage failed.", "The evidence has its exit code and last lines; the stage's log has the rest."},
	"CHILD_FAILED":        {"The pipeline that this stage started failed.", "The cause is the child's own; look at its execution."},
	"CHILD_CANCELED":      {"The pipeline that this stage started was canceled.", "`showrunner audit` says by whom."},
	"CHILD_GONE":          {"The execution that this stage started is no longer kept.", "Start it again, or keep executions longer (--keep)."},
	"NESTED_TOO_DEEP":     {"Pipelines start each other in a circle, or too deep.", "Break the circle."},
	"OBJECT_MISSING":      {"The bucket, the object or its version is not there.", "`showrunner aws -- s3 ls s3://BUCKET` lists what is."},
	"OBJECT_UNREADABLE":   {"The object's name says that it is an archive, and it cannot be unpacked.", "Upload it again; an archive whose files lead out of its folder is refused."},
	"GIT_AUTH":            {"The Git server refused the credentials.", "Set the secret that git.credentials names: showrunner secret set NAME."},
	"GIT_NOT_FOUND":       {"The Git server has no such repository, or shows it only to those who may see it.", "Check git.url and git.credentials."},
	"GIT_NO_SUCH_REF":     {"The repository has no such branch, tag or commit.", "The evidence lists what it has."},
	"GIT_NETWORK":         {"The Git server could not be reached.", "Try again; check git.url and the network."},
	"GIT_TIMEOUT":         {"Git took too long.", "Raise the stage's timeout, or see in its log where it stood."},
	"GIT_HOST_KEY":        {"The SSH server's key is not the known one.", "Put the right line into git.credentials.knownHosts."},
	"GIT_LFS_MISSING":     {"The stage asks for Git LFS, and git-lfs is not installed.", "Install git-lfs where the control plane runs."},
	"GIT_ADDRESS":         {"The repository's address or content cannot be used.", "The cause names what; transports that run programs are refused."},
	"GIT_MISSING":         {"There is no git command where the control plane runs.", "Install git 2.30 or newer and have it in PATH; nothing has to be started anew. The image that holds the program alone has none: docs/install.md."},
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

	"BUILD_HOST_LOST":         {"The build was lost with its machine, again and again.", "See whether the build itself takes its machines down (memory, disk); then restart the execution from the stage."},
	"BUILD_FAULT":             {"The build could not be carried out, through no fault of its commands.", "See the evidence and the system's messages (memory, disk); the stage's retry tries again."},
	"BUILD_TIMED_OUT":         {"The build took longer than its timeout; all its processes were ended.", "Raise the stage's timeout, or see in its log where it stood."},
	"BUILD_STOPPED":           {"The build was stopped; all its processes were ended.", "`showrunner audit` says by whom."},
	"BUILD_INPUT_MISSING":     {"The build needs an input that is not there: its buildspec, its source or another artifact.", "Check build.spec and build.source against what the source stage fetched."},
	"ARTIFACT_MISSING":        {"A stage deploys an artifact that no earlier stage made.", "Check the names; a buildspec's secondary artifact is stage.identifier."},
	"ACCOUNT_UNKNOWN":         {"The stage names an account that the control plane does not have.", "Check account; `local` is always there."},
	"ACCOUNT_WITHOUT_SITES":   {"The account hosts no websites.", "Choose an account that does; `local` does."},
	"NO_REGIONS":              {"The account has no regions to deploy to.", "`showrunner regions` lists them; start some with `showrunner up --regions`."},
	"REGION_UNKNOWN":          {"A wave names a region that the account does not have.", "`showrunner regions` lists them."},
	"ROLLBACK_TARGET_MISSING": {"The deployment to return to is not kept any more, or never was.", "`showrunner rollback NAME --list` says what is kept; deploy-site's keep says how many are."},
	"SITE_UNHEALTHY":          {"A website did not answer as it should after its deployment; what the stage's rollback says was undone.", "The evidence has the answer of each region."},
	"DEPLOYMENT_SUPERSEDED":   {"A newer deployment of the website went live meanwhile, so this one did not.", "Nothing, if the newer one is what is wanted; else run the pipeline again."},
	"SITE_INVALID":            {"The website cannot be published as the stage asks.", "The evidence names the file or the setting."},
	"NOT_STARTED":             {"The pipeline that this stage starts could not be started.", "The cause says why."},
	"TASK_PARKED":             {"A task failed in the same unexpected way too often and is not tried any more.", "Read the cause; when it is mended: showrunner executions restart EXECUTION STAGE."},
	"TASK_FAILED":             {"A task failed in a way that its stage did not foresee.", "The cause has the error; the control plane's log has more."},
	"EXPRESSION_FAILED":       {"An expression of the stage could not be evaluated with the values of this execution.", "The cause names the expression and the value; check `when` and ${{ }} against the outputs of earlier stages."},
	"CANCEL_UNCONFIRMED":      {"The execution was canceled, and what a stage had started could not be confirmed to have stopped.", "Look for what is still running: the evidence names it."},
}

// refusals are the codes of a command that was refused or could not be carried out.
var refusals = map[string]explanation{
	"INVALID":      {"The command line or the configuration cannot be used (exit code 2).", "The message says what; COMMAND --help shows how it is meant."},
	"USAGE":        {"The command line cannot be used (exit code 2).", "COMMAND --help shows how it is meant."},
	"NOT_FOUND":    {"What was named does not exist (exit code 6).", "List what there is: showrunner applications, executions list, clusters, sites."},
	"DENIED":       {"You are not signed in, or may not do this (exit code 5).", "Give the token of the data folder (--data or --token)."},
	"PRECONDITION": {"A safety check refused, or could not be carried out.", "The message says which; nothing was changed."},
	"UNAVAILABLE":  {"Something needed did not answer; what became of the request is not known (exit code 8).", "showrunner doctor; then look before you repeat it."},
	"INTERNAL":     {"A defect of Showrunner.", "Report it with the control plane's log."},
}

// findings are the codes of diagnostics in pipeline files and buildspecs.
var findings = map[string]explanation{
	pipeline.CodeUnreadable:       {"The file cannot be read.", "Check its name and its rights."},
	pipeline.CodeSyntax:           {"The text is not YAML.", "Look at the line shown and the one above: a missing colon, quote or bracket, or a tab."},
	pipeline.CodeTooLarge:         {"The file is larger than any real one, so it was not read.", "Split it by application."},
	pipeline.CodeTooDeep:          {"The file nests deeper than any real one.", "Look for brackets that are not closed."},
	pipeline.CodeTooMany:          {"There is more of something than is allowed.", "The message says of what, and how many are."},
	pipeline.CodeEncoding:         {"The file holds bytes that are no UTF-8 text.", "Save it as UTF-8."},
	pipeline.CodeEmpty:            {"The file says nothing.", "Begin with `application: NAME` and `pipelines:`."},
	pipeline.CodeManyDocuments:    {"The file holds more than one YAML document.", "Write one file for each."},
	pipeline.CodeAlias:            {"An alias cannot be used: it refers to itself, or all of them together stand for too much.", "Write out what it stands for."},
	pipeline.CodeUnknownField:     {"There is no field of that name here.", "Take the suggestion, or look at docs/pipeline.md; keys that begin with x- are left alone at the top."},
	pipeline.CodeDuplicateKey:     {"The same key stands twice in a mapping.", "Keep one of them."},
	pipeline.CodeType:             {"A value has the wrong type, such as a list where a text belongs.", "The message says which type is meant."},
	pipeline.CodeValue:            {"A value cannot be used.", "The message says what is meant."},
	pipeline.CodeRequired:         {"Something that is needed is missing.", "The message names it."},
	pipeline.CodeName:             {"A name has characters that names must not have, or is reserved.", "Use letters, digits, '.', '_' and '-'."},
	pipeline.CodeOneOf:            {"Exactly one of several fields has to be set.", "The message lists them."},
	pipeline.CodeConflict:         {"In a file, two fields exclude each other. Of a command: it exists already, or changed since you looked (exit code 7).", "In a file, keep one of them. Otherwise look again, then decide."},
	pipeline.CodeNoKind:           {"A stage has no kind, so it would do nothing.", "Give it one of the kinds in docs/pipeline.md."},
	pipeline.CodeTwoKinds:         {"A stage has more than one kind.", "Make it two stages, joined by needs."},
	pipeline.CodeUnknownStage:     {"A stage names another stage that is not there.", "Take the suggestion, or add the stage."},
	pipeline.CodeNotUpstream:      {"An expression speaks of a stage that has not necessarily run by then.", "Add it to needs."},
	pipeline.CodeCycle:            {"Stages, or pipelines, wait for each other in a circle.", "Take one needs out of the circle that the message shows."},
	pipeline.CodeUnknownArtifact:  {"No earlier stage makes the artifact.", "An artifact is named after its stage; a secondary one is stage.identifier."},
	pipeline.CodeAmbiguous:        {"More than one artifact could be meant.", "Name the one."},
	pipeline.CodeUnknownParameter: {"The pipeline has no such parameter.", "Add it to parameters, or take the suggestion."},
	pipeline.CodeUnknownPipeline:  {"The application has no such pipeline.", "Take the suggestion, or name the application."},
	pipeline.CodeExpression:       {"An expression cannot be read, or compares what cannot be compared.", "The caret shows where; expressions are those of expr-lang."},
	pipeline.CodeUnknownOutput:    {"The stage has no such output.", "docs/pipeline.md lists the outputs of each kind."},
	pipeline.CodeSecret:           {"A secret stands where it would be seen, or a plain value where a secret belongs.", "Use ${{ secrets.NAME }} only in credentials and env."},
}

// explain finds what a code means, in whichever list it is.
func explain(code string) (explanation, bool) {
	for _, list := range []map[string]explanation{explanations, findings, refusals} {
		if e, ok := list[code]; ok {
			return e, true
		}
	}
	return explanation{}, false
}

// codes lists all codes in order.
func codes() []string {
	var all []string
	for _, list := range []map[string]explanation{explanations, findings, refusals} {
		for code := range list {
			all = append(all, code)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func newExplainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "explain [CODE]", Short: "Explain a failure's code, and what to do",
		Long:    "Explain says what the code of a failure or of a finding means, and what to do. Without a code it lists all of them.",
		Example: "  showrunner explain HEALTH_TIMEOUT",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return codes(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.explainAll()
			}
			code := strings.ToUpper(strings.Trim(args[0], "[]"))
			e, ok := explain(code)
			if !ok {
				err := notFound("there is no code %q", code).WithHelp("the code stands in brackets at the start of a failure, such as error[HEALTH_TIMEOUT]; `showrunner explain` lists them")
				if meant := pipeline.Nearest(code, codes()); meant != "" {
					err.Help = fmt.Sprintf("did you mean %s?", meant)
				}
				return err
			}
			return a.print(map[string]string{"code": code, "means": e.means, "do": e.do}, func() []string { return []string{code} }, func(w io.Writer) {
				fmt.Fprintf(w, "%s\n\n%s\n\nWhat to do: %s\n", code, e.means, e.do)
			})
		},
	}
}

func (a *app) explainAll() error {
	type line struct {
		Code  string `json:"code"`
		Means string `json:"means"`
		Do    string `json:"do"`
	}
	var all []line
	for _, code := range codes() {
		e, _ := explain(code)
		all = append(all, line{code, e.means, e.do})
	}
	return a.print(all, codes, func(w io.Writer) {
		for _, l := range all {
			row(w, l.Code, l.Means)
		}
	})
}
