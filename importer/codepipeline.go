package importer

import (
	"encoding/json"
	"slices"
	"sort"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

// CodePipeline reads the output of `aws codepipeline get-pipeline`: the pipeline
// with its metadata, or the pipeline alone. It returns invalid for any other
// document.
func CodePipeline(src []byte, opts Options) (Result, error) {
	in := newInput(opts)
	v, err := parse(in.opts.File, src)
	if err != nil {
		return Result{}, err
	}
	top := in.root(v)
	def := top
	if p := top.get("pipeline"); p.ok() {
		def = p
		m := top.get("metadata")
		if arn := strings.Split(scalar(m.get("pipelineArn").raw), ":"); len(arn) == 6 {
			in.homeRegion = arn[3]
		}
		m.leave(Info, "metadata", "the address of the original and when it was changed; its region is taken where the pipeline names none")
	}
	if def.get("stages").raw == nil {
		return Result{}, problem.New(problem.Invalid, "import", "%s: no pipeline: it has no \"stages\"", in.opts.File).
			WithHelp("give what `aws codepipeline get-pipeline --name NAME` prints; for a template use `showrunner import cdk`")
	}
	projects, err := readProjects(in)
	if err != nil {
		return Result{}, err
	}
	name := def.get("name").static()
	c := &conversion{in: in, def: def, projects: projects, name: in.ownName(name, "pipeline", 63)}
	p := c.convert()
	def.unread(unreadPipeline)
	top.unread(unreadPipeline)
	app := applicationName(in, def.get("name").path, name)
	return finish(in, &pipeline.Document{Application: app, Pipelines: []pipeline.Pipeline{p}}, "codepipeline")
}

// conversion turns one CodePipeline pipeline into a pipeline of this program.
type conversion struct {
	in       *input
	def      cursor
	name     string // name of the pipeline in the file
	projects projects
	tmpl     *template
	hooks    []hook            // webhooks of the same template
	siblings map[string]string // pipelines of the same template: original name → name in the file

	out        pipeline.Pipeline
	stageNames map[string]bool
	artifacts  map[string]string    // CodePipeline's artifact → artifact in the file; "" when nothing makes it
	namespaces map[string]namespace // variable namespaces
	// projectVariables are the places of a project's variables, by name.
	projectVariables map[string]string
	referred         map[string]bool // namespaces that some variable refers to
	before           []string        // the stages that the next group has to wait for
	triggers         []cursor        // V2 triggers; when there are any, they replace default detection
}

// namespace is the action that sets the variables of a namespace.
type namespace struct {
	stage  string // the stage in the file
	action *action
}

// action is one CodePipeline action during its conversion.
type action struct {
	cursor
	name, stage     string // names in the original
	id              string // the stage in the file
	category, owner string
	provider        string
	runOrder        int
	config          cursor
	inputs          []cursor
	outputs         []cursor
	out             pipeline.Stage
}

func (c *conversion) convert() pipeline.Pipeline {
	c.stageNames, c.artifacts, c.namespaces = map[string]bool{}, map[string]string{}, map[string]namespace{}
	c.referred, c.projectVariables = map[string]bool{}, map[string]string{}
	c.out = pipeline.Pipeline{Name: c.name, Description: c.in.opts.Description, Concurrency: c.executionMode()}
	c.variables()
	c.triggers = c.def.get("Triggers").items()
	stages := c.def.get("Stages").items()
	actions := make([][]*action, len(stages))
	count := map[string]int{}
	for i, s := range stages {
		actions[i] = c.readActions(s)
		for _, a := range actions[i] {
			count[slug(a.name, "stage", 50)]++
		}
	}
	for i, s := range stages {
		for _, a := range actions[i] {
			id := slug(a.name, "stage", 50)
			if count[id] > 1 {
				id = slug(a.stage+"-"+a.name, "stage", 50)
			}
			a.id = unique(c.stageNames, id)
			if ns := a.get("Namespace").static(); ns != "" {
				c.namespaces[ns] = namespace{stage: a.id, action: a}
			}
		}
		c.stage(s, actions[i])
	}
	c.pushTriggers(actions)
	c.unusedNames(actions)
	if len(c.out.Stages) == 0 {
		c.in.note(Error, c.def.path, "pipeline "+c.name, "none of its actions has an equivalent here: the pipeline gets an approval stage instead, so that the file is valid")
		c.out.Stages = []pipeline.Stage{placeholderStage()}
	}
	c.neededParameters()
	return c.out
}

// unusedNames notes names of artifacts and namespaces that nothing refers to.
func (c *conversion) unusedNames(stages [][]*action) {
	taken := map[string]bool{}
	for _, a := range slices.Concat(stages...) {
		for _, i := range a.inputs {
			taken[i.get("Name").static()] = true
		}
	}
	for _, a := range slices.Concat(stages...) {
		for _, o := range a.outputs {
			if name := o.get("Name"); !taken[name.static()] {
				name.note(Info, "artifact "+name.static(), "no action takes it; here it is the artifact of stage %s", a.id)
			}
		}
		if ns := a.get("Namespace"); !c.referred[ns.static()] {
			ns.note(Info, "namespace "+ns.static(), "nothing refers to it")
		}
	}
}

// inputsLeft notes the input artifacts that an action's stage does not take.
func (c *conversion) inputsLeft(a *action) {
	takes := map[string]int{"build": len(a.inputs), "run": 1, "deploy-site": 1}[a.out.Kind]
	for i, input := range a.inputs {
		if i >= takes {
			input.leave(Info, "input artifact "+input.get("Name").static(), "a %s stage takes no such artifact", a.out.Kind)
		}
	}
}

func (c *conversion) executionMode() pipeline.Concurrency {
	mode := c.def.get("ExecutionMode")
	switch value := mode.static(); value {
	case "QUEUED":
		return pipeline.Queue
	case "PARALLEL":
		return pipeline.Parallel
	case "", "SUPERSEDED": // CodePipeline's default, and the only mode of V1
	default:
		c.in.note(Warning, mode.path, "executionMode "+value, "there is no such mode: taken as SUPERSEDED, which is the default")
	}
	return pipeline.Supersede
}

func (c *conversion) variables() {
	c.def.get("Name").markRead() // it gave the pipeline its name
	c.def.get("PipelineType").leave(Info, "pipelineType "+c.def.get("PipelineType").static(), "there is one type of pipeline here; what the type allows is carried over by itself")
	for _, v := range c.def.get("Variables").items() {
		p := pipeline.Parameter{Name: identifier(v.get("Name").static()), Description: v.get("Description").static()}
		if d := v.get("DefaultValue"); d.ok() {
			value := d.static()
			p.Default = &value
		} else {
			p.Required = true
		}
		c.out.Parameters = append(c.out.Parameters, p)
		c.in.carryParameter(c.name, p.Name, "variable "+v.get("Name").static(), v.path)
	}
}

// neededParameters adds parameters to the pipeline for template parameters that
// have no value. The template asked for them at deployment; here each execution
// asks for them at its start.
func (c *conversion) neededParameters() {
	if c.tmpl == nil {
		return
	}
	raw, _ := json.Marshal(c.out)
	names := make([]string, 0, len(c.in.openParameters))
	for name := range c.in.openParameters {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		id := identifier(name)
		if c.hasParameter(id) {
			c.in.askedParameters[name] = true
			continue
		}
		if !strings.Contains(string(raw), "parameters."+id) {
			continue
		}
		c.in.askedParameters[name] = true
		p := pipeline.Parameter{Name: id, Required: true}
		if def, ok := c.tmpl.parameters.vals[name].(*object); ok {
			p.Description = scalar(def.vals["Description"])
			if allowed, ok := def.vals["AllowedValues"].([]any); ok {
				for _, a := range allowed {
					p.Options = append(p.Options, scalar(a))
				}
			}
		}
		c.out.Parameters = append(c.out.Parameters, p)
		c.in.carryParameter(c.name, id, "parameter "+name+" of the template", pointer("/Parameters", name))
		c.in.note(Warning, pointer("/Parameters", name), "parameter "+name, "it has no value yet, so every execution asks for it: `showrunner run --param %s=VALUE`, or import again with --parameter %s=VALUE", id, name)
	}
}

func (c *conversion) hasParameter(name string) bool {
	for _, p := range c.out.Parameters {
		if p.Name == name {
			return true
		}
	}
	return false
}

func (c *conversion) readActions(s cursor) []*action {
	stage := s.get("Name").static()
	s.get("Name").note(Info, "stage "+stage, "a group of actions: their stages here follow each other by `needs`")
	var out []*action
	for _, item := range s.get("Actions").items() {
		kind := item.get("ActionTypeId")
		a := &action{
			cursor: item, stage: stage, name: item.get("Name").static(),
			category: kind.get("Category").static(), owner: kind.get("Owner").static(), provider: kind.get("Provider").static(),
			config: item.get("Configuration"), inputs: item.get("InputArtifacts").items(), outputs: item.get("OutputArtifacts").items(),
			runOrder: 1,
		}
		kind.get("Version").markRead() // the version of the configuration's form; each provider has had only one
		if n := item.get("RunOrder"); n.ok() {
			a.runOrder = n.number()
		}
		out = append(out, a)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].runOrder < out[j].runOrder })
	return out
}

