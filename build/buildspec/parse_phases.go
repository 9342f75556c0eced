package buildspec

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"showrunner/pipeline"
)

func (p *parser) phases(n *yaml.Node) map[PhaseName]Phase {
	phases := map[PhaseName]Phase{}
	fields := map[string]func(*yaml.Node){}
	for _, name := range phaseNames {
		fields[string(name)] = func(n *yaml.Node) { phases[name] = p.phase(n, name) }
	}
	before := len(p.found)
	p.fields(n, "phases", fields)
	if len(phases) == 0 && len(p.found) == before {
		p.errorf(n, pipeline.CodeRequired, "phases has no phase; there are install, pre_build, build and post_build")
	}
	return phases
}

func (p *parser) phase(n *yaml.Node, name PhaseName) Phase {
	var phase Phase
	path := "phases." + string(name)
	if isNull(n) && name == Install {
		return phase
	}
	fields := map[string]func(*yaml.Node){
		"run-as":     func(n *yaml.Node) { phase.RunAs = p.user(n) },
		"on-failure": func(n *yaml.Node) { phase.OnFailure = p.onFailure(n) },
		"commands":   func(n *yaml.Node) { phase.Commands = p.commands(n, path+".commands") },
		"finally":    func(n *yaml.Node) { phase.Finally = p.commands(n, path+".finally") },
	}
	runtimes := func(n *yaml.Node) { phase.Runtimes = p.runtimes(n) }
	if name == Install {
		fields["runtime-versions"] = runtimes
		p.fields(n, path, fields)
		return phase
	}
	fields["runtime-versions"] = func(n *yaml.Node) {
		p.errorf(n, pipeline.CodeUnknownField, "runtime-versions belongs to phases.install, not to %s", path)
	}
	p.fields(n, path, fields, "commands")
	return phase
}

func (p *parser) runtimes(n *yaml.Node) []Runtime {
	var list []Runtime
	p.each(n, "runtime-versions", func(key, value *yaml.Node) {
		v, ok := p.scalar(value, "the version of "+key.Value)
		if !ok {
			return
		}
		name := strings.ToLower(key.Value)
		if same, ok := map[string]string{"node": "nodejs", "go": "golang"}[name]; ok {
			name = same
		}
		for _, other := range list {
			if other.Name == name && other.Version != v {
				p.errorf(key, pipeline.CodeConflict, "two versions of %s are asked for, %s and %s", name, other.Version, v)
			}
		}
		list = append(list, Runtime{name, v})
	})
	version := func(name string) string {
		for _, r := range list {
			if r.Name == name {
				return r.Version
			}
		}
		return ""
	}
	// The one conflict between runtimes that is documented: the Android tools
	// of these versions run on Java 8 only.
	if a, j := version("android"), version("java"); (a == "28" || a == "29") && j != "" && !strings.HasSuffix(j, "8") && !strings.HasSuffix(j, "8.x") {
		p.errorf(n, pipeline.CodeConflict, "android %s needs java corretto8, but java %s is asked for", a, j)
	}
	return list
}

var retry = regexp.MustCompile(`^RETRY(?:-(\d+))?(?:-(.+))?$`)

func (p *parser) onFailure(n *yaml.Node) OnFailure {
	v := p.text(n, "on-failure")
	switch strings.ToUpper(v) {
	case "ABORT":
		return OnFailure{Action: Abort}
	case "CONTINUE":
		return OnFailure{Action: Continue}
	case "":
		return OnFailure{}
	}
	word, rest, found := strings.Cut(v, "-")
	m := retry.FindStringSubmatch(strings.ToUpper(word) + v[len(word):])
	if m == nil || found && rest == "" {
		p.add(n, pipeline.Diagnostic{Code: pipeline.CodeValue, Message: fmt.Sprintf("on-failure cannot be %q", v),
			Suggestion: nearest(strings.ToUpper(v), []string{"ABORT", "CONTINUE", "RETRY"}),
			Help:       "one of ABORT, CONTINUE, RETRY, RETRY-count, RETRY-regex, RETRY-count-regex"})
		return OnFailure{}
	}
	on := OnFailure{Action: Retry, Retries: DefaultRetries}
	if m[1] != "" {
		count, err := strconv.Atoi(m[1])
		if err != nil || count > 100 {
			p.errorf(n, pipeline.CodeValue, "on-failure retries %s times; 0 to 100 are allowed", m[1])
			return OnFailure{}
		}
		on.Retries = count
	}
	if m[2] != "" {
		re, err := regexp.Compile(m[2])
		if err != nil {
			p.errorf(n, pipeline.CodeValue, "on-failure: %q is no regular expression: %v", m[2], errors.Unwrap(err))
			return OnFailure{}
		}
		on.Match = re
	}
	return on
}

func (p *parser) commands(n *yaml.Node, path string) []string {
	var list []string
	for _, item := range p.items(n) {
		if isNull(item) {
			continue
		}
		if item.Kind == yaml.MappingNode {
			p.errorHelp(item, pipeline.CodeType, "a command in "+path+" reads as a mapping, because it holds \": \"", "put the whole command in quotes, or begin it with | on a line of its own")
			continue
		}
		if v, ok := p.scalar(item, "a command in "+path); ok {
			list = append(list, v)
		}
	}
	return list
}
