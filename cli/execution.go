package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/internal/tracecontext"
	"showrunner/problem"
)

func newRunCommand(a *app) *cobra.Command {
	var params, trigger []string
	var watch, cancelOnInterrupt bool
	var key, until, traceparent string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "run APP/PIPELINE",
		Short: "Start a pipeline",
		Long: `Run starts a pipeline, and with --watch stays until it ends. Ctrl-C detaches: the
run goes on, unless --cancel-on-interrupt is given.

Exit code with --watch: 0 succeeded, 1 failed or canceled, 3 waits for a person
(with --until judgment), 4 failed and rolled back, 8 outcome unknown, 124 --timeout.`,
		Example: "  showrunner run storefront/release --watch\n  showrunner run storefront/release --param version=1.4.2",
		Args:    exactArgs("APP/PIPELINE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			application, name, err := splitPipeline(args[0])
			if err != nil {
				return err
			}
			parameters, err := pairs("--param", params)
			if err != nil {
				return err
			}
			facts, err := pairs("--trigger", trigger)
			if err != nil {
				return err
			}
			if until != "" && until != "judgment" {
				return usage("unknown --until %q", until).WithHelp("judgment is the only one")
			}
			if traceparent, err = a.traceparent(traceparent); err != nil {
				return err
			}
			if key == "" {
				key = rand.Text() // so that sending it again after a lost answer starts nothing twice
			}
			var out api.Started
			c := a.connect()
			err = c.Do(cmd.Context(), http.MethodPost, "/applications/"+seg(application)+"/pipelines/"+seg(name)+"/executions",
				control.RunRequest{Parameters: parameters, Trigger: facts, Traceparent: traceparent}, &out, client.IdempotencyKey(key))
			if err != nil {
				return err
			}
			if watch {
				a.say("started %s/%s #%d (%s)", application, name, out.Execution.Number, out.Execution.ID)
				return a.watch(cmd.Context(), c, out.Execution.ID, watchOptions{cancelOnInterrupt: cancelOnInterrupt, untilJudgment: until != "", timeout: timeout})
			}
			return a.print(out.Execution, func() []string { return []string{out.Execution.ID} }, func(w io.Writer) {
				fmt.Fprintf(w, "started %s/%s #%d (%s)\nwatch it: showrunner executions watch %s\n", application, name, out.Execution.Number, out.Execution.ID, out.Execution.ID)
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&params, "param", nil, "parameter, NAME=VALUE; may be repeated")
	f.StringArrayVar(&trigger, "trigger", nil, "trigger fact that expressions see, such as commit=4f1c2ab; may be repeated")
	f.BoolVarP(&watch, "watch", "w", false, "stay until it ends")
	f.BoolVar(&cancelOnInterrupt, "cancel-on-interrupt", false, "with --watch: Ctrl-C cancels the run")
	f.StringVar(&until, "until", "", "with --watch: judgment ends the watch, with exit code 3, when the run waits for a person")
	f.DurationVar(&timeout, "timeout", 0, "with --watch: give up waiting after this time, with exit code 124; the run goes on")
	f.StringVar(&key, "idempotency-key", "", "start at most one run for this key")
	f.StringVar(&traceparent, "traceparent", "", "go on with this W3C trace context (default: TRACEPARENT of the environment)")
	return cmd
}

// traceparent is the trace context that a run goes on with: the flag's, which has to be
// valid, or the environment's, which is left out when it is not.
func (a *app) traceparent(flag string) (string, error) {
	if flag == "" {
		return tracecontext.Received(a.Getenv("TRACEPARENT")), nil
	}
	if _, err := tracecontext.Parse(flag); err != nil {
		return "", usage("--traceparent: %s", problem.Text(err)).WithHelp("%s", problem.HelpOf(err))
	}
	return flag, nil
}

func newExecutionsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "executions",
		Aliases: []string{"execution", "runs"},
		Short:   "List, show, watch, cancel and restart executions, and read their logs",
	}
	cmd.Long = `EXECUTION is an id, APP/PIPELINE#NUMBER, or APP/PIPELINE for the newest.`
	cmd.AddCommand(a.executionsList(), a.executionsWatch())
	for _, one := range []*cobra.Command{a.executionsShow(), a.executionsCancel(), a.executionsRestart(), a.executionsLogs(), a.executionsSignal()} {
		cmd.AddCommand(a.byName(one))
	}
	return cmd
}

// byName lets a command take APP/PIPELINE#NUMBER, or APP/PIPELINE for the
// newest, in the place of an execution's id.
func (a *app) byName(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.Contains(args[0], "/") {
			id, err := a.executionID(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			args = append([]string{id}, args[1:]...)
		}
		return a.notAnExecution(cmd.Context(), args[0], run(cmd, args))
	}
	return cmd
}

