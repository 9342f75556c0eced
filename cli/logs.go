package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
)

func (a *app) executionsLogs() *cobra.Command {
	var follow bool
	var attempt int
	var grep string
	cmd := &cobra.Command{
		Use: "logs EXECUTION [STAGE]", Short: "Print what the stages of an execution wrote",
		Long: `Logs prints what the stages of an execution wrote, or one of them. With --grep
the control plane searches, and only the lines that hold the text travel, each with
its number; -o json tells where in the log they stand.`,
		Example: `  showrunner executions logs 06h0byxqvxjch2xb7a build --follow
  showrunner executions logs 06h0byxqvxjch2xb7a --grep error`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.connect()
			stages := args[1:]
			if len(stages) == 0 {
				var e execution.Execution
				if err := c.Do(cmd.Context(), http.MethodGet, "/executions/"+seg(args[0]), nil, &e); err != nil {
					return err
				}
				for _, st := range e.Stages {
					if st.Attempt > 0 {
						stages = append(stages, st.Name)
					}
				}
			}
			if grep != "" {
				return a.grepLogs(cmd.Context(), args[0], stages, attempt, grep, len(args) > 1)
			}
			for _, st := range stages {
				if len(stages) > 1 {
					fmt.Fprintf(a.Out, "==> %s <==\n", st)
				}
				q := query("attempt", strconv.Itoa(attempt), "follow", strconv.FormatBool(follow))
				stream, err := c.Stream(cmd.Context(), "/executions/"+seg(args[0])+"/stages/"+seg(st)+"/log"+q)
				if err != nil && (problem.CodeOf(err) != problem.NotFound || len(args) > 1) {
					return err
				}
				if err != nil {
					continue // this stage wrote nothing
				}
				_, err = io.Copy(a.Out, stream)
				stream.Close()
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the stage has ended")
	cmd.Flags().IntVar(&attempt, "attempt", 0, "which attempt; 0 is the newest")
	cmd.Flags().StringVar(&grep, "grep", "", "only the lines that hold this text, whatever its case")
	cmd.MarkFlagsMutuallyExclusive("grep", "follow")
	return cmd
}

// grepPage is how many lines of one log are asked for at a time.
const grepPage = 1000

// grepLogs prints the lines of some stages' logs that hold a text. A stage that
// wrote nothing is an error only when it was asked for by name.
func (a *app) grepLogs(ctx context.Context, id string, stages []string, attempt int, text string, named bool) error {
	found := map[string]control.LogMatches{}
	for _, st := range stages {
		var all control.LogMatches
		for {
			var page control.LogMatches
			q := query("q", text, "attempt", strconv.Itoa(attempt), "skip", strconv.Itoa(len(all.Matches)), "limit", strconv.Itoa(grepPage))
			err := a.connect().Do(ctx, http.MethodGet, "/executions/"+seg(id)+"/stages/"+seg(st)+"/log/search"+q, nil, &page)
			if problem.CodeOf(err) == problem.NotFound && !named {
				break
			}
			if err != nil {
				return err
			}
			all.Total, all.Matches = page.Total, append(all.Matches, page.Matches...)
			if len(page.Matches) < grepPage {
				break
			}
		}
		if all.Total > 0 {
			found[st] = all
		}
	}
	return a.print(found, func() []string { return slices.Sorted(maps.Keys(found)) }, func(w io.Writer) {
		for _, st := range stages {
			for _, m := range found[st].Matches {
				row(w, fmt.Sprintf("%s:%d: %s", st, m.Line, m.Text))
			}
		}
	})
}
