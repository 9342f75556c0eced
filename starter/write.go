package starter

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	plain    = regexp.MustCompile(`^[A-Za-z./][A-Za-z0-9._/-]*$`)
	yamlWord = regexp.MustCompile(`^(?i:true|false|null|yes|no|on|off|y|n)$`)
)

// scalar writes a text as it stands within brackets.
func scalar(s string) string {
	if plain.MatchString(s) && !yamlWord.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

// write makes the pipeline file, with a word on each thing that is likely to be changed.
func (p *project) write(application string, o Options) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# The pipeline of a %s, written by `showrunner init`.", p.kind)
	line("# `showrunner validate` checks it; `showrunner schema` is for editors; docs/pipeline.md is the reference.")
	line("application: %s", application)
	line("pipelines:")
	line("  release:")
	line("    description: Delivers each commit.")
	line("    triggers:")
	line("      # A commit is delivered by itself. With a Git server: push: { branches: [%s] }", o.Branch)
	line("      - poll: { url: ., branches: [%s], every: 5s }", scalar(o.Branch))
	line("    concurrency: supersede # a newer commit takes the place of one that waits")
	line("    stages:")
	line("      source:")
	line("        git: { url: ., branch: %s, follow: true }", scalar(o.Branch))
	artifact := "source"
	if p.build != nil {
		artifact = "build"
		p.build.write(line)
	}
	if p.command == nil {
		p.writeSite(line, application, artifact, o)
	} else {
		p.writeService(line, application, artifact, o)
	}
	return b.String()
}

func (part *buildPart) write(line func(string, ...any)) {
	line("      build:")
	line("        needs: [source]")
	line("        build:")
	line("          # A buildspec (docs/buildspec.md); it may stand in a file of its own: spec: buildspec.yml")
	line("          inline: |")
	line("            version: 0.2")
	line("            phases:")
	phase := func(name string, commands []string) {
		line("              %s:", name)
		line("                commands:")
		for _, c := range commands {
			line("                  - %s", c)
		}
	}
	if len(part.install) > 0 {
		phase("install", part.install)
	}
	switch {
	case len(part.build) > 0:
		phase("build", part.build)
	case len(part.install) == 0:
		phase("build", []string{"echo nothing to build"})
	}
	line("            artifacts:")
	if part.base != "" {
		line("              base-directory: %s", part.base)
	}
	line("              files: ['**/*']")
	if len(part.exclude) > 0 {
		line("              exclude-paths: [%s]", strings.Join(part.exclude, ", "))
	}
}

func (p *project) writeSite(line func(string, ...any), application, artifact string, o Options) {
	line("      site:")
	line("        needs: [%s]", artifact)
	line("        deploy-site:")
	line("          site: %s", application)
	line("          artifact: %s", artifact)
	if p.notFound {
		line("          error: 404.html")
	}
	p.waves(line, o)
}

func (p *project) writeService(line func(string, ...any), application, artifact string, o Options) {
	line("      service:")
	line("        needs: [%s]", artifact)
	line("        deploy:")
	line("          cluster: %s-prod", application)
	line("          artifact: %s", artifact)
	line("          # Every instance gets HOST and PORT to listen on, and SHOWRUNNER_VERSION, _REGION and more: docs/service.md")
	quoted := make([]string, len(p.command))
	for i, c := range p.command {
		quoted[i] = scalar(c)
	}
	line("          command: [%s]", strings.Join(quoted, ", "))
	if p.health != "" {
		line("          health: { path: %s }", p.health)
	} else {
		line("          health: { tcp: true } # better: { path: /healthz }")
	}
	line("          capacity: { min: 1, desired: 2, max: 4 } # in each region")
	line("          # red-black: the new version starts beside the old one and takes all traffic at once. A canary gets")
	line("          # traffic in steps, and is undone when a judge finds it worse (docs/service.md, By canary):")
	line("          # strategy: { canary: { steps: [10, 50], pause: 10s, judge: { maxErrorRate: 0.05, whenNoData: pass } } }")
	line("          strategy: red-black")
	p.waves(line, o)
}

// waves lets the first region go ahead of the others.
func (p *project) waves(line func(string, ...any), o Options) {
	if len(o.Regions) == 0 {
		return
	}
	line("          waves:")
	if len(o.Regions) == 1 {
		line("            - { regions: [%s] }", o.Regions[0])
		return
	}
	line("            - { regions: [%s], bake: 5s } # has to stay healthy that long", o.Regions[0])
	line("            - { regions: [%s] }", strings.Join(o.Regions[1:], ", "))
}
