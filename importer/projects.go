package importer

import "showrunner/problem"

// projects finds CodeBuild projects by name: in the template, or among those given.
type projects map[string]cursor

func (p projects) find(name string) (cursor, bool) {
	c, ok := p[name]
	return c, ok
}

// readProjects reads Options.Projects: each is what batch-get-projects prints,
// one project of it, or a template resource's properties.
func readProjects(in *input) (projects, error) {
	out := projects{}
	for name, src := range in.opts.Projects {
		v, err := parse("project "+name, src)
		if err != nil {
			return nil, err
		}
		top := cursor{in: newInput(in.opts), raw: v}
		candidates := []cursor{top}
		if list := top.get("projects"); list.ok() {
			candidates = list.items()
		}
		for _, c := range candidates {
			if n := c.get("Name").static(); n == name || (n == "" && len(candidates) == 1) || len(candidates) == 1 {
				c.path = "project:" + name
				c.in = in
				out[name] = c
			}
		}
		if _, ok := out[name]; !ok {
			return nil, problem.New(problem.Invalid, "import", "project %s: the file does not hold a project of that name", name)
		}
	}
	return out, nil
}
