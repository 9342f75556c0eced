package buildspec

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"showrunner/build/report"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Error is a buildspec that cannot be used, with everything that is wrong with it.
type Error struct{ Findings pipeline.Diagnostics }

// Error gives the first finding and how many more there are.
func (e *Error) Error() string {
	first := e.Findings[0]
	s := fmt.Sprintf("%s: %s", first.File, first.Message)
	if first.Line > 0 {
		s = fmt.Sprintf("%s:%d:%d: %s", first.File, first.Line, first.Column, first.Message)
	}
	if n := len(e.Findings) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// Parse reads a buildspec. Name is what findings call the file. The error is a
// problem.Invalid around *Error, which holds every finding.
func Parse(name string, src []byte) (Spec, error) {
	p := &parser{}
	text := string(bytes.TrimPrefix(src, []byte("\ufeff")))
	spec := p.parse(text)
	var errs pipeline.Diagnostics
	for _, d := range pipeline.Located(name, text, p.found) {
		if d.Severity == pipeline.SeverityWarning {
			spec.Warnings = append(spec.Warnings, d)
		} else {
			errs = append(errs, d)
		}
	}
	if len(errs) > 0 {
		return Spec{}, problem.Wrap(&Error{Findings: errs}, problem.Invalid, "buildspec", "the buildspec cannot be used")
	}
	return spec, nil
}

// Check gives every finding about a buildspec's text, warnings too, in the order
// of the text and with positions in it. It is a pipeline.BuildspecCheck.
func Check(text string) pipeline.Diagnostics {
	p := &parser{}
	text = strings.TrimPrefix(text, "\ufeff")
	p.parse(text)
	return pipeline.Located("", text, p.found)
}

func (p *parser) parse(text string) Spec {
	root := p.load(text)
	if root == nil {
		return Spec{}
	}
	if root.Kind != yaml.MappingNode {
		p.errorf(root, pipeline.CodeType, "a buildspec is a mapping with version and phases, not %s", describe(root))
		return Spec{}
	}
	spec := Spec{Phases: map[PhaseName]Phase{}}
	sawPhases := false
	misspelt := p.fields(root, "", map[string]func(*yaml.Node){
		"version":   p.version,
		"run-as":    func(n *yaml.Node) { spec.RunAs = p.user(n) },
		"env":       func(n *yaml.Node) { spec.Env = p.env(n) },
		"proxy":     p.proxy,
		"phases":    func(n *yaml.Node) { sawPhases = true; spec.Phases = p.phases(n) },
		"reports":   func(n *yaml.Node) { spec.Reports = p.reports(n) },
		"artifacts": func(n *yaml.Node) { spec.Artifacts = p.artifacts(n) },
		"cache":     func(n *yaml.Node) { spec.Cache = p.cache(n) },
		"eb_codebuild_settings": func(n *yaml.Node) {
			p.warnf(n, pipeline.CodeUnknownField, "eb_codebuild_settings is read by Elastic Beanstalk's command line and means nothing here")
		},
		"batch": func(n *yaml.Node) {
			p.errorHelp(n, pipeline.CodeValue, "batch builds are not run here yet",
				"make each build of the batch a stage of the pipeline, joined by needs")
		},
	}, "version")
	if !sawPhases && !slices.Contains(misspelt, "phases") {
		p.errorf(root, pipeline.CodeRequired, "phases is missing")
	}
	return spec
}

func (p *parser) version(n *yaml.Node) {
	switch v := p.text(n, "version"); v {
	case "0.2", "":
		if n.Kind == yaml.ScalarNode && v == "" {
			p.errorf(n, pipeline.CodeRequired, "version is empty; write 0.2")
		}
	case "0.1":
		p.errorHelp(n, pipeline.CodeValue, "version 0.1 is not run: it gives every command a shell of its own",
			"write 0.2, where cd and export last from one command to the next")
	default:
		p.add(n, pipeline.Diagnostic{Code: pipeline.CodeValue, Message: fmt.Sprintf("there is no version %q", v), Suggestion: "0.2"})
	}
}

func (p *parser) user(n *yaml.Node) string {
	name := p.text(n, "run-as")
	if name != "" && !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`).MatchString(name) {
		p.errorf(n, pipeline.CodeValue, "%q is no name of a user", name)
	}
	return name
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// variable checks a variable's name where it is defined.
func (p *parser) variable(key *yaml.Node) bool {
	switch {
	case strings.HasPrefix(key.Value, "CODEBUILD_"):
		p.errorHelp(key, pipeline.CodeName, fmt.Sprintf("%s cannot be set: names that begin with CODEBUILD_ are reserved", key.Value), "choose another name")
	case !variableName.MatchString(key.Value):
		p.errorf(key, pipeline.CodeName, "%q is no name of a variable: letters, digits and _ only, no digit first", key.Value)
	default:
		return true
	}
	return false
}

func (p *parser) env(n *yaml.Node) Env {
	var env Env
	seen := map[string]bool{}
	define := func(key *yaml.Node) bool {
		if seen[key.Value] {
			p.errorf(key, pipeline.CodeDuplicateKey, "the variable %s is defined twice in env", key.Value)
			return false
		}
		seen[key.Value] = true
		return p.variable(key)
	}
	p.fields(n, "env", map[string]func(*yaml.Node){
		"shell": func(n *yaml.Node) { env.Shell = p.shell(n) },
		"variables": func(n *yaml.Node) {
			p.each(n, "env.variables", func(key, value *yaml.Node) {
				if v, ok := p.scalar(value, "the value of "+key.Value); ok && define(key) {
					env.Variables = append(env.Variables, Variable{key.Value, v})
				}
			})
		},
		"parameter-store": func(n *yaml.Node) {
			p.each(n, "env.parameter-store", func(key, value *yaml.Node) {
				if v, ok := p.scalar(value, "the parameter of "+key.Value); ok && define(key) {
					if v == "" {
						p.errorf(value, pipeline.CodeRequired, "%s names no parameter", key.Value)
					}
					env.ParameterStore = append(env.ParameterStore, Reference{Name: key.Value, SecretID: v, Position: at(value)})
				}
			})
		},
		"secrets-manager": func(n *yaml.Node) {
			p.each(n, "env.secrets-manager", func(key, value *yaml.Node) {
				if v, ok := p.scalar(value, "the secret of "+key.Value); ok && define(key) {
					env.SecretsManager = append(env.SecretsManager, p.secret(key, value, v))
				}
			})
		},
		"exported-variables": func(n *yaml.Node) {
			for _, item := range p.items(n) {
				name, ok := p.scalar(item, "a name in exported-variables")
				switch {
				case !ok:
				case !variableName.MatchString(name):
					p.errorf(item, pipeline.CodeName, "%q is no name of a variable", name)
				case strings.HasPrefix(name, "AWS_"):
					p.errorf(item, pipeline.CodeName, "%s cannot be exported: names that begin with AWS_ hold credentials", name)
				case !slices.Contains(env.Exported, name):
					env.Exported = append(env.Exported, name)
				}
			}
		},
		"git-credential-helper": func(n *yaml.Node) {
			if p.yes(n, "git-credential-helper") {
				p.warnf(n, pipeline.CodeValue, "git-credential-helper sets up nothing here: git in a build has the helpers of its machine or image")
			}
		},
	})
	return env
}

// secret splits secret-id[:json-key[:version-stage[:version-id]]]. An ARN has
// seven parts of its own.
func (p *parser) secret(key, n *yaml.Node, v string) Reference {
	ref := Reference{Name: key.Value, Position: at(n)}
	parts := strings.Split(v, ":")
	own := 1
	if parts[0] == "arn" {
		own = min(7, len(parts))
	}
	ref.SecretID = strings.Join(parts[:own], ":")
	rest := append(parts[own:], "", "", "")
	ref.JSONKey, ref.Stage, ref.Version = rest[0], rest[1], rest[2]
	switch {
	case len(parts)-own > 3:
		p.errorf(n, pipeline.CodeValue, "%q has too many parts; it is secret-id[:json-key[:version-stage[:version-id]]]", v)
	case ref.SecretID == "":
		p.errorf(n, pipeline.CodeRequired, "%s names no secret", key.Value)
	case ref.Stage != "" && ref.Version != "":
		p.errorf(n, pipeline.CodeConflict, "%s gives a version-stage and a version-id; only one of them is allowed", key.Value)
	}
	return ref
}

func (p *parser) shell(n *yaml.Node) Shell {
	switch v := p.text(n, "env.shell"); strings.ToLower(v) {
	case "bash", "/bin/bash":
		return ShellBash
	case "sh", "/bin/sh":
		return ShellSh
	case "":
	case "powershell.exe", "powershell", "cmd.exe", "cmd":
		p.errorHelp(n, pipeline.CodeValue, fmt.Sprintf("%s runs on Windows only", v), "use bash or /bin/sh")
	default:
		p.add(n, pipeline.Diagnostic{Code: pipeline.CodeValue, Message: fmt.Sprintf("there is no shell %q", v), Suggestion: nearest(v, []string{"bash", "/bin/sh"}), Help: "bash and /bin/sh run here"})
	}
	return ShellDefault
}

// proxy is read for what is wrong with it: nothing goes from here through the
// explicit proxy that it is about.
func (p *parser) proxy(n *yaml.Node) {
	part := func(name string) func(*yaml.Node) {
		return func(n *yaml.Node) {
			if p.yes(n, name) {
				p.warnf(n, pipeline.CodeValue, "proxy.%s sets up nothing here: artifacts and logs stay on this side of any proxy", name)
			}
		}
	}
	p.fields(n, "proxy", map[string]func(*yaml.Node){"upload-artifacts": part("upload-artifacts"), "logs": part("logs")})
}

func (p *parser) reports(n *yaml.Node) []ReportGroup {
	var groups []ReportGroup
	p.each(n, "reports", func(key, value *yaml.Node) {
		path := "reports." + key.Value
		group := ReportGroup{Name: key.Value, Format: report.DefaultFormat}
		p.fields(value, path, map[string]func(*yaml.Node){
			"files":          func(n *yaml.Node) { group.Files = p.texts(n, path+".files") },
			"base-directory": func(n *yaml.Node) { group.BaseDirectory = p.text(n, path+".base-directory") },
			"discard-paths":  func(n *yaml.Node) { group.DiscardPaths = p.yes(n, path+".discard-paths") },
			"file-format": func(n *yaml.Node) {
				v := p.text(n, path+".file-format")
				if v == "" {
					return
				}
				if group.Format = strings.ToUpper(v); !slices.Contains(report.Formats(), group.Format) {
					p.add(n, pipeline.Diagnostic{Code: pipeline.CodeValue, Message: fmt.Sprintf("there is no report format %q", v),
						Suggestion: nearest(group.Format, report.Formats()), Help: "one of " + strings.Join(report.Formats(), ", ")})
				}
			},
		}, "files")
		groups = append(groups, group)
	})
	if len(groups) > MaxReportGroups {
		p.errorf(n, pipeline.CodeTooMany, "%d report groups; a build has at most %d", len(groups), MaxReportGroups)
	}
	return groups
}

func (p *parser) artifacts(n *yaml.Node) *Artifacts {
	if isNull(n) {
		return nil
	}
	a := &Artifacts{}
	fields := p.artifactFields(&a.ArtifactSet, "artifacts")
	fields["secondary-artifacts"] = func(n *yaml.Node) {
		p.each(n, "secondary-artifacts", func(key, value *yaml.Node) {
			if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`).MatchString(key.Value) {
				p.errorf(key, pipeline.CodeName, "%q cannot be the identifier of an artifact: letters, digits, - and _ only", key.Value)
			}
			s := SecondaryArtifact{ID: key.Value}
			path := "secondary-artifacts." + key.Value
			p.fields(value, path, p.artifactFields(&s.ArtifactSet, path), "files")
			a.Secondary = append(a.Secondary, s)
		})
	}
	misspelt := p.fields(n, "artifacts", fields)
	// The service asks for files even when there are only secondary artifacts,
	// and then ignores it; many files in use leave it out, and lose nothing by it.
	if len(a.Files) == 0 && len(a.Secondary) == 0 && !slices.Contains(misspelt, "files") {
		p.errorf(n, pipeline.CodeRequired, "artifacts.files is missing")
	}
	return a
}

