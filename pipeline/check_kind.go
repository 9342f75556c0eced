package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// kindRules checks the configuration of stage i beyond its types.
func (c *checks) kindRules(i int, s *stageOrigin) {
	switch v := s.config.Interface().(type) {
	case Git:
		c.plainCredentials(v.Credentials, s.with, "credentials")
		c.repositoryRule(find(s.with, "url"), v.URL)
	case Build:
		c.buildRules(i, s, v)
	case Run:
		c.artifactRef(i, v.Artifact, s.with, "artifact")
	case DeploySite:
		c.artifactRef(i, v.Artifact, s.with, "artifact")
		c.waves(s.with, v.Account, v.Waves)
	case Deploy:
		c.deployRules(i, s, v)
	case Experiment:
		c.experimentRules(i, s, v)
	case Approval:
		c.approvalRules(s, v)
	case Webhook:
		if v.Body != "" && (v.Method == "GET" || v.Method == "HEAD") {
			c.warn(find(s.with, "body"), CodeConflict, "%s sends a body with %s, which most servers ignore", c.where, v.Method)
		}
		if v.Secret != "" && !hasExpression(v.Secret) {
			c.plainSecret(find(s.with, "secret"), "secret")
		}
	case Call:
		c.callRules(s, v)
	case Rollback:
		c.accountRule(s.with, v.Account)
		for r, region := range v.Regions {
			c.regionRule(s.with, v.Account, region, "regions", r)
		}
	}
}

// approvalRules refuses what nobody can satisfy: whoever holds the control plane's
// token is its owner, and no other person is known to it.
func (c *checks) approvalRules(s *stageOrigin, v Approval) {
	const owner = "a control plane knows one person so far, its owner: whoever holds the token decides"
	if n := find(s.with, "approvers"); n != find(s.with) {
		named := ""
		if len(v.Approvers) > 0 {
			named = " (" + strings.Join(v.Approvers, ", ") + ")"
		}
		c.reportWith(n, Diagnostic{Code: CodeValue, Message: fmt.Sprintf("%s names approvers%s, and nobody can approve under such a name", c.where, named), Help: owner + "; leave approvers out"})
	}
	if v.Minimum > 1 {
		c.reportWith(find(s.with, "minimum"), Diagnostic{Code: CodeValue, Message: fmt.Sprintf("%s asks for %d approvals, and there is nobody for the second", c.where, v.Minimum), Help: owner + "; leave minimum out"})
	}
	if v.ForbidSelf {
		c.reportWith(find(s.with, "forbidSelf"), Diagnostic{Severity: SeverityWarning, Code: CodeValue,
			Message: fmt.Sprintf("%s cannot be approved in a run that the owner starts by hand", c.where), Help: owner})
	}
}

func (c *checks) buildRules(i int, s *stageOrigin, b Build) {
	if b.Privileged && b.Image == "" {
		c.report(find(s.with, "privileged"), CodeConflict, "%s is privileged without an image; only containers can be", c.where)
	}
	if b.Inline != "" {
		c.inlineBuildspec(b.Inline, find(s.with, "inline"))
	}
	for _, id := range sortedKeys(b.Sources) {
		c.artifactRef(i, b.Sources[id], s.with, "sources", id)
	}
	if b.Source != "" {
		c.artifactRef(i, b.Source, s.with, "source")
		return
	}
	if !c.whole || c.needsUnknown(i) {
		return // what is wrong with needs was reported
	}
	candidates := c.makers(c.graph.needs[i])
	if len(candidates) == 0 {
		candidates = c.makers(c.graph.upstream(i))
	}
	switch {
	case len(candidates) > 1:
		c.reportWith(s.key, Diagnostic{Code: CodeAmbiguous, Help: "set `source`",
			Message: fmt.Sprintf("%s could build %s", c.where, quoted(candidates, " or "))})
	case len(candidates) == 0 && b.Inline == "":
		c.reportWith(s.key, Diagnostic{Code: CodeRequired, Help: "let it need a git stage",
			Message: fmt.Sprintf("%s has no source: nothing upstream of it makes an artifact", c.where)})
	}
}

// makers lists the stages among some that make artifacts.
func (c *checks) makers(positions []int) []string {
	var names []string
	for _, j := range positions {
		if c.at.stages[j].kind.Artifacts {
			names = append(names, c.graph.stages[j].Name)
		}
	}
	return names
}

func quoted(names []string, separator string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(q, separator)
}