// ActionDescription is the description of the stage that an action of this machine's
// endpoint has become.
func ActionDescription(action, stage string) string {
	return "Action " + action + " of stage " + stage
}

// DescribedAction is what ActionDescription was given; false for another description.
func DescribedAction(description string) (action, stage string, ok bool) {
	rest, is := strings.CutPrefix(description, "Action ")
	action, stage, ok = strings.Cut(rest, " of stage ")
	return action, stage, is && ok && !strings.Contains(action+stage, " ")
}

// stage converts one stage: its actions by run order, each group after the one
// before. A group without any converted action leaves no gap.
func (c *conversion) stage(s cursor, actions []*action) {
	first := len(c.out.Stages)
	for i := 0; i < len(actions); {
		order, group := actions[i].runOrder, []string(nil)
		for ; i < len(actions) && actions[i].runOrder == order; i++ {
			a := actions[i]
			a.out = pipeline.Stage{Name: a.id, Needs: append([]string(nil), c.before...)}
			if !c.action(a) {
				for _, o := range a.outputs {
					c.artifacts[o.get("Name").static()] = ""
				}
				if !slices.ContainsFunc(c.in.notes, func(n Note) bool { return n.Path == a.path && n.Severity == Error }) {
					c.in.note(Error, a.path, a.category+" action "+a.name, "the stage is left out")
				}
				a.ignore()
				continue
			}
			if a.out.Kind != "approval" { // the stage expires by itself
				if n := a.get("TimeoutInMinutes").count("timeoutInMinutes"); n > 0 {
					a.out.Timeout = pipeline.Duration(time.Duration(n) * time.Minute)
				}
			}
			c.inputsLeft(a)
			if c.in.opts.Here {
				a.out.Description = ActionDescription(a.name, a.stage)
			}
			c.out.Stages = append(c.out.Stages, a.out)
			c.in.carryStage(c.name, a.out, a.category+" action "+a.name+" ("+a.provider+") of stage "+a.stage, a.path)
			group = append(group, a.id)
		}
		if len(group) > 0 {
			c.before = group
		}
	}
	c.conditions(s, c.out.Stages[first:])
	c.blockers(s)
}

