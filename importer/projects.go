package importer

import (
	"maps"
	"slices"

	"showrunner/problem"
)

// projects finds CodeBuild projects by name: in the template, or among the given
// ones.
type projects map[string]cursor

func (p projects) find(name string) (cursor, bool) {
	c, ok := p[name]
	return c, ok
}

// readProjects reads Options.Projects. Each is the output of batch-get-projects,
// one project of that output, or the properties of a template resource. The error
// (invalid) names every file that cannot be used.
func readProjects(in *input) (projects, error) {
	out := projects{}
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(in.opts.Projects)) {
		v, err := parse("project "+name, in.opts.Projects[name])
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		top := cursor{in: newInput(in.opts), raw: v}
		candidates := []cursor{top}
		if list := top.get("projects"); list.ok() {
			candidates = list.items()
		}
		for _, c := range candidates {
			if c.get("Name").static() == name || len(candidates) == 1 {
				c.path = "project:" + name
				c.in = in
				out[name] = c
			}
		}
		if _, ok := out[name]; !ok {
			wrong = append(wrong, problem.New(problem.Invalid, "import", "project %s: the file does not hold a project of that name", name))
		}
	}
	return out, problem.Together(wrong...)
}
