package gallery

import (
	"context"
	"fmt"
	"strings"
	"time"

	"showrunner/control"
	"showrunner/pipeline"
	"showrunner/problem"
)

// fileText is a pipeline file: with a warning and errors in the partial and the hostile
// state, and with 1,000 stages in the huge one.
func fileText(s State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "application: %s\npipelines:\n  release:\n    stages:\n      source:\n        git: { url: https://git.example/shop.git, branch: main }\n", appName(s, "storefront"))
	switch s {
	case Hostile:
		fmt.Fprintf(&b, "      %q: { needs: [nothing], tpye: %q }\n", attacks[0], attacks[3])
	case Partial:
		b.WriteString("      build:\n        needs: [source]\n        biuld: { commands: [make] }\n")
	case Huge:
		for i := range 1000 {
			fmt.Fprintf(&b, "      check-%04d: { needs: [source], wait: { for: 1s } }\n", i)
		}
	}
	b.WriteString("      check:\n        needs: [source]\n        run: { commands: [\"make test\"] }\n      ask:\n        needs: [check]\n        approval: { instructions: Is it good? }\n")
	return b.String()
}

func (c *canned) Application(ctx context.Context, p control.Principal, name string) (control.Application, error) {
	list, err := c.Applications(ctx, p)
	if err != nil {
		return control.Application{}, err
	}
	for _, a := range list {
		if a.Name == name {
			a.Source = fileText(c.state)
			return a, nil
		}
	}
	return control.Application{}, problem.New(problem.NotFound, "", "there is no application %q", name)
}

func (c *canned) Check(_ context.Context, f control.File) (*pipeline.Document, pipeline.Diagnostics) {
	return pipeline.Parse(f.Name, f.Source)
}

func (c *canned) RepositoryFile(_ context.Context, _ control.Principal, name string) (control.RepositoryFile, error) {
	switch c.state {
	case Error:
		return control.RepositoryFile{}, errAway(c.state)
	case Partial:
		return control.RepositoryFile{}, problem.New(problem.Unavailable, "", "the repository has not answered within %s", 15*time.Second)
	}
	return control.RepositoryFile{Repository: text(c.state, 1, "https://git.example/shop.git"), Commit: c.revision(0).Commit, Text: strings.Replace(fileText(c.state), "make test", "make check", 1)}, nil
}
