package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"showrunner/pipeline"
)

// pushTriggers converts V2's triggers. If there are any, the source actions' own
// change detection is off, as in CodePipeline.
func (c *conversion) pushTriggers(stages [][]*action) {
	repositories, sources := map[string]string{}, map[string]*action{}
	for _, actions := range stages {
		for _, a := range actions {
			if a.category == "Source" {
				repository := c.repositoryOf(a)
				if url := c.overridden(a, repository); url != "" {
					repository = url
				}
				repositories[a.name], sources[a.name] = repository, a
			}
		}
	}
	for _, t := range c.triggers {
		t.get("ProviderType").leave(Info, "providerType", "the repository of the source action decides")
		git := t.get("GitConfiguration")
		source := git.get("SourceActionName")
		repository, known := repositories[source.static()]
		if !known {
			c.in.note(Error, source.path, "sourceActionName "+source.static(), "the pipeline has no source action of that name: the trigger is left out")
			git.leave(Error, "trigger of "+source.static(), "it is left out with its source action")
			continue
		}
		from := sources[source.static()]
		if repository == "" {
			git.leave(Error, "trigger of "+source.static(), "a %s source sends no pushes: the trigger is left out", from.provider)
			continue
		}
		push := git.get("Push").items()
		if len(push) == 0 && len(git.get("PullRequest").items()) == 0 {
			// A trigger without a filter starts at every push to the action's own
			// branch.
			c.addTriggersAt(from, t.path, c.pushTrigger(from, repository, c.finish(from.config.get("BranchName"), false)))
		}
		for _, p := range push {
			branches, tags, paths := filters(p.get("Branches")), filters(p.get("Tags")), filters(p.get("FilePaths"))
			if local(repository) {
				if len(branches) == 0 && len(tags) == 0 {
					branches = []string{"**"} // a poll without branches and tags watches one branch
				}
				c.addTriggersAt(from, p.path, pipeline.Trigger{Poll: &pipeline.PollTrigger{URL: repository, Branches: branches, Tags: tags, Paths: paths}})
				continue
			}
			secret := c.in.secretName("webhook", "any random text: it signs the repository's push webhook", t.path)
			c.addTriggersAt(from, p.path, pipeline.Trigger{Push: &pipeline.PushTrigger{
				Repository: repository, Branches: branches, Tags: tags, Paths: paths, Secret: secret,
			}})
		}
		for _, p := range git.get("PullRequest").items() {
			p.leave(Error, "pull request trigger", "pull requests do not start pipelines here; pushes to their branches can")
		}
	}
}

// repositoryOf is the repository of a source action as a Git host names it; ""
// for other sources.
func (c *conversion) repositoryOf(a *action) string {
	switch a.provider {
	case "CodeStarSourceConnection":
		return c.in.complete(a.config.get("FullRepositoryId").text())
	case "GitHub":
		return c.in.complete(a.config.get("Owner").text() + "/" + a.config.get("Repo").text())
	}
	return ""
}

// branchOf is the branch that a source fetches. A run that a trigger started
// fetches the pushed commit; the action's branch is for other runs.
func (c *conversion) branchOf(a *action, url, branch string) string {
	triggered := slices.ContainsFunc(c.triggers, func(t cursor) bool {
		git := t.get("GitConfiguration")
		return git.get("SourceActionName").static() == a.name && len(git.get("Push").items()) > 0
	})
	if !triggered || branch == "" {
		return branch
	}
	otherwise := strconv.Quote(branch)
	if strings.Contains(branch, "${{") {
		m := wholeExpression.FindStringSubmatch(branch)
		if m == nil {
			c.in.note(Warning, a.path, "branch of "+a.name, "it is put together from several parts, so every run fetches it, whatever the trigger's push was to")
			return branch
		}
		otherwise = m[1]
	}
	repository := c.repositoryOf(a)
	pushed := `trigger.kind == "push"`
	switch {
	case local(url):
		pushed = `trigger.kind == "poll" && trigger.url == ` + strconv.Quote(url)
	case c.overridden(a, repository) == "" && !strings.Contains(repository, "${{"):
		pushed += ` && trigger.repository == ` + strconv.Quote(repository)
	}
	return "${{ " + pushed + ` ? "" : ` + otherwise + " }}"
}

