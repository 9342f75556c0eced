package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api/client"
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
				err := a.copyLog(cmd.Context(), c, args[0], st, attempt, follow)
				if err != nil && (problem.CodeOf(err) != problem.NotFound || len(args) > 1) {
					return err
				} // otherwise this stage wrote nothing
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the stage has ended")
	cmd.Flags().IntVar(&attempt, "attempt", 0, "which attempt; 0 is the newest")
	cmd.Flags().StringVar(&grep, "grep", "", "only the lines that hold this text, whatever its case")
	exclusive(cmd, "grep", "follow")
	return cmd
}

// copyLog prints a stage's log. When the control plane that it is followed on goes
// away, it is read on from there on another, or on the same one once it is back.
func (a *app) copyLog(ctx context.Context, c *client.Client, id, st string, attempt int, follow bool) error {
	if follow && attempt == 0 { // read on, it is to be the same one
		var e execution.Execution
		if err := c.Do(ctx, http.MethodGet, "/executions/"+seg(id), nil, &e); err != nil {
			return err
		}
		for _, s := range e.Stages {
			if s.Name == st {
				attempt = s.Attempt
			}
		}
	}
	read, lost := int64(0), time.Time{}
	for {
		q := query("attempt", strconv.Itoa(attempt), "follow", strconv.FormatBool(follow), "from", strconv.FormatInt(read, 10))
		stream, err := c.Stream(ctx, "/executions/"+seg(id)+"/stages/"+seg(st)+"/log"+q)
		broken := err != nil && problem.CodeOf(err) == problem.Unavailable && !lost.IsZero()
		if err == nil {
			var n int64
			n, err = io.Copy(a.Out, stream)
			stream.Close()
			if broken = err != nil && follow; n > 0 {
				lost = time.Time{}
			}
			read += n
		}
		if !broken || ctx.Err() != nil {
			return err
		}
		if lost.IsZero() {
			lost = time.Now()
		}
		if time.Since(lost) > logPatience {
			return problem.Wrap(err, problem.Unavailable, "logs", "the log broke off at byte %d", read)
		}
		pause := time.NewTimer(200 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// logPatience is how long a log that broke off is asked for again.
const logPatience = 30 * time.Second

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
