package starter

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"showrunner/problem"
)

var (
	modulePath  = regexp.MustCompile(`(?m)^module\s+(\S+)`)
	packageMain = regexp.MustCompile(`(?m)^package main\b`)
)

// golang recognises a Go program that serves.
func golang(folder fs.FS) (*project, error) {
	m := modulePath.FindStringSubmatch(text(folder, "go.mod"))
	if m == nil {
		return nil, nil
	}
	p := &project{kind: "Go service", name: m[1], found: []string{"go.mod: module " + m[1]}}
	commands := mains(folder)
	if len(commands) == 0 {
		return nil, problem.New(problem.Precondition, "init", "go.mod is here, and no package main: a library has nothing to deploy").
			WithHelp("run it in the folder of a program's module, or move its main package to . or cmd/NAME")
	}
	dir, why := chosen(folder, commands, label(m[1]))
	name := label(m[1])
	if dir != "." {
		name = label(dir)
	}
	if name == "" {
		name = "service"
	}
	target := "."
	if dir != "." {
		target = "./" + dir
	}
	p.found = append(p.found, fmt.Sprintf("package main in %s%s", where(dir), why))
	if len(commands) > 1 {
		p.notes = append(p.notes, "other programs are here too: "+strings.Join(slices.DeleteFunc(slices.Clone(commands), func(c string) bool { return c == dir }), ", ")+"; each would be a build and a deploy stage of its own")
	}
	p.build = &buildPart{build: []string{fmt.Sprintf("CGO_ENABLED=0 go build -trimpath -o out/%s %s", name, target)}, base: "out"}
	p.command = []string{"./" + name}
	p.listens("the source", sources(folder, dir))
	return p, nil
}

func where(dir string) string {
	if dir == "." {
		return "the top folder"
	}
	return dir
}

// mains lists the folders with a package main, at the places where Go projects have them.
func mains(folder fs.FS) []string {
	dirs := []string{"."}
	if under, err := fs.ReadDir(folder, "cmd"); err == nil {
		dirs = append(dirs, "cmd")
		for _, d := range under {
			if d.IsDir() {
				dirs = append(dirs, path.Join("cmd", d.Name()))
			}
		}
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return !packageMain.MatchString(sources(folder, dir)) })
}

// sources joins the Go files of a folder, tests left out.
func sources(folder fs.FS, dir string) string {
	files, err := fs.Glob(folder, path.Join(dir, "*.go"))
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			b.WriteString(text(folder, f))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// chosen is the program that is deployed: the only one, else the one that
// serves, else the one named like the module.
func chosen(folder fs.FS, commands []string, module string) (dir, why string) {
	if len(commands) == 1 {
		return commands[0], ""
	}
	for _, c := range commands {
		if s := sources(folder, c); strings.Contains(s, "ListenAndServe") || strings.Contains(s, "net.Listen(") || strings.Contains(s, ".Serve(") {
			return c, ", which listens"
		}
	}
	for _, c := range commands {
		if label(c) == module {
			return c, ", named like the module"
		}
	}
	return commands[0], ", the first of several"
}