var wholeExpression = regexp.MustCompile(`^\$\{\{ ([^{}]*) \}\}$`)

// filters are includes, and excludes with a "!" before each.
func filters(f cursor) []string {
	out := f.get("Includes").texts()
	excludes := f.get("Excludes").texts()
	if len(out) == 0 && len(excludes) > 0 {
		out = []string{"**"}
	}
	for _, e := range excludes {
		out = append(out, "!"+e)
	}
	for i := range out {
		out[i] = unmark(out[i])
	}
	return out
}

// hook is an AWS::CodePipeline::Webhook of the template.
type hook struct {
	cursor
	action string
}

// webhooks returns the push triggers for the webhooks that target the action.
func (c *conversion) webhooks(a *action, repository, branch string) []pipeline.Trigger {
	var out []pipeline.Trigger
	for _, h := range c.hooks {
		if h.action != a.name {
			continue
		}
		p := h.get("Properties")
		if local(repository) {
			h.leave(Info, "webhook of "+a.name, "a repository on this machine is polled")
			out = append(out, pollTrigger(repository, branch, nil))
			continue
		}
		t := &pipeline.PushTrigger{Repository: repository, Secret: c.hookSecret(p)}
		for _, f := range p.get("Filters").items() {
			path, match := f.get("JsonPath").static(), f.get("MatchEquals").static()
			ref := strings.ReplaceAll(match, "{Branch}", branch)
			switch {
			case path == "$.ref" && strings.HasPrefix(ref, "refs/heads/"):
				t.Branches = append(t.Branches, strings.TrimPrefix(ref, "refs/heads/"))
			case path == "$.ref" && strings.HasPrefix(ref, "refs/tags/"):
				t.Tags = append(t.Tags, strings.TrimPrefix(ref, "refs/tags/"))
			default:
				c.in.note(Warning, f.path, "filter "+path, "a push trigger filters by branch, tag and path only: this one starts on more than the original")
			}
		}
		p.get("RegisterWithThirdParty").leave(Info, "RegisterWithThirdParty", "set the repository's webhook to this server by hand")
		c.in.note(Info, h.path, "webhook of "+a.name, "set the repository's webhook to this server (`/hooks/github`) with the secret %s", t.Secret)
		out = append(out, pipeline.Trigger{Push: t})
	}
	return out
}

func (c *conversion) hookSecret(p cursor) string {
	token := p.get("AuthenticationConfiguration").get("SecretToken")
	if kind := p.get("Authentication").static(); kind != "GITHUB_HMAC" {
		c.in.note(Warning, p.get("Authentication").path, "Authentication "+kind, "deliveries have to be signed (GITHUB_HMAC)")
	}
	for _, m := range reference.FindAllStringSubmatch(token.text(), -1) {
		if name, ok := secretIn(m[1]); ok {
			return name
		}
	}
	return c.in.secretName("webhook", "the text that signs the repository's push webhook", token.path)
}

// conditions converts the conditions of a stage.
func (c *conversion) conditions(s cursor, stages []pipeline.Stage) {
	if f := s.get("OnFailure"); f.ok() {
		c.onFailure(f, stages)
	}
	if f := s.get("BeforeEntry"); f.ok() {
		for _, condition := range f.get("Conditions").items() {
			c.entryCondition(condition, stages)
		}
	}
	s.get("OnSuccess").leave(Error, "onSuccess conditions", "nothing is checked after a stage here: put the check into a stage of its own that the next one needs")
}

