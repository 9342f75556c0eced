package execution

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"showrunner/internal/execid"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// planVersion is the version of the persisted form of plans.
const planVersion = 1

// storedPlan is a definition as it is kept, once for all executions that share it.
type storedPlan struct {
	V          int               `json:"v"`
	Definition pipeline.Pipeline `json:"definition"`
	Kinds      map[string]int    `json:"kinds"` // kind → version when the execution started
}

// plan is a definition made ready for decisions. It never changes.
type plan struct {
	digest string
	def    *pipeline.Pipeline
	index  map[string]int
	stages []planStage
}

// planStage is one stage of a plan; needs and dependents are indexes.
type planStage struct {
	def        *pipeline.Stage
	needs      []int
	dependents []int
	tasks      []string      // empty: this process does not know the kind, or not in that version
	timeout    time.Duration // of one attempt
	unknown    string        // why tasks is empty, for people
	mentions   []string      // stages whose names occur in the configuration or the condition
	mark       uint32        // 16 bits that no other stage of the pipeline has
}

// defaultTimeout ends an attempt whose definition and kind set none: nothing stays for ever.
const defaultTimeout = 7 * 24 * time.Hour

// Timeouter is implemented by kinds with a default timeout of their own.
type Timeouter interface{ Timeout() time.Duration }

// kinds is the registry of stage kinds by name.
type kinds map[string]registered

type registered struct {
	kind  stage.Kind
	tasks []stage.Task
	names []string
}

func newKinds(list []stage.Kind) (kinds, error) {
	ks := kinds{}
	for _, k := range list {
		if _, ok := ks[k.Name()]; ok {
			return nil, problem.New(problem.Invalid, "execution.new", "stage kind %q is registered twice", k.Name())
		}
		r := registered{kind: k, tasks: k.Tasks()}
		if len(r.tasks) == 0 {
			return nil, problem.New(problem.Invalid, "execution.new", "stage kind %q has no tasks", k.Name())
		}
		for _, t := range r.tasks {
			r.names = append(r.names, t.Name)
		}
		ks[k.Name()] = r
	}
	return ks, nil
}

// encodePlan returns the persisted form of a definition and its digest.
func encodePlan(def pipeline.Pipeline, ks kinds) (digest string, data []byte, err error) {
	versions := map[string]int{}
	for _, s := range def.Stages {
		if r, ok := ks[s.Kind]; ok {
			versions[s.Kind] = r.kind.Version()
		}
	}
	data, err = json.Marshal(storedPlan{V: planVersion, Definition: def, Kinds: versions})
	if err != nil {
		return "", nil, problem.Wrap(err, problem.Invalid, "execution.start", "the definition of pipeline %q cannot be kept", def.Name)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]), data, nil
}

// decodePlan is the reverse of encodePlan.
func decodePlan(digest string, data []byte, ks kinds) (*plan, error) {
	var p storedPlan
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "execution.load", "the kept definition %s is damaged", digest)
	}
	if p.V > planVersion {
		return nil, problem.New(problem.Precondition, "execution.load", "the definition %s was written by a newer version of showrunner", digest)
	}
	return compilePlan(digest, &p.Definition, p.Kinds, ks)
}

// compilePlan checks that the stages are a graph and resolves their names.
func compilePlan(digest string, def *pipeline.Pipeline, versions map[string]int, ks kinds) (*plan, error) {
	p := &plan{digest: digest, def: def, index: make(map[string]int, len(def.Stages)), stages: make([]planStage, len(def.Stages))}
	invalid := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "execution.plan", "pipeline %q: "+format, append([]any{def.Name}, args...)...)
	}
	for i := range def.Stages {
		s := &def.Stages[i]
		if _, ok := p.index[s.Name]; ok || s.Name == "" {
			return nil, invalid("stage name %q is empty or used twice", s.Name)
		}
		p.index[s.Name] = i
		p.stages[i] = compileStage(s, versions, ks)
	}
	for i := range p.stages {
		seen := map[int]bool{}
		for _, name := range p.stages[i].def.Needs {
			n, ok := p.index[name]
			if !ok {
				return nil, invalid("stage %q needs %q, which does not exist", p.stages[i].def.Name, name)
			}
			if seen[n] {
				continue
			}
			seen[n] = true
			p.stages[i].needs = append(p.stages[i].needs, n)
			p.stages[n].dependents = append(p.stages[n].dependents, i)
		}
	}
	names := make([]string, len(def.Stages))
	for i := range p.stages {
		p.stages[i].mentions = p.mentioned(i)
		names[i] = def.Stages[i].Name
	}
	for i, mark := range execid.Marks(names) {
		p.stages[i].mark = mark
	}
	if name, ok := p.cyclic(); ok {
		return nil, invalid("stage %q waits for itself through its needs", name)
	}
	return p, nil
}

func compileStage(s *pipeline.Stage, versions map[string]int, ks kinds) planStage {
	ps := planStage{def: s, timeout: time.Duration(s.Timeout)}
	r, ok := ks[s.Kind]
	switch {
	case !ok:
		ps.unknown = "no replica that runs now knows the stage kind " + s.Kind
	case versions[s.Kind] > r.kind.Version():
		ps.unknown = "stage kind " + s.Kind + " was planned by a newer version of showrunner than runs now"
	default:
		ps.tasks = r.names
	}
	if ps.timeout == 0 && ok {
		if t, is := r.kind.(Timeouter); is {
			ps.timeout = t.Timeout()
		}
	}
	if ps.timeout <= 0 {
		ps.timeout = defaultTimeout
	}
	return ps
}

// mentioned finds the stages that a stage's expressions may refer to. It may
// find too many, never too few: a reference holds the name as it is written.
func (p *plan) mentioned(i int) []string {
	def := p.stages[i].def
	var names []string
	word := func(c rune) bool {
		return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
	}
	for _, text := range []string{string(def.With), def.When} {
		if !strings.Contains(text, "stages") && !strings.Contains(text, "artifacts") {
			continue
		}
		for _, w := range strings.FieldsFunc(text, func(c rune) bool { return !word(c) }) {
			if n, ok := p.index[w]; ok && n != i && !slices.Contains(names, w) {
				names = append(names, w)
			}
		}
	}
	return names
}

// cyclic finds a stage that can never have its needs met.
func (p *plan) cyclic() (string, bool) {
	unmet := make([]int, len(p.stages))
	var ready []int
	for i := range p.stages {
		if unmet[i] = len(p.stages[i].needs); unmet[i] == 0 {
			ready = append(ready, i)
		}
	}
	met := 0
	for len(ready) > 0 {
		i := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		met++
		for _, d := range p.stages[i].dependents {
			if unmet[d]--; unmet[d] == 0 {
				ready = append(ready, d)
			}
		}
	}
	if met == len(p.stages) {
		return "", false
	}
	for i := range unmet {
		if unmet[i] > 0 {
			return p.stages[i].def.Name, true
		}
	}
	return "", false
}

// task returns the contract of a stage's current task.
func (ks kinds) task(kind string, cursor int) (stage.Task, bool) {
	r, ok := ks[kind]
	if !ok || cursor >= len(r.tasks) {
		return stage.Task{}, false
	}
	return r.tasks[cursor], true
}