// artifactRef checks a reference to an artifact of an upstream stage.
func (c *checks) artifactRef(i int, name string, with *yaml.Node, path ...any) {
	if name == "" || hasExpression(name) || formats["artifact"].accepts(name) != nil {
		return
	}
	if f := c.artifactFault(i, name); f != nil {
		c.reportWith(find(with, path...), Diagnostic{Code: f.code, Message: fmt.Sprintf("%s: %s", c.where, f.message), Suggestion: f.suggestion})
	}
}

func (c *checks) artifactFault(i int, name string) *fault {
	stage, id, secondary := strings.Cut(name, ".")
	j, ok := c.graph.index[stage]
	if !ok {
		return &fault{code: CodeUnknownArtifact, message: fmt.Sprintf("there is no stage %q that could make the artifact %q", stage, name),
			suggestion: c.nearest(stage, c.names)}
	}
	kind := c.at.stages[j].kind
	switch {
	case kind.Name == "":
		return nil // that stage was refused
	case !kind.Artifacts:
		return &fault{code: CodeUnknownArtifact, message: fmt.Sprintf("stage %q is of kind %s, which makes no artifact", stage, kind.Name)}
	case secondary && !kind.Secondary:
		return &fault{code: CodeUnknownArtifact, message: fmt.Sprintf("stage %q is of kind %s, which makes no artifact %q beside its own", stage, kind.Name, id), suggestion: stage}
	}
	return c.notUpstream(i, j)
}

// needsUnknown tells whether something is wrong with what stage i needs.
func (c *checks) needsUnknown(i int) bool {
	s := c.at.stages[i]
	return s.misspelt || len(s.stage.Needs) != len(c.graph.needs[i])
}

// upstreamUnknown is needsUnknown of stage i or of any stage upstream of it.
func (c *checks) upstreamUnknown(i int) bool {
	return c.needsUnknown(i) || slices.ContainsFunc(c.graph.upstream(i), c.needsUnknown)
}

// notUpstream is the fault when stage j has not ended when stage i starts.
func (c *checks) notUpstream(i, j int) *fault {
	if !c.whole || i != j && c.graph.upstreamOf(i, j) {
		return nil
	}
	name := c.graph.stages[j].Name
	if i != j && c.upstreamUnknown(i) {
		return nil // what is wrong with needs was reported
	}
	if i == j {
		return &fault{code: CodeNotUpstream, message: fmt.Sprintf("stage %q refers to itself", name)}
	}
	return &fault{code: CodeNotUpstream, message: fmt.Sprintf("stage %q is not upstream: add %q to needs", name, name)}
}

func (c *checks) waves(with *yaml.Node, account string, waves []Wave) {
	c.accountRule(with, account)
	seen := map[string]int{}
	for w, wave := range waves {
		for r, region := range wave.Regions {
			if hasExpression(region) {
				continue
			}
			c.regionRule(with, account, region, "waves", w, "regions", r)
			if first, ok := seen[region]; ok && first != w {
				c.report(find(with, "waves", w, "regions", r), CodeDuplicateKey, "%s names the region %q in waves %d and %d", c.where, region, first+1, w+1)
			}
			seen[region] = w
		}
	}
}

func (c *checks) deployRules(i int, s *stageOrigin, v Deploy) {
	c.artifactRef(i, v.Artifact, s.with, "artifact")
	c.waves(s.with, v.Account, v.Waves)
	c.cloudRule(s.with, v)
	app := c.doc.Application
	if v.Cluster != "" && formats["application"].accepts(app) == nil && !hasExpression(v.Cluster) && v.Cluster != app && !strings.HasPrefix(v.Cluster, app+"-") {
		c.reportWith(find(s.with, "cluster"), Diagnostic{Severity: SeverityWarning, Code: CodeName, Suggestion: clusterFor(app, v.Cluster),
			Message: fmt.Sprintf("the cluster %q does not start with its application, %q", v.Cluster, app)})
	}
	c.capacity(s.with, v.Capacity)
	c.scaling(s.with, v.Scaling)
	if v.Strategy.Canary != nil && v.Strategy.Canary.Judge != nil {
		c.judge(func(name string) *yaml.Node { return find(s.with, "strategy", "canary", "judge", name) }, *v.Strategy.Canary.Judge)
	}
	if v.Strategy.Canary != nil && v.Strategy.Canary.Analysis != nil {
		c.analysis(s.with, *v.Strategy.Canary.Analysis)
	}
	if m := v.Maintenance; m != nil && m.MaxHealthy-m.MinHealthy > 100 {
		c.report(find(s.with, "maintenance", "maxHealthy"), CodeValue, "maintenance of %s: maxHealthy %d is more than 100 above minHealthy %d", c.where, m.MaxHealthy, m.MinHealthy)
	}
	c.ownVariables(s.with, v.Env)
}

