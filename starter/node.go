package starter

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"showrunner/problem"
)

// packageJSON is what of a Node project's description matters here.
type packageJSON struct {
	Name            string            `json:"name"`
	Main            string            `json:"main"`
	Scripts         map[string]string `json:"scripts"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`
}

func (p packageJSON) uses(name string) bool {
	_, a := p.Dependencies[name]
	_, b := p.DevDependencies[name]
	return a || b
}

// node recognises a Node service, or a website that Node builds.
func node(folder fs.FS) (*project, error) {
	if !has(folder, "package.json") {
		return nil, nil
	}
	var desc packageJSON
	if err := json.Unmarshal([]byte(text(folder, "package.json")), &desc); err != nil {
		return nil, problem.Wrap(err, problem.Precondition, "init", "package.json cannot be read").WithHelp("mend it first: `npm pkg get name` says what npm makes of it")
	}
	p := &project{name: desc.Name, found: []string{"package.json"}}
	if desc.Scripts["build"] != "" {
		p.found = append(p.found, "its build script: "+desc.Scripts["build"])
	}
	p.command = nodeCommand(folder, desc)
	p.build = nodeBuild(folder, desc)
	if p.command == nil {
		return nodeSite(folder, desc, p)
	}
	p.kind = "Node service"
	p.found = append(p.found, "its start: "+strings.Join(p.command, " "))
	main := p.command[len(p.command)-1]
	if p.command[0] == "npm" {
		main = desc.Main
	}
	if source := text(folder, main); source != "" {
		p.listens(main, source)
	} else { // what is started is built first, or started by a script
		p.notes = append(p.notes, "whether the service listens on the PORT (and HOST) of its environment cannot be seen from here; docs/service.md says what it has to do")
	}
	return p, nil
}

// nodeScript is a start script that only runs one file.
var nodeScript = regexp.MustCompile(`^node\s+([A-Za-z0-9_./-]+)$`)

// nodeCommand is how the service is started; nil when nothing says that there is one.
func nodeCommand(folder fs.FS, desc packageJSON) []string {
	if start := strings.TrimSpace(desc.Scripts["start"]); start != "" {
		if development.MatchString(start) {
			return nil // a server for the developer of a website
		}
		if m := nodeScript.FindStringSubmatch(start); m != nil {
			return []string{"node", m[1]} // without npm between: SIGTERM reaches the program itself
		}
		return []string{"npm", "start"}
	}
	for _, file := range []string{"server.js", "server.mjs", "app.js", "index.js", "index.mjs", desc.Main} {
		if file != "" && strings.Contains(text(folder, file), "listen(") {
			return []string{"node", file}
		}
	}
	return nil
}

var development = regexp.MustCompile(`^(vite|react-scripts start|parcel|webpack(-dev-server| serve)|astro dev|eleventy --serve|gatsby (develop|serve)|ng serve|serve\b|http-server\b|npx (vite|serve|http-server))`)

// nodeBuild is what has to happen before the service or the website can be
// deployed; nil when the files are enough.
func nodeBuild(folder fs.FS, desc packageJSON) *buildPart {
	b := &buildPart{exclude: []string{FileName}}
	if len(desc.Dependencies)+len(desc.DevDependencies) > 0 {
		switch {
		case has(folder, "pnpm-lock.yaml"):
			b.install = []string{"pnpm install --frozen-lockfile"}
		case has(folder, "yarn.lock"):
			b.install = []string{"yarn install --frozen-lockfile"}
		case has(folder, "package-lock.json"), has(folder, "npm-shrinkwrap.json"):
			b.install = []string{"npm ci"}
		default:
			b.install = []string{"npm install"}
		}
	}
	if desc.Scripts["build"] != "" {
		b.build = []string{"npm run build"}
	}
	if b.install == nil && b.build == nil {
		return nil
	}
	return b
}

// nodeSite is a project without a service: its build makes a website.
func nodeSite(folder fs.FS, desc packageJSON, p *project) (*project, error) {
	if desc.Scripts["build"] == "" {
		if site, err := website(folder); site != nil || err != nil {
			return site, err
		}
		return nil, problem.New(problem.Precondition, "init", "package.json has neither a start script nor a build script, and no file here listens").
			WithHelp("add \"start\": \"node server.js\" for a service, or \"build\" for a website, and run it again")
	}
	p.kind = "website built by Node"
	var why string
	p.build.base, why = outputFolder(folder, desc)
	p.build.exclude = nil
	p.notes = append(p.notes, fmt.Sprintf("the build is taken to write the website into %s/ (%s); change base-directory if it is another folder", p.build.base, why))
	return p, nil
}

// toFolder is a folder that a build script names as its output.
var toFolder = regexp.MustCompile(`(?:--out(?:put|-dir|dir)?[ =]|-o[ =]|--dist-dir[ =]|\bmkdir (?:-p )?)\.?/?([A-Za-z0-9_-]+)`)

// outputFolder is where a website's build writes, and by what sign.
func outputFolder(folder fs.FS, desc packageJSON) (name, why string) {
	if m := toFolder.FindStringSubmatch(desc.Scripts["build"]); m != nil {
		return m[1], "the build script says so"
	}
	for _, tool := range []struct{ name, folder string }{
		{"react-scripts", "build"}, {"@11ty/eleventy", "_site"}, {"gatsby", "public"}, {"next", "out"}, {"vite", "dist"}, {"astro", "dist"}, {"parcel", "dist"}, {"@vue/cli-service", "dist"},
	} {
		if desc.uses(tool.name) {
			return tool.folder, "as " + tool.name + " does"
		}
	}
	for _, line := range strings.Split(text(folder, ".gitignore"), "\n") {
		line = strings.Trim(strings.TrimSpace(line), "/")
		for _, usual := range []string{"dist", "build", "out", "public", "_site"} {
			if line == usual {
				return usual, ".gitignore names it"
			}
		}
	}
	return "dist", "the usual one"
}
