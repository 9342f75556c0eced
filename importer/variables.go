package importer

import (
	"fmt"
	"slices"
	"strings"

	"showrunner/pipeline"
)

// variable is the value of CodePipeline's #{namespace.key}: a text that may
// contain marked references. It returns false where nothing sets the variable
// here.
func (c *conversion) variable(ns, key, path string) (string, bool) {
	switch ns {
	case "variables":
		declared := slices.ContainsFunc(c.out.Parameters, func(p pipeline.Parameter) bool { return p.Name == identifier(key) })
		return markReference("parameters." + identifier(key)), declared
	case "codepipeline":
		return markReference("execution.id"), key == "PipelineExecutionId"
	}
	c.referred[ns] = true
	from, ok := c.namespaces[ns]
	if !ok {
		return "", false
	}
	kind := ""
	for _, s := range c.out.Stages {
		if s.Name == from.stage {
			kind = s.Kind
		}
	}
	outputs := fmt.Sprintf("stages[%q].outputs", from.stage)
	if identifier(from.stage) == from.stage {
		outputs = "stages." + from.stage + ".outputs"
	}
	switch kind {
	case "git":
		return c.sourceVariable(from.action, outputs, key, path)
	case "object":
		if output, ok := objectOutputs[key]; ok {
			return markReference(outputs + "." + output), true
		}
	case "build":
		return markReference(fmt.Sprintf("%s.variables[%q]", outputs, key)), true
	case "run":
		return markReference(outputs + "." + identifier(key)), true
	case "approval":
		if key == "ApprovalSummary" {
			return markReference(outputs + ".comment"), true
		}
	}
	return "", false
}

// gitOutputs maps a source action's variables to the outputs of a git stage.
// https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-variables.html
var gitOutputs = map[string]string{
	"CommitId": "commit", "CommitMessage": "message", "BranchName": "branch", "AuthorDate": "date", "CommitterDate": "date",
	"AuthorEmail": "authorEmail", "AuthorDisplayName": "author", "AuthorId": "author",
}

// objectOutputs are the same of an object stage.
var objectOutputs = map[string]string{"BucketName": "bucket", "ObjectKey": "key", "VersionId": "version", "ETag": "version"}

// sourceVariable is a variable of a source action. The names of its repository
// are in the document; the other values are known when a run has fetched the
// commit.
func (c *conversion) sourceVariable(a *action, outputs, key, path string) (string, bool) {
	name, repository := "", ""
	switch a.provider {
	case "GitHub":
		repository = a.config.get("Owner").text() + "/" + a.config.get("Repo").text()
		name = a.config.get("Repo").text()
	case "CodeStarSourceConnection":
		repository = a.config.get("FullRepositoryId").text()
		name = repository[strings.LastIndexByte(repository, '/')+1:]
	case "CodeCommit":
		name = a.config.get("RepositoryName").text()
	}
	switch key {
	case "RepositoryName":
		return name, name != ""
	case "FullRepositoryName":
		return repository, repository != ""
	case "CommitUrl":
		return c.commitURL(a, repository, outputs, path)
	}
	output, ok := gitOutputs[key]
	switch key {
	case "AuthorId":
		c.in.note(Warning, path, key, "Git knows no account: the author's name stands in its place")
	case "CommitterDate":
		c.in.note(Warning, path, key, "the date of the author stands in the place of the committer's")
	}
	return markReference(outputs + "." + output), ok
}

// commitPages are the path parts between a repository's page and a commit's id.
var commitPages = map[string]string{"github.com": "/commit/", "bitbucket.org": "/commits/", "gitlab.com": "/-/commit/"}

// commitURL is the page of a commit. It returns false where the page is unknown.
func (c *conversion) commitURL(a *action, repository, outputs, path string) (string, bool) {
	host := "github.com"
	if a.provider == "CodeStarSourceConnection" {
		if host = providerHosts[c.connectionProvider(a.config.get("ConnectionArn"))]; host == "" {
			host = "github.com" // the reason has been noted
		}
	}
	page := "https://" + host + "/" + repository
	if url := c.overridden(a, repository); url != "" {
		if !strings.HasPrefix(url, "http") {
			return "", false
		}
		c.in.note(Warning, path, "CommitUrl", "the page of a commit is put together from the URL given for the source, as GitHub has it")
		page, host = strings.TrimSuffix(url, ".git"), "github.com"
	}
	return page + commitPages[host] + markReference(outputs+".commit"), repository != ""
}

// expressionOf converts a text with marked references to one expression.
func expressionOf(s string) string {
	var parts []string
	text := func(t string) {
		if t != "" {
			parts = append(parts, fmt.Sprintf("%q", t))
		}
	}
	at := 0
	for _, m := range reference.FindAllStringSubmatchIndex(s, -1) {
		text(s[at:m[0]])
		parts, at = append(parts, s[m[2]:m[3]]), m[1]
	}
	if text(s[at:]); len(parts) == 0 {
		return `""`
	}
	return strings.Join(parts, " + ")
}