// ownVariables refuses variables that every instance is given.
func (c *checks) ownVariables(with *yaml.Node, env map[string]string) {
	for _, name := range sortedKeys(env) {
		if name == "HOST" || name == "PORT" || strings.HasPrefix(name, "SHOWRUNNER_") {
			c.report(find(with, "env", name), CodeConflict, "%s sets %s, which every instance is given", c.where, name)
		}
	}
}

// judge checks a judge, whose fields are at a place each.
func (c *checks) judge(at func(name string) *yaml.Node, j Judge) {
	if j.PassErrorRatio > 0 && j.MaxErrorRate > 0 && j.MaxErrorRatio == 0 {
		c.report(at("passErrorRatio"), CodeConflict, "the judge of %s has maxErrorRate, which compares with no other version: add maxErrorRatio, which passErrorRatio goes with", c.where)
		return
	}
	limit := j.MaxErrorRatio
	if limit == 0 {
		limit = 1
	}
	if j.PassErrorRatio > 0 && j.PassErrorRatio <= limit {
		c.report(at("passErrorRatio"), CodeValue, "the judge of %s: passErrorRatio %v has to be above maxErrorRatio, which is %v", c.where, j.PassErrorRatio, limit)
	}
}

// analysis checks the rules over several fields of an analysis.
func (c *checks) analysis(with *yaml.Node, a Analysis) {
	at := func(path ...any) *yaml.Node {
		return find(with, append([]any{"strategy", "canary", "analysis"}, path...)...)
	}
	if len(a.Metrics) == 0 && at("metrics") != nil {
		c.report(at("metrics"), CodeRequired, "the analysis of %s has no metrics", c.where)
	}
	// The defaults are filled in when a stage begins.
	a.Pass, a.Marginal, a.MinPoints = cmp.Or(a.Pass, 95), cmp.Or(a.Marginal, 75), cmp.Or(a.MinPoints, 10)
	a.Step, a.Interval = cmp.Or(a.Step, Duration(5*time.Second)), cmp.Or(a.Interval, Duration(30*time.Second))
	if a.Marginal > a.Pass {
		c.report(cmp.Or(at("marginal"), at("pass")), CodeValue, "the analysis of %s: marginal %v is above pass %v", c.where, a.Marginal, a.Pass)
	}
	if a.Step > a.Interval {
		c.report(cmp.Or(at("step"), at("interval")), CodeValue, "the analysis of %s: the step %s is longer than the interval %s", c.where, a.Step, a.Interval)
	}
	if a.Lookback > 0 && int(a.Lookback/a.Step)+1 < a.MinPoints {
		c.report(at("lookback"), CodeValue, "the analysis of %s: a lookback of %s has fewer than the %d points that a verdict needs at a step of %s", c.where, a.Lookback, a.MinPoints, a.Step)
	}
	if a.Source != nil && a.Source.Token != "" && !hasExpression(a.Source.Token) {
		c.plainSecret(at("source", "token"), "token of the metrics' source")
	}
	var names []string
	for i, m := range a.Metrics {
		if m.Name != "" && slices.Contains(names, m.Name) {
			c.report(at("metrics", i, "name"), CodeDuplicateKey, "the analysis of %s has two metrics named %q", c.where, m.Name)
		}
		names = append(names, m.Name)
		if counts := m.Requests != "" || m.Errors != ""; counts == (m.Query != "") || counts && (m.Requests == "" || m.Errors == "") {
			c.report(at("metrics", i), CodeOneOf, "metric %q of %s has either a query, or requests and errors", m.Name, c.where)
		}
	}
}

// clusterFor is a cluster of the application that keeps the words of another name; "" when there is none.
func clusterFor(app, cluster string) string {
	if name := app + "-" + cluster; formats["cluster"].accepts(name) == nil {
		return name
	}
	return ""
}

