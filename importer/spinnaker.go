package importer

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"showrunner/pipeline"
	"showrunner/problem"
)

// Spinnaker reads a pipeline's JSON in the form of Spinnaker's editor and API
// (one pipeline, or a list). Stages, their order, failure policies, parameters,
// triggers and windows are carried over. Stages that deploy to a cloud are left
// out, each with a note.
func Spinnaker(src []byte, opts Options) (Result, error) {
	in := newInput(opts)
	v, err := parse(in.opts.File, src)
	if err != nil {
		if bytes.Contains(src, []byte("{{")) {
			return Result{}, problem.Wrap(err, problem.Invalid, "import", "a dinghyfile or a template has to be rendered first").
				WithHelp("render it first: the importer reads the JSON that Spinnaker shows of a pipeline")
		}
		return Result{}, err
	}
	if err := renderedSpinnaker(in.opts.File, v); err != nil {
		return Result{}, err
	}
	defs := in.root(v).items()
	doc := &pipeline.Document{}
	taken, siblings := map[string]bool{}, map[string]string{}
	pipelineNames := make([]string, len(defs))
	for i, def := range defs {
		name := unique(taken, slug(def.get("name").static(), "pipeline", 63))
		pipelineNames[i] = name
		if there := def.get("name").static(); there != "" {
			siblings[there] = name
		} else {
			in.note(Warning, def.path, "name", "the pipeline has none: taken as %s; rename it in the file", name)
		}
		if id := def.get("id"); id.ok() {
			siblings[id.static()] = name
			id.note(Info, "id", "pipelines are told apart by their names")
		}
	}
	takes := map[string]map[string]bool{}
	for i, def := range defs {
		takes[pipelineNames[i]] = map[string]bool{}
		for _, p := range def.get("parameterConfig").items() {
			takes[pipelineNames[i]][identifier(p.get("name").static())] = true
		}
	}
	first := "" // the application of the first pipeline
	for i, def := range defs {
		if _, ok := def.get("stages").raw.([]any); !ok {
			return Result{}, problem.New(problem.Invalid, "import", "%s: no Spinnaker pipeline: it has no \"stages\"", in.opts.File)
		}
		name := def.get("name").static()
		app := def.get("application").static()
		if doc.Application == "" {
			if app == "" {
				app = cmp.Or(name, pipelineNames[i])
				in.note(Info, def.path, "application "+app, "the pipeline names no application, so it is named after the pipeline; --application gives another")
			}
			if doc.Application = opts.Application; doc.Application == "" {
				doc.Application = slug(app, "application", 40)
			}
			if doc.Application != app {
				def.get("application").note(Info, "application "+app, "it is called %s here", doc.Application)
			}
		}
		if i > 0 && app != "" && app != first {
			def.get("application").note(Error, "application "+app, "one file is about one application: the pipeline is put into %s, that of the first", doc.Application)
		} else if i > 0 {
			def.get("application").note(Info, "application "+app, "the file's own application")
		}
		if i == 0 {
			first = app
		}
		s := &spinnaker{in: in, def: def, name: pipelineNames[i], siblings: siblings, takes: takes, ids: map[string]string{}, names: map[string]string{}}
		doc.Pipelines = append(doc.Pipelines, s.convert())
		def.unread(unreadSpinnaker)
	}
	if len(doc.Pipelines) == 0 {
		return Result{}, problem.New(problem.Invalid, "import", "%s: the list of pipelines is empty", in.opts.File)
	}
	return finish(in, doc, "spinnaker")
}

type spinnaker struct {
	in   *input
	def  cursor
	name string
	// siblings are the pipelines of the same document: original id and name →
	// name in the file.
	siblings map[string]string
	takes    map[string]map[string]bool // the parameters of each pipeline in the file
	ids      map[string]string          // refId → stage in the file; "" when left out
	needs    map[string][]string        // refId → the refIds it waits for, in the original
	names    map[string]string          // a stage's name in the original → in the file
	taken    map[string]bool            // names of stages in the file
	carried  map[string]bool            // stages in the file that were converted from an original kind
	// first are stages that precede the stage of that name, where one original
	// stage becomes two.
	first map[string]pipeline.Stage
	out   pipeline.Pipeline
}

