package starter

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"showrunner/pipeline"
	"showrunner/problem"
)

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

var regions = []string{"us-west-2", "us-east-1", "eu-west-1"}

// TestInspect: what is recognised, and what of the file follows from it. That
// the files deliver is shown from outside, in cli/testdata/script/init.txtar.
func TestInspect(t *testing.T) {
	t.Parallel()
	listens := "http.createServer(f).listen(process.env.PORT)"
	goServes := "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\":\"+os.Getenv(\"PORT\"), nil) }"
	for name, tt := range map[string]struct {
		folder fstest.MapFS
		kind   string
		app    string
		lines  []string // of the file
		notes  []string
	}{
		"node that only starts": {files("package.json", `{"name":"@me/Hello_World","scripts":{"start":"node src/server.js"}}`, "src/server.js", listens+`; app.get("/healthz")`),
			"Node service", "hello-world", []string{"cluster: hello-world-prod", "artifact: source", `command: [node, src/server.js]`, "health: { path: /healthz }", "- { regions: [us-west-2], bake: 5s }", "- { regions: [us-east-1, eu-west-1] }"}, nil},
		"node without a start script": {files("package.json", `{}`, "server.js", listens), "Node service", "folder", []string{`command: [node, server.js]`, "health: { tcp: true }"}, []string{"no health path"}},
		"node with dependencies and a build": {files("package.json", `{"name":"api","scripts":{"build":"tsc","start":"node dist/main.js"},"dependencies":{"express":"4"}}`, "package-lock.json", "{}"),
			"Node service", "api", []string{"- npm ci", "- npm run build", "artifact: build", `command: [node, dist/main.js]`}, []string{"cannot be seen from here"}},
		"node started by something else":   {files("package.json", `{"name":"api","scripts":{"start":"next start"}}`), "Node service", "api", []string{`command: [npm, start]`}, nil},
		"node that does not know its port": {files("package.json", `{"scripts":{"start":"node a.js"}}`, "a.js", "createServer(f).listen(3000)"), "Node service", "folder", nil, []string{"does not mention PORT"}},
		"a website by vite": {files("package.json", `{"name":"docs","scripts":{"build":"vite build","start":"vite"},"devDependencies":{"vite":"5"}}`, "yarn.lock", "", "index.html", ""),
			"website built by Node", "docs", []string{"- yarn install --frozen-lockfile", "- npm run build", "base-directory: dist", "site: docs"}, []string{"as vite does"}},
		"a website by its own script": {files("package.json", `{"scripts":{"build":"mkdir -p out && cp page.html out/index.html"}}`), "website built by Node", "folder", []string{"base-directory: out"}, []string{"the build script says so"}},
		"go at the top":               {files("go.mod", "module example.com/team/Shop\n\ngo 1.26\n", "main.go", goServes), "Go service", "shop", []string{"- CGO_ENABLED=0 go build -trimpath -o out/shop .", "base-directory: out", `command: [./shop]`}, nil},
		"go in cmd": {files("go.mod", "module example.com/shop\n", "cmd/tool/main.go", "package main", "cmd/server/main.go", goServes, "lib.go", "package shop"), "Go service", "shop",
			[]string{"-o out/server ./cmd/server", `command: [./server]`}, []string{"other programs are here too: cmd/tool"}},
		"a page":        {files("index.html", "", "404.html", ""), "website", "folder", []string{"site: folder", "error: 404.html", "exclude-paths: [showrunner.yaml, README.md, .gitignore]"}, []string{"every file of the repository"}},
		"a page below":  {files("public/index.html", ""), "website", "folder", []string{"base-directory: public"}, nil},
		"with a docker": {files("Dockerfile", "FROM node", "package.json", `{}`, "server.js", listens), "Node service", "folder", nil, []string{"the Dockerfile is not used"}},
	} {
		s, err := Inspect(tt.folder, Options{Folder: "folder", Branch: "main", Regions: regions})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Kind != tt.kind || s.Application != tt.app {
			t.Errorf("%s: a %s called %s", name, s.Kind, s.Application)
		}
		for _, line := range tt.lines {
			if !slices.ContainsFunc(strings.Split(s.Source, "\n"), func(l string) bool {
				return strings.HasPrefix(strings.TrimSpace(l), line) || strings.HasSuffix(l, line)
			}) {
				t.Errorf("%s: %q is not in\n%s", name, line, s.Source)
			}
		}
		for _, note := range tt.notes {
			if !strings.Contains(strings.Join(s.Notes, "\n"), note) {
				t.Errorf("%s: %q is not among the notes %q", name, note, s.Notes)
			}
		}
	}
}

// TestTheCanaryInTheComment: the strategy that a service's file offers in a
// comment is valid in the place of the one that it has.
func TestTheCanaryInTheComment(t *testing.T) {
	t.Parallel()
	s, err := Inspect(files("package.json", `{}`, "server.js", "listen(process.env.PORT)"), Options{Folder: "shop", Branch: "main", Regions: regions})
	if err != nil {
		t.Fatal(err)
	}
	source := strings.Replace(strings.Replace(s.Source, "          strategy: red-black\n", "", 1), "# strategy: {", "strategy: {", 1)
	if doc, ds := pipeline.Parse(FileName, []byte(source)); len(ds) > 0 || !strings.Contains(string(doc.Pipelines[0].Stages[1].With), "canary") {
		t.Errorf("%v\n%s", ds, source)
	}
}

// TestWhatCannotBeDelivered: an honest refusal says what would help.
func TestWhatCannotBeDelivered(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		folder fstest.MapFS
		says   string
	}{
		"nothing":           {files("README.md", ""), "docs/service.md"},
		"a Dockerfile":      {files("Dockerfile", "FROM scratch"), "image:"},
		"a library in Go":   {files("go.mod", "module x\n", "x.go", "package x"), "cmd/NAME"},
		"a library in Node": {files("package.json", `{"name":"x"}`, "index.js", "module.exports = 1"), `"start"`},
		"broken JSON":       {files("package.json", `{`), "npm"},
	} {
		_, err := Inspect(tt.folder, Options{Folder: "x", Branch: "main"})
		if problem.CodeOf(err) != problem.Precondition || !strings.Contains(problem.HelpOf(err), tt.says) {
			t.Errorf("%s: %v (help: %s)", name, err, problem.HelpOf(err))
		}
	}
}

// FuzzNames: whatever a project and its folder are called, the file is valid.
func FuzzNames(f *testing.F) {
	f.Add("@scope/name", "folder", "main")
	f.Add("ÄÖ/../..", "", "feature/#1")
	f.Add(strings.Repeat("x", 300), "-", "a b: c")
	f.Fuzz(func(t *testing.T, name, folder, branch string) {
		s, err := Inspect(files("index.html", ""), Options{Name: name, Folder: folder, Branch: branch, Regions: regions})
		if err != nil {
			if strings.ContainsAny(branch, "\n\r\x00*?[]{}!\\\"") || strings.TrimSpace(branch) != branch || branch == "" {
				t.Skip("git has no such branch")
			}
			t.Fatal(err)
		}
		if _, ds := pipeline.Parse(FileName, []byte(s.Source)); len(ds) > 0 {
			t.Fatal(ds)
		}
	})
}
