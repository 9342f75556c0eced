package starter

import (
	"io/fs"
	"path"
	"regexp"
	"strings"

	"showrunner/build/buildspec"
	"showrunner/pipeline"
	"showrunner/problem"
)

// FileName is where a pipeline file lives in its repository.
const FileName = "showrunner.yaml"

// Options are what the folder itself does not say.
type Options struct {
	Folder  string   // its name, which names the application where nothing else does
	Name    string   // of the application; "" for what the project calls itself
	Branch  string   // that is delivered
	Regions []string // the first gets each version before the others
}

// Start is the first pipeline file of a project.
type Start struct {
	Application string   `json:"application"`
	Kind        string   `json:"kind"`    // "Node service", for people
	Found       []string `json:"found"`   // what it was recognised by
	Notes       []string `json:"notes"`   // what may not be as it was taken to be, each with what to do
	Host        string   `json:"host"`    // the first label of its address at the edge
	Service     bool     `json:"service"` // it has instances; a website has none
	Source      string   `json:"source"`
}

// project is what was recognised: how it is built and what is deployed.
type project struct {
	kind     string
	name     string // what the project calls itself
	found    []string
	notes    []string
	build    *buildPart
	command  []string // of a service; nil: a website
	health   string   // path; "": whether it listens
	notFound bool     // the website has a 404.html
}

// buildPart is a buildspec in short.
type buildPart struct {
	install, build []string
	base           string // folder of the artifact
	exclude        []string
}

// Inspect recognises what is in a folder and writes its first pipeline file.
// Errors: precondition when there is nothing that it can deliver, with what would help.
func Inspect(folder fs.FS, o Options) (Start, error) {
	p, err := recognise(folder)
	if err != nil {
		return Start{}, err
	}
	s := Start{Kind: p.kind, Found: p.found, Notes: p.notes}
	for _, name := range []string{o.Name, p.name, o.Folder, "app"} {
		if s.Application = label(name); s.Application != "" {
			break
		}
	}
	s.Host = s.Application
	if s.Service = p.command != nil; s.Service {
		s.Host += "-prod"
	}
	s.Source = p.write(s.Application, o)
	if _, ds := pipeline.Parse(FileName, []byte(s.Source), buildspec.Check); len(ds) > 0 {
		return Start{}, problem.New(problem.Internal, "init", "the file for this folder would not be valid: %v", ds)
	}
	return s, nil
}

// recognise asks what a folder holds, the surest signs first.
func recognise(folder fs.FS) (*project, error) {
	docker := has(folder, "Dockerfile") || has(folder, "Containerfile")
	for _, kind := range []func(fs.FS) (*project, error){node, golang, website} {
		p, err := kind(folder)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		if docker {
			p.notes = append(p.notes, "the Dockerfile is not used: an instance is a program started from an artifact, not a container. A build stage can run inside an image (image: of the stage), where docker or podman is installed")
		}
		return p, nil
	}
	if docker {
		return nil, problem.New(problem.Precondition, "init", "this folder has a Dockerfile and nothing else that can be delivered today: an instance is a program started from an artifact, not a container").
			WithHelp("what works: a build stage that makes the program (inside your image with `image:`, where docker or podman is installed), and a deploy stage whose command starts it; docs/service.md says what a service has to do")
	}
	return nil, problem.New(problem.Precondition, "init", "there is no project here that can be recognised: no package.json, no go.mod and no index.html").
		WithHelp("go to the project's folder, or write the file by hand: docs/service.md and docs/pipeline.md; `showrunner demo` shows a whole example")
}

func has(folder fs.FS, name string) bool {
	info, err := fs.Stat(folder, name)
	return err == nil && !info.IsDir()
}

// text reads a file of at most a few hundred kilobytes; "" when it cannot.
func text(folder fs.FS, name string) string {
	if info, err := fs.Stat(folder, name); err != nil || info.Size() > 512<<10 {
		return ""
	}
	raw, err := fs.ReadFile(folder, name)
	if err != nil {
		return ""
	}
	return string(raw)
}

var notLabel = regexp.MustCompile(`[^a-z0-9]+`)

// label makes a name for applications, sites and hosts: small letters, digits, hyphens.
func label(name string) string {
	name = path.Base("/" + strings.ToLower(name)) // of @scope/name and example.com/name the last part
	name = strings.Trim(notLabel.ReplaceAllString(name, "-"), "-")
	const longest = 50 // a host name's label has 63 characters, and "-prod" is added
	return strings.Trim(name[:min(len(name), longest)], "-")
}

// healthPath finds the path that a program's text answers health checks at.
func healthPath(source string) string {
	for _, p := range []string{"/healthz", "/health", "/readyz", "/ready", "/livez"} {
		if strings.Contains(source, `"`+p+`"`) || strings.Contains(source, "'"+p+"'") || strings.Contains(source, "`"+p+"`") || strings.Contains(source, `"GET `+p+`"`) {
			return p
		}
	}
	return ""
}

// listens notes what a program's text does not show and a service needs.
func (p *project) listens(file, source string) {
	if p.health = healthPath(source); p.health == "" {
		p.notes = append(p.notes, "no health path was found in "+file+", so an instance counts as healthy once it accepts connections; `health: { path: /healthz }` knows more")
	}
	if !strings.Contains(source, "PORT") {
		p.notes = append(p.notes, file+" does not mention PORT: the service has to listen on the PORT (and HOST) of its environment, see docs/service.md")
	}
}