func (s *spinnaker) convert() pipeline.Pipeline {
	s.out = pipeline.Pipeline{Name: s.name, Description: strings.TrimSpace(s.def.get("description").static())}
	s.concurrency()
	s.parameters()
	stages := s.def.get("stages").items()
	s.carried = map[string]bool{}
	s.taken, s.first, s.needs = map[string]bool{}, map[string]pipeline.Stage{}, map[string][]string{}
	for i, st := range stages {
		ref := st.get("refId").static()
		if ref == "" {
			ref = strconv.Itoa(i)
		}
		name := st.get("name").static()
		if name == "" {
			name = st.get("type").static()
		}
		s.ids[ref] = unique(s.taken, slug(name, "stage", 50))
		if s.names[name] == "" {
			s.names[name] = s.ids[ref]
		}
		s.needs[ref] = st.get("requisiteStageRefIds").texts()
		s.carried[s.ids[ref]] = slices.Contains([]string{"manualJudgment", "wait", "pipeline", "webhook"}, st.get("type").static())
	}
	left := map[string]bool{}
	for i, st := range stages {
		ref := st.get("refId").static()
		if ref == "" {
			ref = strconv.Itoa(i)
		}
		out, ok := s.stage(st, s.ids[ref], ref)
		if !ok || !s.common(st, &out, ref) {
			left[ref], s.carried[s.ids[ref]] = true, false
			st.ignore() // the reason has been noted
			continue
		}
		s.in.carryStage(s.name, out, st.get("type").static()+" stage "+st.get("name").static(), st.path)
		out.Needs = []string{ref} // resolved below, when the omitted stages are known
		if first, ok := s.first[out.Name]; ok {
			first.Needs, out.Needs = out.Needs, []string{first.Name}
			s.out.Stages = append(s.out.Stages, first)
		}
		s.out.Stages = append(s.out.Stages, out)
	}
	for i := range s.out.Stages {
		need := s.out.Stages[i].Needs[0]
		if _, after := s.first[s.out.Stages[i].Name]; !after {
			s.out.Stages[i].Needs = s.resolve(need, left)
		}
	}
	if len(s.out.Stages) == 0 {
		s.in.note(Error, s.def.path, "pipeline "+s.name, "none of its stages has an equivalent here: the pipeline gets an approval stage instead, so that the file is valid")
		s.out.Stages = []pipeline.Stage{placeholderStage()}
	}
	s.triggers()
	return s.out
}

// resolve lists the stages that a stage waits for in the file. An omitted stage
// is replaced by the stages that it waited for.
func (s *spinnaker) resolve(ref string, left map[string]bool) []string {
	var out []string
	seen := map[string]bool{ref: true}
	var visit func(string)
	visit = func(r string) {
		for _, n := range s.needs[r] {
			if seen[n] {
				continue
			}
			seen[n] = true
			switch {
			case left[n]:
				visit(n)
			case s.ids[n] == "":
				s.in.note(Error, s.def.path+"/stages", "requisiteStageRefIds "+n, "the pipeline has no stage of that refId")
			default:
				out = append(out, s.ids[n])
			}
		}
	}
	visit(ref)
	sort.Strings(out)
	return out
}