// notAnExecution says what an execution is called, when an error is that there is
// none of the name given.
func (a *app) notAnExecution(ctx context.Context, name string, err error) error {
	if problem.CodeOf(err) != problem.NotFound || problem.HelpOf(err) != "" {
		return err
	}
	help := "give an id, APP/PIPELINE#NUMBER, or APP/PIPELINE for the newest; showrunner executions list has them"
	var app control.Application
	if a.connect().Do(ctx, http.MethodGet, "/applications/"+seg(name), nil, &app) == nil && len(app.Pipelines) > 0 {
		help = fmt.Sprintf("%s is an application: give %s/%s for the newest run of that pipeline; showrunner executions list %s has all", name, name, app.Pipelines[0].Name, name)
	}
	return notFound("there is no execution %s", name).WithHelp("%s", help)
}

func (a *app) executionID(ctx context.Context, name string) (string, error) {
	path, number, numbered := strings.Cut(name, "#")
	application, of, err := splitPipeline(path)
	if err != nil {
		return "", err
	}
	q := []string{"application", application, "pipeline", of, "limit", "1"}
	if numbered {
		q = []string{"application", application, "pipeline", of, "limit", "500", "q", number}
	}
	var page execution.Page
	if err := a.connect().Do(ctx, http.MethodGet, "/executions"+query(q...), nil, &page); err != nil {
		return "", err
	}
	for _, e := range page.Executions {
		if !numbered || strconv.Itoa(e.Number) == number {
			return e.ID, nil
		}
	}
	return "", notFound("there is no execution %s", name).WithHelp("showrunner executions list -a %s -p %s", application, of)
}

func (a *app) executionsList() *cobra.Command {
	var application, name, text, after, trigger, since, until string
	var status, params []string
	var limit int
	cmd := &cobra.Command{
		Use: "list [APP|APP/PIPELINE]", Short: "List executions, newest first", Args: cobra.MaximumNArgs(1),
		Example: "  showrunner executions list storefront --status failed",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if application != "" || name != "" {
					return usage("the application is given twice, as %s and with a flag", args[0])
				}
				application = args[0]
				if strings.Contains(application, "/") {
					var err error
					if application, name, err = splitPipeline(args[0]); err != nil {
						return err
					}
				}
			}
			q := []string{"application", application, "pipeline", name, "q", text, "after", after, "limit", strconv.Itoa(limit), "trigger", trigger}
			for _, p := range params {
				q = append(q, "parameter", p)
			}
			for _, bound := range [][2]string{{"since", since}, {"until", until}} {
				at, err := moment(bound[0], bound[1], time.Now())
				if err != nil {
					return err
				}
				q = append(q, bound[0], at)
			}
			if len(status) > 0 {
				named, err := statuses(status)
				if err != nil {
					return err
				}
				q = append(q, "status", named)
			}
			var out execution.Page
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/executions"+query(q...), nil, &out); err != nil {
				return err
			}
			names := func() []string {
				var ids []string
				for _, e := range out.Executions {
					ids = append(ids, e.ID)
				}
				return ids
			}
			return a.print(out, names, func(w io.Writer) {
				if len(out.Executions) == 0 && out.Next != "" {
					fmt.Fprintln(w, "Nothing so far; search on among older ones: --after "+out.Next)
					return
				}
				if len(out.Executions) == 0 {
					fmt.Fprintln(w, "No executions. Start one: showrunner run APP/PIPELINE")
					return
				}
				row(w, a.columns("EXECUTION", "STATUS", "STARTED", "TOOK", "COMMIT", "MESSAGE", "AUTHOR", "BY", "CAUSE")("ID")...)
				for i := range out.Executions {
					a.executionRow(w, &out.Executions[i])
				}
				if out.Next != "" {
					row(w, "more: --after "+out.Next)
				}
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&application, "application", "a", "", "of this application")
	f.StringVarP(&name, "pipeline", "p", "", "of this pipeline")
	f.StringSliceVar(&status, "status", nil, "with these statuses: "+strings.Join(statusWords(), ", "))
	f.StringVarP(&text, "query", "q", "", "words of the id, number, starter, branch, commit or message")
	f.StringVar(&trigger, "trigger", "", "started by a push, poll, schedule, webhook, pipeline, manual, rollback or repair")
	f.StringArrayVar(&params, "param", nil, "started with this parameter, NAME=VALUE; may be repeated")
	f.StringVar(&since, "since", "", "created then or later: a time, or how long ago, such as 24h")
	f.StringVar(&until, "until", "", "created before then")
	f.StringVar(&after, "after", "", "the next page")
	f.IntVar(&limit, "limit", 50, "how many, at most 500")
	return cmd
}