func (c *conversion) blockers(s cursor) {
	for _, b := range s.get("Blockers").items() {
		b.leave(Error, "blocker "+b.get("Name").static(), "a disabled transition is not carried over: stop the pipeline here with an approval stage")
	}
}

// action converts one action. It returns false when the action has no equivalent;
// the reason has been noted.
func (c *conversion) action(a *action) bool {
	provider := a.provider
	if a.owner == "Custom" {
		provider = "custom action " + provider // whatever its name
	}
	switch a.category + "/" + provider {
	case "Source/GitHub", "Source/CodeStarSourceConnection", "Source/CodeCommit", "Source/S3":
		return c.source(a)
	case "Build/CodeBuild", "Test/CodeBuild":
		return c.codeBuild(a)
	case "Compute/Commands", "Build/Commands", "Test/Commands":
		return c.commands(a)
	case "Deploy/S3":
		return c.deployS3(a)
	case "Approval/Manual":
		return c.approval(a)
	case "Invoke/CodePipeline":
		return c.invokePipeline(a)
	}
	if a.category == "Source" {
		if c.overridden(a, "") != "" {
			return c.source(a)
		}
		c.in.note(Error, a.path, "source "+a.name+" ("+a.provider+")", "no equivalent source: give a Git URL with --source-override %s=URL", a.name)
		return false
	}
	c.in.note(Error, a.path, a.category+" action "+a.name+" ("+a.provider+")", "%s", noEquivalent(a.category, a.provider))
	return false
}

// applicationName is the given name of the application, or a name made from the
// original's, with a note.
func applicationName(in *input, path, from string) string {
	if in.opts.Application != "" {
		return in.opts.Application
	}
	name := slug(from, "application", 40)
	for _, suffix := range []string{"-stack", "-pipeline"} {
		if trimmed := strings.TrimSuffix(name, suffix); trimmed != "" {
			name = trimmed
		}
	}
	in.note(Info, path, "application "+name, "the original has no applications: the name is made from %q; --application gives another", from)
	return name
}