func (s *spinnaker) concurrency() {
	limit, keep := s.def.get("limitConcurrent"), s.def.get("keepWaitingPipelines")
	switch {
	case !limit.boolean(): // absent is false: orca reads it with parseBoolean
		s.out.Concurrency = pipeline.Parallel
		keep.leave(Info, "keepWaitingPipelines", "no execution waits: they run in parallel")
	case keep.boolean():
		s.out.Concurrency = pipeline.Queue
	default:
		s.out.Concurrency = pipeline.Supersede
	}
	if n := s.def.get("maxConcurrentExecutions"); n.ok() && n.number() > 0 {
		s.in.note(Warning, n.path, "maxConcurrentExecutions "+n.static(), "parallel executions are not counted")
	}
	if d := s.def.get("disabled"); d.boolean() {
		s.in.note(Warning, d.path, "disabled", "its triggers are left out, so that nothing starts it but a person")
	}
}

func (s *spinnaker) parameters() {
	for _, p := range s.def.get("parameterConfig").items() {
		name := p.get("name").static()
		q := pipeline.Parameter{Name: identifier(name), Description: p.get("description").static(), Required: p.get("required").boolean()}
		label := p.get("label")
		if q.Description == "" {
			q.Description = label.static()
		} else {
			label.note(Info, "label", "a parameter is shown by its name and its description")
		}
		if d := p.get("default"); d.ok() && d.static() != "" {
			value := s.plain(d)
			q.Default, q.Required = &value, false
			p.get("required").note(Info, "required", "a parameter with a default always has a value")
		} else if !q.Required {
			empty := ""
			q.Default = &empty
		}
		options := p.get("options")
		if p.get("hasOptions").boolean() {
			for _, o := range options.items() {
				q.Options = append(q.Options, o.get("value").static())
			}
			if q.Default != nil && *q.Default == "" {
				q.Default, q.Required = nil, true
				p.note(Warning, "parameter "+name, "it has options and no default, so every start has to give it")
				p.get("required").note(Info, "required", "it is, since it has options and no default")
			}
		} else {
			options.leave(Info, "options", "hasOptions is off, so any value is taken")
		}
		p.get("pinned").leave(Info, "pinned", "every parameter is shown")
		s.out.Parameters = append(s.out.Parameters, q)
		s.in.carryParameter(s.name, q.Name, "parameter "+name, p.path)
	}
}

// spel is Spinnaker's ${ … }.
var spel = regexp.MustCompile(`\$\{([^}]*)\}`)

var (
	spelParameter = regexp.MustCompile(`^\s*(?:#root\.)?(?:parameters|trigger\.parameters|trigger\[['"]parameters['"]\])(?:\.([A-Za-z0-9_]+)|\[\s*['"]([^'"]+)['"]\s*\])\s*$`)
	spelExecution = regexp.MustCompile(`^\s*execution(?:\.id|\[['"]id['"]\])\s*$`)
)

// text converts Spinnaker's expressions that only name a value.
func (s *spinnaker) text(f cursor) string {
	out := spel.ReplaceAllStringFunc(f.text(), func(m string) string {
		inner := spel.FindStringSubmatch(m)[1]
		if expression, ok := s.expression(inner); ok {
			return markReference(expression)
		}
		s.in.note(Error, f.path, m, "an expression of Spinnaker that has no plain equivalent, or a parameter that the pipeline has not; the text stays as it is")
		return m
	})
	return unmark(out)
}

func (s *spinnaker) hasParameter(name string) bool {
	return slices.ContainsFunc(s.out.Parameters, func(p pipeline.Parameter) bool { return p.Name == name })
}

// plain reads a text that must not contain expressions here, and notes
// expressions in it.
func (s *spinnaker) plain(f cursor) string {
	text := f.static()
	if spel.MatchString(text) {
		s.in.note(Error, f.path, text, "an expression of Spinnaker cannot stand here; the text stays as it is")
	}
	return text
}

func (s *spinnaker) expression(inner string) (string, bool) {
	if m := spelParameter.FindStringSubmatch(inner); m != nil {
		name := identifier(m[1] + m[2])
		return "parameters." + name, s.hasParameter(name)
	}
	if spelExecution.MatchString(inner) {
		return "execution.id", true
	}
	return "", false
}
