package importer

import (
	"slices"
	"strings"
	"time"

	"showrunner/pipeline"
)

// overridden is the URL that replaces a source's, or "".
func (c *conversion) overridden(a *action, repository string) string {
	for _, name := range []string{a.name, a.id, a.stage, repository} {
		if url, ok := c.in.opts.SourceOverrides[name]; ok && name != "" {
			c.in.overridesUsed[name] = true
			return url
		}
	}
	return ""
}

func (c *conversion) source(a *action) bool {
	for _, o := range a.outputs {
		c.artifacts[o.get("Name").static()] = a.id
	}
	needs := map[string][]string{
		"GitHub": {"Owner", "Repo"}, "CodeStarSourceConnection": {"FullRepositoryId"}, "CodeCommit": {"RepositoryName"}, "S3": {"S3Bucket", "S3ObjectKey"},
	}
	if c.overridden(a, "") == "" && !c.configured(a, needs[a.provider]...) {
		return false
	}
	switch a.provider {
	case "GitHub":
		return c.gitHub(a)
	case "CodeStarSourceConnection":
		return c.connection(a)
	case "CodeCommit":
		return c.codeCommit(a)
	case "S3":
		return c.s3Source(a)
	}
	a.config.leave(Info, "configuration", "the source given with --source-override takes its place")
	c.git(a, pipeline.Git{URL: c.overridden(a, "")})
	return true
}