func (c *checks) capacity(with *yaml.Node, v Capacity) {
	if n := find(with, "capacity"); n == nil || n.Kind != yaml.MappingNode {
		return // refused already
	}
	for _, key := range []string{"min", "desired", "max"} {
		n := find(with, "capacity", key)
		if n == nil || n.Tag != "!!int" {
			return // refused, or known only at run time
		}
	}
	switch {
	case v.Min > v.Desired:
		c.report(find(with, "capacity", "min"), CodeValue, "capacity of %s: min %d is above desired %d", c.where, v.Min, v.Desired)
	case v.Desired > v.Max:
		c.report(find(with, "capacity", "desired"), CodeValue, "capacity of %s: desired %d is above max %d", c.where, v.Desired, v.Max)
	case v.Max == 0:
		c.report(find(with, "capacity", "max"), CodeValue, "capacity of %s: max must be at least 1", c.where)
	}
}

func (c *checks) scaling(with *yaml.Node, policies []ScalingPolicy) {
	var names []string
	for i, p := range policies {
		at := func(path ...any) *yaml.Node { return find(with, append([]any{"scaling", i}, path...)...) }
		if slices.Contains(names, p.Name) {
			c.report(at("name"), CodeDuplicateKey, "%s has two scaling policies named %q", c.where, p.Name)
		}
		names = append(names, p.Name)
		switch {
		case p.Target != nil && p.Target.Value == 0 && at("target", "value").Tag == "!!int":
			c.report(at("target", "value"), CodeValue, "scaling policy %q of %s: the value must be above 0", p.Name, c.where)
		case p.Step != nil:
			c.stepRules(p, at)
		case p.Schedule != nil && p.Schedule.Min == nil && p.Schedule.Max == nil && p.Schedule.Desired == nil:
			c.report(at("schedule"), CodeOneOf, "scaling policy %q of %s sets none of min, max and desired", p.Name, c.where)
		}
	}
}

func (c *checks) stepRules(p ScalingPolicy, at func(...any) *yaml.Node) {
	if p.Step.MinChange > 0 && p.Step.Adjustment != "percent" {
		c.report(at("step", "minChange"), CodeConflict, "scaling policy %q of %s: minChange goes with adjustment: percent", p.Name, c.where)
	}
	for i, s := range p.Step.Steps {
		if s.Lower != nil && s.Upper != nil && *s.Lower >= *s.Upper {
			c.report(at("step", "steps", i), CodeValue, "scaling policy %q of %s: step %d has lower %v, which is not below upper %v", p.Name, c.where, i+1, *s.Lower, *s.Upper)
		}
		for j, t := range p.Step.Steps[:i] {
			if below(s.Lower, t.Upper) && below(t.Lower, s.Upper) {
				c.report(at("step", "steps", i), CodeValue, "scaling policy %q of %s: steps %d and %d overlap", p.Name, c.where, j+1, i+1)
				break
			}
		}
	}
}

// below tells whether a lower bound is under an upper one; nil is infinite.
func below(lower, upper *float64) bool { return lower == nil || upper == nil || *lower < *upper }

func (c *checks) callRules(s *stageOrigin, v Call) {
	if v.Pipeline == "" || v.Application != "" && v.Application != c.doc.Application {
		return // another application's pipelines are not known here
	}
	o := c.knownPipeline(find(s.with, "pipeline"), v.Pipeline)
	if o == nil {
		return
	}
	for _, name := range sortedKeys(v.Parameters) {
		c.given(o, name, v.Parameters[name], func() *yaml.Node { return find(s.with, "parameters", name) })
	}
	for _, p := range o.pipeline.Parameters {
		if _, ok := v.Parameters[p.Name]; p.Required && !ok {
			c.report(find(s.with, "pipeline"), CodeRequired, "%s does not give the parameter %q, which pipeline %q requires", c.where, p.Name, v.Pipeline)
		}
	}
}

// plainCredentials warns of secrets that stand in the file.
func (c *checks) plainCredentials(v *Credentials, n *yaml.Node, path ...any) {
	if v == nil {
		return
	}
	if v.Password != "" && !hasExpression(v.Password) {
		c.plainSecret(find(n, append(path, "password")...), "password")
	}
	if v.SSHKey != "" && !hasExpression(v.SSHKey) {
		c.plainSecret(find(n, append(path, "sshKey")...), "sshKey")
	}
}

func (c *checks) plainSecret(n *yaml.Node, what string) {
	diag := Diagnostic{Severity: SeverityWarning, Code: CodeSecret, Message: fmt.Sprintf("the %s of %s stands in the file", what, c.where),
		Help: "store it with `showrunner secret set NAME` and write ${{ secrets.NAME }}"}
	c.reportWith(n, diag)
}