func (c *conversion) onFailure(f cursor, stages []pipeline.Stage) {
	result := f.get("Result")
	switch value := result.static(); value {
	case "RETRY":
		c.retries(f, stages)
	case "ROLLBACK":
		c.in.note(Error, result.path, "onFailure ROLLBACK", "the stage is not undone by itself: `showrunner rollback` returns a site or a cluster to its last good version (a `deploy` stage undoes its own failed waves)")
	case "SKIP":
		for i := range stages {
			stages[i].OnFailure = pipeline.Continue
		}
	case "FAIL", "":
		result.note(Info, "onFailure FAIL", "it is what a failed stage does by itself")
	default:
		c.in.note(Error, result.path, "onFailure "+value, "there is no such result: a failed stage ends the execution")
	}
	f.get("Conditions").leave(Error, "onFailure conditions", "they are not asked; the result applies to every failure")
}

// retries gives every stage of a group a second try, as CodePipeline does with
// the actions of a stage.
func (c *conversion) retries(f cursor, stages []pipeline.Stage) {
	mode := f.get("RetryConfiguration").get("RetryMode")
	switch value := mode.static(); value {
	case "FAILED_ACTIONS", "":
		mode.note(Info, "retryMode "+value, "a retry repeats the stage that failed, and nothing else")
	default:
		c.in.note(Warning, mode.path, "retryMode "+value, "only the stage that failed is tried again")
	}
	for i := range stages {
		switch {
		case stages[i].Kind == "approval":
			c.in.note(Info, f.path, "onFailure RETRY of "+stages[i].Name, "an approval that was refused is not asked for again")
		case stages[i].Retry != nil:
			c.in.note(Warning, f.path, "onFailure RETRY of "+stages[i].Name, "its project asks for %d tries of its own: the two are not multiplied", stages[i].Retry.Attempts)
		default:
			stages[i].Retry = &pipeline.Retry{Attempts: 1}
		}
	}
}

// entryCondition converts VariableCheck; where the result is SKIP, it becomes
// `when`.
func (c *conversion) entryCondition(condition cursor, stages []pipeline.Stage) {
	result := condition.get("Result").static()
	var checks []string
	for _, r := range condition.get("Rules").items() {
		kind := r.get("RuleTypeId")
		provider := kind.get("Provider").static()
		if provider == "VariableCheck" && result == "SKIP" {
			if expression, ok := c.variableCheck(r.get("Configuration")); ok {
				kind.markRead()
				r.get("Name").note(Info, "rule "+r.get("Name").static(), "a condition has no name here")
				checks = append(checks, expression)
				continue
			}
		}
		r.leave(Error, "beforeEntry rule "+r.get("Name").static()+" ("+provider+")", "%s", ruleAdvice(provider))
	}
	if len(checks) == 0 {
		condition.get("Result").note(Info, "result "+result, "it goes with the checks, which are left out")
		return
	}
	for i := range stages {
		all := checks
		if stages[i].When != "" {
			all = append([]string{stages[i].When}, checks...)
		}
		stages[i].When = strings.Join(all, " && ")
	}
}

func ruleAdvice(provider string) string {
	const unguarded = "the stage starts without this check: "
	switch provider {
	case "DeploymentWindow":
		return unguarded + "give it `windows:` with days, from, to and zone"
	case "CloudWatchAlarm":
		return unguarded + "a `webhook` stage before it can ask the alarm"
	case "VariableCheck":
		return unguarded + "a `run` stage before it can compare the value and fail"
	}
	return unguarded + "put it into a stage of its own before this one"
}

// variableCheck is the expression for a VariableCheck rule.
func (c *conversion) variableCheck(config cursor) (string, bool) {
	m := variable.FindStringSubmatch(config.get("Variable").text())
	want, operator := config.get("Value").static(), config.get("Operator").static()
	if m == nil {
		return "", false
	}
	value, ok := c.variable(m[1], m[2], config.get("Variable").path)
	if !ok {
		return "", false
	}
	left := expressionOf(value)
	right := fmt.Sprintf("%q", want)
	switch operator {
	case "EQ", "":
		return left + " == " + right, true
	case "NE":
		return left + " != " + right, true
	case "CONTAINS":
		return left + " contains " + right, true
	case "MATCHES":
		if _, err := regexp.Compile(want); err == nil {
			return left + " matches " + right, true
		}
	}
	return "", false
}
