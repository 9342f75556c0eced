package cli

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"showrunner/api/client"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// awaited is the id of an execution named on the command line. The next number
// of its pipeline is waited for: a commit takes a moment to start its run.
func (a *app) awaited(ctx context.Context, name string) (string, error) {
	if !strings.Contains(name, "/") {
		return name, nil
	}
	c := a.connect()
	position, err := a.logEnd(ctx, c) // before the look, so that no start falls between them
	if err != nil {
		return "", err
	}
	id, err := a.executionID(ctx, name)
	if problem.CodeOf(err) != problem.NotFound {
		return id, err
	}
	path, number, _ := strings.Cut(name, "#")
	application, pipeline, splitErr := splitPipeline(path)
	next, numberErr := a.nextNumber(ctx, c, application, pipeline)
	if splitErr != nil || numberErr != nil || strconv.Itoa(next) != number {
		return "", err
	}
	a.say("waiting for %s to start", name)
	started := errors.New("started")
	err = c.Follow(ctx, position, record.Filter{Application: application, Pipeline: pipeline, Types: []string{"execution.started"}}, patience, func(e client.Event) error {
		id = e.Execution
		return started
	})
	if errors.Is(err, started) {
		err = nil
	}
	return id, err
}

// nextNumber is the number that the pipeline's next execution will have.
func (a *app) nextNumber(ctx context.Context, c *client.Client, application, pipeline string) (int, error) {
	var page execution.Page
	err := c.Do(ctx, http.MethodGet, "/executions"+query("application", application, "pipeline", pipeline, "limit", "1"), nil, &page)
	if err != nil || len(page.Executions) == 0 {
		return 1, err
	}
	return page.Executions[0].Number + 1, nil
}
