package importer

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"showrunner/chaos/document"
	"showrunner/problem"
)

// FISOptions say what a template does not.
type FISOptions struct {
	Cluster     string // that the actions hit, unless a target names one
	Region      string // of targets without an ARN
	Application string // of the experiment
}

// FISResult is a template of AWS FIS as an experiment.
type FISResult struct {
	// YAML is the experiment, with the actions that were carried over.
	YAML []byte `json:"-"`
	// Carried says what each action and stop condition became.
	Carried []string `json:"carried"`
	// Refused says what has no equivalent, with its line.
	Refused []document.Problem `json:"refused"`
	// Notes say what has another meaning, or none.
	Notes []string `json:"notes"`
}

// fisTemplate is the shape of a template, as GetExperimentTemplate and CloudFormation's
// properties have it.
type fisTemplate struct {
	Description    string               `json:"description"`
	Targets        map[string]fisTarget `json:"targets"`
	Actions        map[string]fisAction `json:"actions"`
	StopConditions []fisStop            `json:"stopConditions"`

	ID            string            `json:"id"`
	ARN           string            `json:"arn"`
	RoleArn       string            `json:"roleArn"`
	Tags          map[string]string `json:"tags"`
	Log           any               `json:"logConfiguration"`
	Report        any               `json:"experimentReportConfiguration"`
	Options       *fisOptions       `json:"experimentOptions"`
	ClientToken   string            `json:"clientToken"`
	Created       any               `json:"creationTime"`
	Updated       any               `json:"lastUpdateTime"`
	AccountsCount int               `json:"targetAccountConfigurationsCount"`
}

type fisOptions struct {
	Accounts string `json:"accountTargeting"`
	Empty    string `json:"emptyTargetResolutionMode"`
	Mode     string `json:"actionsMode"`
}

type fisTarget struct {
	ResourceType  string            `json:"resourceType"`
	ResourceArns  []string          `json:"resourceArns"`
	ResourceTags  map[string]string `json:"resourceTags"`
	Parameters    map[string]string `json:"parameters"`
	Filters       []fisFilter       `json:"filters"`
	SelectionMode string            `json:"selectionMode"`
}

type fisFilter struct {
	Path   string   `json:"path"`
	Values []string `json:"values"`
}

type fisAction struct {
	ActionID    string            `json:"actionId"`
	Description string            `json:"description"`
	Parameters  map[string]string `json:"parameters"`
	Targets     map[string]string `json:"targets"`
	StartAfter  []string          `json:"startAfter"`
}

type fisStop struct {
	Source string `json:"source"`
	Value  string `json:"value"`
}

// fisImport is one import under way.
type fisImport struct {
	FISOptions
	doc      *document.Document
	root     string // the place of the template
	template fisTemplate
	r        FISResult
	names    map[string][]string // of the steps that an action became
}

// FIS turns a template of AWS FIS into an experiment. Everything that has no equivalent is
// in Refused, and the experiment lacks it. Errors: invalid, with every line that is no
// template.
func FIS(text []byte, o FISOptions) (FISResult, error) {
	doc, err := document.Parse(text)
	if err != nil {
		return FISResult{}, err
	}
	i := &fisImport{FISOptions: o, doc: doc, names: map[string][]string{}, r: FISResult{Carried: []string{}, Refused: []document.Problem{}, Notes: []string{}}}
	root := doc.Root
	if inner, ok := root["experimentTemplate"].(map[string]any); ok && len(root) == 1 {
		root, i.root = inner, "experimentTemplate"
	}
	problems := doc.Decode(i.root, root, &i.template)
	if len(i.template.Actions) == 0 {
		problems = append(problems, document.Problem{Line: doc.Line(i.root), Place: i.root, Message: "a template of AWS FIS has actions", Help: "give what aws fis get-experiment-template prints"})
	}
	if _, given := root["stopConditions"]; !given {
		problems = append(problems, document.Problem{Line: doc.Line(i.root), Place: i.root, Message: "stopConditions is missing", Help: `[{"source": "none"}] for none`})
	}
	if len(problems) > 0 {
		return FISResult{}, document.Invalid(problems)
	}
	steps, err := i.steps()
	if err != nil {
		return FISResult{}, err
	}
	return i.r, i.write(steps)
}

func (i *fisImport) at(parts ...string) string {
	place := i.root
	for _, p := range parts {
		place = document.Member(place, p)
	}
	return place
}

func (i *fisImport) refuse(place, help, format string, args ...any) {
	i.r.Refused = append(i.r.Refused, document.Problem{Line: i.doc.Line(place), Place: place, Message: fmt.Sprintf(format, args...), Help: help})
}

func (i *fisImport) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(i.r.Notes, n) {
		i.r.Notes = append(i.r.Notes, n)
	}
}