func (p *parser) artifactFields(set *ArtifactSet, path string) map[string]func(*yaml.Node) {
	return map[string]func(*yaml.Node){
		"files":           func(n *yaml.Node) { set.Files = p.texts(n, path+".files") },
		"base-directory":  func(n *yaml.Node) { set.BaseDirectory = p.text(n, path+".base-directory") },
		"exclude-paths":   func(n *yaml.Node) { set.ExcludePaths = p.texts(n, path+".exclude-paths") },
		"discard-paths":   func(n *yaml.Node) { set.DiscardPaths = p.yes(n, path+".discard-paths") },
		"enable-symlinks": func(n *yaml.Node) { set.EnableSymlinks = p.yes(n, path+".enable-symlinks") },
		"name":            func(n *yaml.Node) { set.Name = p.text(n, path+".name") },
		"s3-prefix":       func(n *yaml.Node) { set.S3Prefix = p.text(n, path+".s3-prefix") },
		"type": func(n *yaml.Node) {
			p.warnf(n, pipeline.CodeUnknownField, "%s.type means nothing in version 0.2 and is passed over", path)
		},
	}
}

func (p *parser) cache(n *yaml.Node) *Cache {
	if isNull(n) {
		return nil
	}
	c := &Cache{Restore: true, Save: true}
	p.fields(n, "cache", map[string]func(*yaml.Node){
		"paths":         func(n *yaml.Node) { c.Paths = p.texts(n, "cache.paths") },
		"key":           func(n *yaml.Node) { c.Key = p.text(n, "cache.key") },
		"fallback-keys": func(n *yaml.Node) { c.FallbackKeys = p.texts(n, "cache.fallback-keys") },
		"action": func(n *yaml.Node) {
			switch v := p.text(n, "cache.action"); strings.ToLower(v) {
			case "restore":
				c.Save = false
			case "save":
				c.Restore = false
			case "", "both":
			default:
				p.add(n, pipeline.Diagnostic{Code: pipeline.CodeValue, Message: fmt.Sprintf("cache.action cannot be %q", v),
					Suggestion: nearest(strings.ToLower(v), []string{"restore", "save"}), Help: "restore or save; both happen without it"})
			}
		},
	})
	if len(c.Paths) == 0 {
		p.warnf(n, pipeline.CodeRequired, "cache has no paths, so nothing is cached")
	}
	return c
}
