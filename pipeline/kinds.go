package pipeline

import "time"

// kinds is the closed list. A test refuses an entry that is not complete.
var kinds = []Kind{
	{
		Name: "git", Config: Git{}, Artifacts: true, Timeout: 10 * time.Minute,
		Summary: "Fetches a commit; its artifact is the work tree.",
		Doc: "`url` is anything that the `git` command reads: https, ssh, a file URL or a path (a relative path is relative to the pipeline file). " +
			"Without `branch`, `tag` and `commit` the stage takes what the trigger pushed when that is of this repository, else the remote's HEAD.",
		Outputs: []Output{
			{"commit", StringOutput, "the full commit id"},
			{"shortCommit", StringOutput, "its first seven digits"},
			{"branch", StringOutput, "the branch, empty for a tag or a bare commit"},
			{"tag", StringOutput, "the tag, or empty"},
			{"message", StringOutput, "the commit message"},
			{"author", StringOutput, "the author's name"},
			{"authorEmail", StringOutput, "the author's address"},
			{"date", StringOutput, "the author date, RFC 3339"},
			{"url", StringOutput, "the repository, without credentials"},
			{"note", StringOutput, "how the commit's showrunner.yaml differs from the applied file, or empty"},
		},
		Example: "git: { url: https://git.example.com/shop/storefront.git, branch: main }",
	},
	{
		Name: "object", Config: Object{}, Artifacts: true, Timeout: 10 * time.Minute,
		Summary: "Fetches an object of a region's object storage; its artifact is the files of an archive, or the object itself.",
		Doc:     "An object whose key ends in `.zip`, `.tar`, `.tar.gz` or `.tgz` is unpacked.",
		Outputs: []Output{
			{"bucket", StringOutput, "the bucket"},
			{"key", StringOutput, "the object's key"},
			{"region", StringOutput, "the region that has the bucket"},
			{"version", StringOutput, "the object's version, where the bucket keeps versions, else its ETag"},
			{"modified", StringOutput, "when the object was written, RFC 3339"},
		},
		Example: "object: { bucket: releases, key: storefront.zip }",
	},
	{
		Name: "build", Config: Build{}, Artifacts: true, Secondary: true, Timeout: time.Hour,
		Summary: "Runs a buildspec 0.2 over a source artifact.",
		Doc: "Secondary artifacts of the buildspec are named `stage.identifier`. " +
			"`source` may be left out when exactly one of the stages in `needs` makes an artifact.",
		Outputs: []Output{
			{"buildId", StringOutput, "the identifier of the build"},
			{"buildNumber", IntOutput, "its number within the project"},
			{"variables", StringMap, "the buildspec's exported variables"},
			{"reports", IntMap, "test results over all reports: total, passed, failed, skipped, errors"},
		},
		Example: "build: { spec: buildspec.yml, env: { NODE_ENV: production } }",
	},
	{
		Name: "run", Config: Run{}, Declares: true, Timeout: time.Hour,
		Summary: "Runs commands in an artifact's folder.",
		Doc: "The commands run in one shell, so that `cd` and `export` last; the first that fails ends the stage. " +
			"`outputs` names environment variables whose value at the end becomes an output.",
		Outputs: []Output{{"exitCode", IntOutput, "of the last command"}},
		Example: "run: { artifact: build, commands: [./smoke-test.sh], outputs: [RESULT] }",
	},
	{
		Name: "deploy-site", Config: DeploySite{}, Timeout: time.Hour,
		Summary: "Puts an artifact into a website in every region named.",
		Doc:     "Only changed objects travel; assets go before documents, and deletions come last. Earlier deployments are kept for rollback.",
		Outputs: []Output{
			{"url", StringOutput, "where the edge serves the site"},
			{"deployment", StringOutput, "the identifier of the deployment"},
			{"version", StringOutput, "the version deployed"},
			{"site", StringOutput, "the site, its account and the part of it: what drift compares with"},
			{"account", StringOutput, "the cloud"},
			{"prefix", StringOutput, "the key prefix within the site, or empty"},
			{"archive", StringOutput, "the key of the one zip object, or empty"},
			{"uploaded", IntOutput, "objects uploaded, in the region that needed most"},
			{"unchanged", IntOutput, "objects that were there already, in that region"},
			{"deleted", IntOutput, "objects deleted, in that region"},
			{"bytes", IntOutput, "bytes uploaded, in that region"},
			{"regions", StringList, "the regions, in the order of their waves"},
			{"note", StringOutput, "what visitors will miss: that there is no index document, and where one is"},
		},
		Example: "deploy-site: { site: storefront, artifact: build }",
	},
	{
		Name: "deploy", Config: Deploy{}, Timeout: 4 * time.Hour,
		Summary: "Rolls a new version of a service out over regions.",
		Doc: "`cluster` is `application[-stack[-detail]]`. The strategy is one of `none`, `highlander`, `red-black`, `rolling` and `canary`; " +
			"one without settings may be written as its bare name. Waves of regions go one after another; a failed wave stops the rest and undoes what `rollback` says. " +
			"Each instance gets `HOST` and `PORT` to listen on. " +
			"One deployment or rollback at a time changes a cluster in a region; others wait for it.",
		Outputs: []Output{
			{"serverGroups", StringMap, "the new server group of each region"},
			{"cluster", StringOutput, "the cluster, its account and its strategy: what drift compares with"},
			{"account", StringOutput, "the cloud"},
			{"strategy", StringOutput, "how it replaced the version before"},
			{"version", StringOutput, "the version deployed"},
			{"url", StringOutput, "where the edge serves the service"},
			{"unjudged", StringMap, "the regions in which a canary's step went on without a verdict, with what was lacking"},
			{"withoutVerdict", StringOutput, "how many of a canary's steps those are, such as `4 of 6 steps without a verdict`"},
			{"verdicts", AnyOutput, "what a canary's judge found in each region, also when it failed: effect, interval, numbers, alpha, guards and series; the page of the run draws it"},
		},
		Example: "deploy:\n  cluster: storefront-prod\n  artifact: build\n  command: [./storefront]\n  health: { path: /healthz }\n" +
			"  capacity: { min: 2, desired: 2, max: 10 }\n  strategy: red-black",
	},
	{
		Name: "chaos", Config: Experiment{}, Timeout: time.Hour,
		Summary: "Tries a new version with faults before it is promoted.",
		Doc: "Two server groups of the version join the cluster in one region, with equal shares of its traffic. One meets the faults, the other does not, and the load balancer's counts of both are compared, " +
			"by the judge of canaries. The stage fails when the group with faults fails its users, or when a probe does; a stage that `needs` it then does not begin. " +
			"In every case the faults are undone and both groups are gone at the end. `showrunner chaos stop` ends it too. The cluster has to serve already.",
		Outputs: []Output{
			{"region", StringOutput, "where it was tried"},
			{"verdict", AnyOutput, "what the judge found: effect, interval, numbers, guards"},
			{"note", StringOutput, "why there is no verdict, where the file allows that"},
		},
		Example: "chaos:\n  cluster: storefront-prod\n  artifact: build\n  command: [./storefront]\n  health: { path: /healthz }\n  for: 2m\n" +
			"  faults: [{ kind: latency, to: catalog, latency: 5s }]\n  judge: { maxP99: 500ms }",
	},
	{
		Name: "rollback", Config: Rollback{}, Timeout: time.Hour,
		Summary: "Returns a service or a website to an earlier version that is still kept.",
		Doc: "Exactly one of `cluster` and `site`. Nothing is built or uploaded: traffic returns to what is there, in every region at once. " +
			"The version that is left stays as the one returned to was kept: with its instances, or without. " +
			"`showrunner rollback` runs this stage as an execution of its own.",
		Outputs: []Output{
			{"version", StringOutput, "the version returned to"},
			{"serverGroups", StringMap, "of a cluster: the server group of each region"},
			{"regions", StringList, "the regions that returned"},
		},
		Example: "rollback: { cluster: storefront-prod }",
	},
	{
		Name: "wait", Config: Wait{}, Timeout: 31 * 24 * time.Hour,
		Summary: "Waits for a time.",
		Doc:     "Exactly one of `for` and `until`.",
		Example: "wait: { for: 10m }",
	},
	{
		Name: "approval", Config: Approval{}, Timeout: 31 * 24 * time.Hour,
		Summary: "Waits for people.",
		Doc:     "The stage fails when somebody rejects it or when it expires.",
		Outputs: []Output{
			{"by", StringOutput, "who gave the last approval needed"},
			{"comment", StringOutput, "what they wrote"},
		},
		Example: "approval: { instructions: Look at the staging site., minimum: 1 }",
	},
	{
		Name: "webhook", Config: Webhook{}, Declares: true, Timeout: time.Hour,
		Summary: "Calls another system, and may wait for a callback.",
		Doc: "With `wait` the call carries a `callbackUrl`, and the stage ends when that is called. " +
			"`outputs` maps a name to a JSON pointer into the answer (or the callback).",
		Outputs: []Output{{"status", IntOutput, "the HTTP status of the answer"}},
		Example: "webhook: { url: \"https://hooks.example.com/deployed\", body: '{\"by\": \"${{ execution.startedBy }}\"}' }",
	},
	{
		Name: "pipeline", Config: Call{}, Timeout: 24 * time.Hour,
		Summary: "Starts another pipeline, and waits for it unless told otherwise.",
		Doc:     "With `wait: false` the stage succeeds as soon as the other pipeline has started.",
		Outputs: []Output{
			{"execution", StringOutput, "the identifier of the execution started"},
			{"status", StringOutput, "how it ended"},
			{"outputs", AnyOutput, "its stages' outputs, by stage"},
		},
		Example: "pipeline: { pipeline: smoke-test, parameters: { target: production } }",
	},
}