// steps are the actions in an order in which each comes after those that it waits for.
func (i *fisImport) steps() ([]any, error) {
	var steps []any
	done := map[string]bool{}
	for len(done) < len(i.template.Actions) {
		progress := false
		for _, name := range slices.Sorted(maps.Keys(i.template.Actions)) {
			a := i.template.Actions[name]
			waits := func(before string) bool { _, known := i.template.Actions[before]; return known && !done[before] }
			if done[name] || slices.ContainsFunc(a.StartAfter, waits) {
				continue
			}
			done[name], progress = true, true
			for n, before := range a.StartAfter {
				if _, known := i.template.Actions[before]; !known {
					place := fmt.Sprintf("%s[%d]", i.at("actions", name, "startAfter"), n)
					return nil, document.Invalid([]document.Problem{{Line: i.doc.Line(place), Place: place, Message: fmt.Sprintf("there is no action %q", before)}})
				}
			}
			steps = append(steps, i.action(name, a)...)
		}
		if !progress {
			return nil, document.Invalid([]document.Problem{{Line: i.doc.Line(i.at("actions")), Place: i.at("actions"), Message: "actions wait for each other in a circle"}})
		}
	}
	return steps, nil
}

// after are the steps that an action waits for. One that waits for an action that was
// refused waits for those that that one waited for.
func (i *fisImport) after(a fisAction) []string {
	list := []string{}
	for _, before := range a.StartAfter {
		names := i.names[before]
		if len(names) == 0 {
			names = i.after(i.template.Actions[before])
		}
		for _, n := range names {
			if !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list
}

// action is what one action becomes.
func (i *fisImport) action(name string, a fisAction) []any {
	what := i.translate(name, a)
	var steps []any
	for n, one := range what {
		step := map[string]any{"name": name, "after": i.after(a)}
		if len(what) > 1 {
			step["name"] = fmt.Sprintf("%s-%d", name, n+1)
		}
		maps.Copy(step, one)
		steps = append(steps, step)
		i.names[name] = append(i.names[name], step["name"].(string))
		i.r.Carried = append(i.r.Carried, fmt.Sprintf("%s (%s): %s", name, a.ActionID, describeStep(one)))
	}
	return steps
}

func describeStep(step map[string]any) string {
	for kind, v := range step {
		if m, ok := v.(map[string]any); ok {
			if k, ok := m["kind"]; ok {
				return fmt.Sprintf("%s %v", kind, k)
			}
		}
		return kind
	}
	return ""
}

// write makes the file.
func (i *fisImport) write(steps []any) error {
	file := map[string]any{"experiment": firstOf(i.template.Description, i.template.ID, "imported from AWS FIS")}
	if i.Application != "" {
		file["application"] = i.Application
	}
	if i.template.Tags["Name"] != "" {
		file["experiment"], file["description"] = i.template.Tags["Name"], i.template.Description
	}
	var stops []any
	for n, s := range i.template.StopConditions {
		at := fmt.Sprintf("%s[%d]", i.at("stopConditions"), n)
		_, alarm, ok := strings.Cut(s.Value, ":alarm:")
		switch {
		case s.Source == "none":
		case s.Source == "aws:cloudwatch:alarm" && ok && alarm != "":
			stops = append(stops, map[string]any{"alarm": alarm})
			i.r.Carried = append(i.r.Carried, "stop condition "+s.Value+": alarm "+alarm)
		case s.Source == "aws:cloudwatch:alarm":
			i.refuse(at+".value", "arn:aws:cloudwatch:REGION:ACCOUNT:alarm:NAME", "%q is no ARN of an alarm", s.Value)
		default:
			i.refuse(at+".source", "none or aws:cloudwatch:alarm", "a stop condition of the source %q is not known", s.Source)
		}
	}
	if stops != nil {
		file["stopConditions"] = stops
	}
	file["method"] = steps
	i.rest()
	if len(steps) == 0 {
		return nil
	}
	var out bytes.Buffer
	w, err := yaml.NewDumper(&out, yaml.WithV4Defaults())
	if err == nil {
		err = w.Dump(file)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return problem.Wrap(err, problem.Internal, "import.fis", "writing the experiment")
	}
	i.r.YAML = out.Bytes()
	return nil
}

// rest notes what of the template has no meaning here.
func (i *fisImport) rest() {
	t := i.template
	if t.RoleArn != "" {
		i.note("roleArn: the control plane needs no role")
	}
	if t.Log != nil || t.Report != nil {
		i.note("logConfiguration and experimentReportConfiguration: the journal is in showrunner chaos experiment show")
	}
	if o := t.Options; o != nil {
		if o.Accounts == "multi-account" || t.AccountsCount > 0 {
			i.refuse(i.at("experimentOptions"), "", "targets in several accounts are not supported")
		}
		if o.Empty == "skip" {
			i.refuse(i.at("experimentOptions", "emptyTargetResolutionMode"), "fail is what happens here", "an action without a target is not skipped")
		}
		if o.Mode == "skip-all" {
			i.refuse(i.at("experimentOptions", "actionsMode"), "showrunner chaos monkey eligible shows targets", "actions cannot be skipped to preview targets")
		}
	}
	i.note("targets are resolved when an action begins, not once for all")
	used := map[string]bool{}
	for _, a := range t.Actions {
		for _, target := range a.Targets {
			used[target] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Targets)) {
		if !used[name] {
			i.note("target %s: no action has it", name)
		}
	}
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