// executionRow is a run in a list: what it is, how it stands, what it delivers, who started it.
func (a *app) executionRow(w io.Writer, e *execution.Execution) {
	var r execution.Revision
	if e.Revision != nil {
		r = *e.Revision
	}
	row(w, a.columns(e.Application+"/"+e.Pipeline+"#"+strconv.Itoa(e.Number), a.standing(e.Look()), ago(e.Created), took(e.Started, e.Ended),
		execution.ShortCommit(r.Commit), cut(r.Message, 50), cut(r.Author, 24), e.By, cut(e.Cause, 80))(e.ID)...)
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// statuses reads words such as "failed" as the API's names, with commas between.
func statuses(words []string) (string, error) {
	var names []string
	for _, word := range words {
		s, ok := execution.ParseStatus(word)
		if !ok {
			return "", usage("%q is no status of an execution", word).WithHelp("one of %s", strings.Join(statusWords(), ", "))
		}
		names = append(names, string(s))
	}
	return strings.Join(names, ","), nil
}

func statusWords() []string {
	var words []string
	for _, s := range execution.Listed() {
		words = append(words, s.Look().Word)
	}
	return words
}

// moment reads a time (2026-01-31T12:00:00Z) or how long ago it was (90m, 24h), for the API.
func moment(flag, text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago).UTC().Format(time.RFC3339), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "", usage("--%s is %q, which is neither a time such as 2026-01-31T12:00:00Z nor how long ago, such as 24h", flag, text)
	}
	return at.UTC().Format(time.RFC3339Nano), nil
}

func (a *app) executionsShow() *cobra.Command {
	return &cobra.Command{
		Use: "show EXECUTION", Short: "Show one execution with its stages", Args: exactArgs("EXECUTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var e execution.Execution
			c := a.connect()
			if err := c.Do(cmd.Context(), http.MethodGet, "/executions/"+seg(args[0]), nil, &e); err != nil {
				return err
			}
			var undone execution.Page
			if err := c.Do(cmd.Context(), http.MethodGet, "/executions"+query("rollbackOf", e.ID), nil, &undone); err != nil {
				return err
			}
			var left []control.CleanUp
			if err := c.Do(cmd.Context(), http.MethodGet, "/clean-ups"+query("execution", e.ID), nil, &left); err != nil {
				return err
			}
			return a.print(e, func() []string { return []string{e.ID} }, func(w io.Writer) {
				for _, line := range a.tree(e, time.Now()) {
					fmt.Fprintln(w, line)
				}
				a.reviews(cmd.Context(), w, e)
				if e.TraceID != "" {
					fmt.Fprintln(w, "trace "+clean(cmp.Or(e.TraceURL, e.TraceID)))
				}
				for _, u := range left {
					fmt.Fprintln(w, clean(u.Text))
				}
				if e.RollbackOf != "" {
					fmt.Fprintf(w, "↶ rolls back what execution %s deployed\n", e.RollbackOf)
				}
				for _, r := range undone.Executions {
					fmt.Fprintf(w, "↶ rolled back by execution %s: %s\n", r.ID, r.Look().Word)
				}
				for _, line := range a.failures(e) {
					fmt.Fprintln(w, line)
				}
			})
		},
	}
}

func (a *app) executionsWatch() *cobra.Command {
	var o watchOptions
	var until string
	cmd := &cobra.Command{
		Use: "watch EXECUTION", Short: "Watch an execution until it ends; exit codes as for run --watch", Args: exactArgs("EXECUTION"),
		Long: `Watch shows an execution until it ends. EXECUTION is an id, APP/PIPELINE#NUMBER, or
APP/PIPELINE for the newest. The next number of a pipeline is waited for: a commit
takes a moment to start its run.`,
		Example: "  git commit -qam 'A new line' && showrunner executions watch storefront/release#2",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.untilJudgment = until == "judgment"
			id, err := a.awaited(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.notAnExecution(cmd.Context(), args[0], a.watch(cmd.Context(), a.connect(), id, o))
		},
	}
	cmd.Flags().StringVar(&until, "until", "", "judgment ends the watch, with exit code 3, when the run waits for a person")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "give up waiting after this time, with exit code 124; the run goes on")
	return cmd
}

func (a *app) executionsCancel() *cobra.Command {
	var reason string
	var wait bool
	cmd := &cobra.Command{
		Use: "cancel EXECUTION", Short: "Cancel an execution, its running tasks included", Args: exactArgs("EXECUTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.connect()
			if err := c.Do(cmd.Context(), http.MethodPost, "/executions/"+seg(args[0])+"/cancel", map[string]string{"reason": reason}, nil); err != nil {
				return err
			}
			if wait {
				err := a.watch(cmd.Context(), c, args[0], watchOptions{})
				if exitCode(err) == exitFailed {
					return nil // canceled is what was asked for
				}
				return err
			}
			a.say("canceling %s", args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&wait, "wait", false, "stay until it has ended")
	return cmd
}

func (a *app) executionsSignal() *cobra.Command {
	return &cobra.Command{
		Use: "signal EXECUTION STAGE skip|retry|done|fail", Short: "End a wait, or say how a stage in doubt goes on", Args: exactArgs("EXECUTION", "STAGE", "SIGNAL"),
		Long: `Signal sends a word to a stage that waits. "skip" ends a stage of the kind wait: it
has succeeded then, and the stages that need it go on. The other three are for a stage
whose act may or may not have happened: "retry" does it again, "done" takes it as done,
and "fail" as failed.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.connect().Do(cmd.Context(), http.MethodPost, "/executions/"+seg(args[0])+"/stages/"+seg(args[1])+"/signal", map[string]string{"name": args[2]}, nil)
			if err == nil {
				a.say("%s sent to %s of %s", args[2], args[1], args[0])
			}
			return err
		},
	}
}