// configured says whether an action's configuration has all required keys; the
// missing ones are noted.
func (c *conversion) configured(a *action, keys ...string) bool {
	var missing []string
	for _, key := range keys {
		if a.config.get(key).text() == "" {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		c.in.note(Error, a.path, a.category+" action "+a.name, "its configuration has no %s; the stage is left out", strings.Join(missing, " and no "))
	}
	return len(missing) == 0
}

// git sets the stage; an override replaces URL and credentials.
func (c *conversion) git(a *action, g pipeline.Git) string {
	repository := strings.TrimSuffix(strings.TrimPrefix(g.URL, "https://github.com/"), ".git")
	if url := c.overridden(a, repository); url != "" {
		g.URL, g.Credentials = url, nil
	}
	g.Branch = c.branchOf(a, g.URL, g.Branch)
	c.set(a, g)
	return g.URL
}

// gitHub converts version 1 of the GitHub action: a token, and polling or a
// webhook.
func (c *conversion) gitHub(a *action) bool {
	owner, repo := c.finish(a.config.get("Owner"), false), c.finish(a.config.get("Repo"), false)
	g := pipeline.Git{URL: "https://github.com/" + owner + "/" + repo + ".git", Branch: c.finish(a.config.get("Branch"), false)}
	overridden := c.overridden(a, owner+"/"+repo) != ""
	token := a.config.get("OAuthToken")
	if overridden {
		token.leave(Info, "OAuthToken", "the URL given with --source-override needs none")
	} else if token.ok() {
		g.Credentials = &pipeline.Credentials{Password: c.token(token)}
	}
	url := c.git(a, g)
	repository := owner + "/" + repo
	if overridden {
		repository = url
	}
	poll := a.config.get("PollForSourceChanges")
	if len(c.triggers) > 0 {
		poll.note(Info, "PollForSourceChanges", "the pipeline's triggers decide what starts it")
		return true
	}
	if !poll.ok() || poll.boolean() {
		c.addTriggers(a, pollTrigger(url, g.Branch, credentialsUnless(overridden, g.Credentials)))
	}
	push := c.webhooks(a, repository, g.Branch)
	c.addTriggers(a, push...)
	if poll.ok() && !poll.boolean() && len(push) == 0 && c.tmpl == nil {
		c.addTriggers(a, c.pushTrigger(a, repository, g.Branch))
	}
	return true
}

// addTriggers adds the triggers for a source. A repository or branch that is known
// only when a run starts cannot be watched: that is noted, and the pipeline is
// run by hand.
func (c *conversion) addTriggers(a *action, triggers ...pipeline.Trigger) {
	c.addTriggersAt(a, a.path, triggers...)
}

// addTriggersAt is addTriggers for triggers that are at a path of their own.
func (c *conversion) addTriggersAt(a *action, path string, triggers ...pipeline.Trigger) {
	for _, t := range triggers {
		repository, filters := watched(t)
		unknown := ""
		switch {
		case strings.Contains(repository, "${{"):
			unknown = "repository"
		case strings.Contains(strings.Join(filters, " "), "${{"):
			unknown = "branch"
		}
		if unknown != "" {
			c.in.note(Error, path, "change detection of "+a.name, "its %s is known only when a run starts, so a change starts nothing: give the %s with --parameter, or start runs by hand", unknown, unknown)
			continue
		}
		if t.Poll != nil && local(t.Poll.URL) {
			t.Poll.Every = localPoll
		}
		c.in.carryTrigger(c.out, t, "change detection of "+a.name, path)
		c.out.Triggers = append(c.out.Triggers, t)
	}
}

// watched returns the repository of a trigger, and its filters.
func watched(t pipeline.Trigger) (repository string, filters []string) {
	switch {
	case t.Push != nil:
		return t.Push.Repository, slices.Concat(t.Push.Branches, t.Push.Tags, t.Push.Paths)
	case t.Poll != nil:
		return t.Poll.URL, slices.Concat(t.Poll.Branches, t.Poll.Tags, t.Poll.Paths)
	}
	return "", nil
}

// localPoll is the poll interval of a repository on this machine.
const localPoll = pipeline.Duration(5 * time.Second)

// local tells whether a repository is a folder of this machine. A folder sends no
// webhooks, so it is polled; a poll of a folder is cheap.
func local(repository string) bool {
	return strings.HasPrefix(repository, "file://") || strings.HasPrefix(repository, "/") || strings.HasPrefix(repository, ".")
}

func credentialsUnless(overridden bool, c *pipeline.Credentials) *pipeline.Credentials {
	if overridden {
		return nil
	}
	return c
}

// token is a credential as a reference to a secret. A plaintext credential in the
// document is not copied.
func (c *conversion) token(field cursor) string {
	s := field.text()
	if reference.MatchString(s) {
		return c.in.complete(s)
	}
	if strings.Trim(s, "*") != "" {
		c.in.note(Warning, field.path, "a credential in the clear", "it was not copied: set it as a secret, and renew it, since everybody who could read the document knows it")
	}
	return c.in.complete(c.in.secret("github-token", "the GitHub token of "+c.name, field.path))
}

// providerHosts are the Git hosts of connections, by provider type.
var providerHosts = map[string]string{"GitHub": "github.com", "Bitbucket": "bitbucket.org", "GitLab": "gitlab.com"}

func (c *conversion) connection(a *action) bool {
	repository := c.finish(a.config.get("FullRepositoryId"), false)
	branch := c.finish(a.config.get("BranchName"), false)
	arn := a.config.get("ConnectionArn")
	provider := c.connectionProvider(arn)
	host := providerHosts[provider]
	overridden := c.overridden(a, repository) != ""
	if host == "" {
		host = "github.com"
		if !overridden {
			c.in.note(Warning, arn.path, "ConnectionArn", "which host the connection leads to is not in the document: taken as github.com; change the URL, or use --source-override %s=URL", a.name)
		}
	}
	g := pipeline.Git{URL: "https://" + host + "/" + repository + ".git", Branch: branch}
	if overridden {
		arn.leave(Info, "ConnectionArn", "the URL given with --source-override needs no connection")
	} else {
		source := "a token for " + host + ", in the place of the connection"
		g.Credentials = &pipeline.Credentials{Password: c.in.complete(c.in.secret(strings.Split(host, ".")[0]+"-token", source, arn.path))}
	}
	a.config.get("OutputArtifactFormat").leave(Info, "OutputArtifactFormat", "the artifact is the work tree; a build that needs the history fetches it itself")
	url := c.git(a, g)
	if overridden {
		repository = url
	}
	detect := a.config.get("DetectChanges")
	if len(c.triggers) > 0 {
		detect.note(Info, "DetectChanges", "the pipeline's triggers decide what starts it")
	}
	if len(c.triggers) == 0 && (!detect.ok() || detect.boolean()) {
		c.addTriggers(a, c.pushTrigger(a, repository, branch))
	}
	return true
}

// connectionProvider is the provider type of the connection, when the template defines it.
func (c *conversion) connectionProvider(arn cursor) string {
	if c.tmpl == nil {
		arn.note(Info, "ConnectionArn", "a connection is a login of AWS: the git stage uses a token instead")
		return ""
	}
	used := c.tmpl.collectCompared(func() { arn.text() })
	for _, id := range used {
		r := c.tmpl.resource(id)
		if kind := r.get("Type").static(); kind == "AWS::CodeStarConnections::Connection" || kind == "AWS::CodeConnections::Connection" {
			provider := r.get("Properties").get("ProviderType").static()
			return provider
		}
	}
	return ""
}

func (c *conversion) codeCommit(a *action) bool {
	region := a.get("Region").static()
	if region == "" {
		region = c.region(a.path)
	}
	repo := c.finish(a.config.get("RepositoryName"), false)
	g := pipeline.Git{URL: "https://git-codecommit." + region + ".amazonaws.com/v1/repos/" + repo, Branch: c.finish(a.config.get("BranchName"), false)}
	overridden := c.overridden(a, repo) != ""
	if overridden {
		g.URL = c.overridden(a, repo)
	} else {
		what := "HTTPS Git credentials of an IAM user for CodeCommit: the "
		g.Credentials = &pipeline.Credentials{
			Username: c.in.complete(c.in.secret("codecommit-username", what+"user name", a.path)),
			Password: c.in.complete(c.in.secret("codecommit-password", what+"password", a.path)),
		}
	}
	c.set(a, g)
	a.config.get("PollForSourceChanges").leave(Info, "PollForSourceChanges", "EventBridge does not reach this place, so the repository is polled")
	if len(c.triggers) == 0 {
		c.addTriggers(a, pollTrigger(g.URL, g.Branch, g.Credentials))
	}
	return true
}

// region is the pipeline's region, for an action at path that names no region.
func (c *conversion) region(path string) string {
	if c.tmpl != nil {
		return c.tmpl.pseudo("AWS::Region", path)
	}
	if c.in.homeRegion != "" {
		return c.in.homeRegion
	}
	c.in.invent(path, "region", defaultRegion, "the document does not name it; write the right one into the file")
	return defaultRegion
}

func pollTrigger(url, branch string, credentials *pipeline.Credentials) pipeline.Trigger {
	t := &pipeline.PollTrigger{URL: url, Credentials: credentials}
	if branch != "" {
		t.Branches = []string{branch}
	}
	return pipeline.Trigger{Poll: t}
}

// pushTrigger replaces change detection that the other system sets up by itself.
func (c *conversion) pushTrigger(a *action, repository, branch string) pipeline.Trigger {
	if local(repository) {
		return pollTrigger(repository, branch, nil)
	}
	secret := c.in.secretName("webhook", "any random text: it signs the repository's push webhook", a.path)
	t := &pipeline.PushTrigger{Repository: repository, Secret: secret}
	if branch != "" {
		t.Branches = []string{branch}
	}
	c.in.note(Info, a.path, "change detection of "+a.name, "set the repository's webhook to this server and secret %s, or replace the `push` trigger by a `poll`", secret)
	return pipeline.Trigger{Push: t}
}

// s3Source fetches an archive from S3. The stage is a build, since only a build
// can make an artifact with commands; `aws` and `unzip` do the work.
func (c *conversion) s3Source(a *action) bool {
	bucket, key := c.finish(a.config.get("S3Bucket"), false), c.finish(a.config.get("S3ObjectKey"), false)
	a.config.get("PollForSourceChanges").leave(Warning, "PollForSourceChanges", "a new version of the object starts nothing here")
	a.config.get("AllowOverrideForS3ObjectKey").leave(Info, "AllowOverrideForS3ObjectKey", "a run takes the key that the file names")
	if url := c.overridden(a, bucket); url != "" {
		c.set(a, pipeline.Git{URL: url})
		if local(url) && len(c.triggers) == 0 {
			c.addTriggers(a, pollTrigger(url, "", nil))
		}
		return true
	}
	if c.in.opts.Here {
		c.set(a, pipeline.Object{Bucket: bucket, Key: key, Region: a.get("Region").static()})
		return true
	}
	id := c.in.complete(c.in.secret("aws-access-key-id", "an access key that may read s3://"+bucket+": its id", a.path))
	secret := c.in.complete(c.in.secret("aws-secret-access-key", "an access key that may read s3://"+bucket+": its secret", a.path))
	c.set(a, pipeline.Build{
		Inline: fetchArchive,
		Env: map[string]string{
			"SOURCE_BUCKET": bucket, "SOURCE_KEY": key, "AWS_REGION": c.region(a.path),
			"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret,
		},
	})
	c.in.files["buildspecs/"+a.id+".yml"] = []byte(fetchArchive)
	c.in.note(Warning, a.path, "S3 source "+a.name, "a build stage fetches the archive with the `aws` command; a new version of the object starts nothing: run the pipeline, call its webhook, or use --source-override %s=URL for a Git repository", a.name)
	return true
}

// fetchArchive makes the object's files the artifact: unpacked when the object is
// a zip or a tar, unchanged otherwise.
const fetchArchive = `version: 0.2
phases:
  build:
    commands:
      - mkdir fetched
      - aws s3 cp "s3://$SOURCE_BUCKET/$SOURCE_KEY" source.archive
      - |
        case "$SOURCE_KEY" in
          *.zip) unzip -q source.archive -d fetched ;;
          *.tar.gz|*.tgz) tar -xzf source.archive -C fetched ;;
          *.tar) tar -xf source.archive -C fetched ;;
          *) cp source.archive "fetched/$(basename "$SOURCE_KEY")" ;;
        esac
artifacts:
  base-directory: fetched
  files:
    - '**/*'
`
