package server

import (
	"context"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/web"
)

// warmed bounds how many pages of each sort are kept for when the database is unreachable.
const warmed = 40

// warm asks for what people look at first, so that it is known when the database
// is unreachable: the front page, the lists and what runs. What it cannot read is not
// kept.
func (c *controlPlane) warm(ctx context.Context) {
	who := control.Principal{Name: "control", Owner: true}
	newest, err := c.control.Executions(ctx, who, execution.Query{Limit: 50})
	if err != nil {
		return
	}
	for i, e := range newest.Executions {
		if i < warmed {
			_, _ = c.control.Execution(ctx, who, e.ID)
		}
	}
	apps, err := c.control.Applications(ctx, who)
	if err != nil {
		return
	}
	n := 0
	for _, a := range apps {
		_, _ = c.control.Executions(ctx, who, execution.Query{Application: a.Name, Limit: 50})
		for _, p := range a.Pipelines {
			_, _ = c.control.Executions(ctx, who, execution.Query{Application: a.Name, Pipeline: p.Name, Limit: web.RecentRuns})
			if n++; n == warmed {
				return
			}
		}
	}
}
