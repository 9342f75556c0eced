package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
)

func newApproveCommand(a *app) *cobra.Command { return a.byName(a.decision("approve", true)) }
func newRejectCommand(a *app) *cobra.Command  { return a.byName(a.decision("reject", false)) }

func (a *app) decision(word string, approve bool) *cobra.Command {
	var comment string
	cmd := &cobra.Command{
		Use: word + " EXECUTION [STAGE]", Short: strings.ToUpper(word[:1]) + word[1:] + " a waiting approval",
		Long: "EXECUTION is an id, APP/PIPELINE#NUMBER, or APP/PIPELINE for the newest. STAGE may be left out where one stage waits.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return exactArgs("EXECUTION", "STAGE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				name, err := a.approvalStage(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				args = append(args, name)
			}
			c, path := a.connect(), "/executions/"+seg(args[0])+"/stages/"+seg(args[1])+"/decision"
			if approve {
				var review control.Review
				if err := c.Do(cmd.Context(), http.MethodGet, path, nil, &review); err != nil {
					return err
				}
				reviewText(a.Err, review)
			}
			err := c.Do(cmd.Context(), http.MethodPost, path, control.Decision{Approve: approve, Comment: comment}, nil)
			if err == nil {
				a.say("%s: %s of %s", word, args[1], args[0])
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&comment, "comment", "m", "", "why, for the record")
	return cmd
}

// approvalStage is the stage of an execution that waits for an approval. Where none does
// and it has a single one, it is that: its refusal says how it was decided.
func (a *app) approvalStage(ctx context.Context, id string) (string, error) {
	var e execution.Execution
	if err := a.connect().Do(ctx, http.MethodGet, "/executions/"+seg(id), nil, &e); err != nil {
		return "", err
	}
	var waiting, all []string
	for _, st := range e.Stages {
		if st.Kind == "approval" {
			all = append(all, st.Name)
		}
		if st.Activity == execution.WaitingForApproval {
			waiting = append(waiting, st.Name)
		}
	}
	switch {
	case len(waiting) == 1:
		return waiting[0], nil
	case len(waiting) > 1:
		return "", usage("%d stages wait for an approval", len(waiting)).WithHelp("name one of %s", strings.Join(waiting, ", "))
	case len(all) == 1:
		return all[0], nil
	}
	return "", problem.New(problem.Precondition, "", "no stage of %s/%s#%d waits for an approval", e.Application, e.Pipeline, e.Number).
		WithHelp("showrunner executions show %s", e.ID)
}

// reviews says what the approvals that wait in an execution let happen. Where that
// cannot be had, it says so: the decision does not depend on it.
func (a *app) reviews(ctx context.Context, w io.Writer, e execution.Execution) {
	for _, st := range e.Stages {
		if st.Activity != execution.WaitingForApproval {
			continue
		}
		fmt.Fprintln(w, clean("What an approval of "+st.Name+" lets happen:"))
		var review control.Review
		if err := a.connect().Do(ctx, http.MethodGet, "/executions/"+seg(e.ID)+"/stages/"+seg(st.Name)+"/decision", nil, &review); err != nil {
			fmt.Fprintln(w, clean("not known now: "+problem.Text(err)))
			continue
		}
		reviewText(w, review)
	}
}

// reviewText says what an approval lets happen.
func reviewText(w io.Writer, r control.Review) {
	if r.Revision != nil {
		fmt.Fprintf(w, "delivers %.8s %s (%s)\n", clean(r.Revision.Commit), clean(firstLine(r.Revision.Message)), clean(r.Revision.Author))
	}
	for _, c := range r.Commits {
		commitsText(w, c)
	}
	for _, st := range r.Next {
		line := fmt.Sprintf("then %s (%s)", st.Name, st.Kind)
		if st.Target != "" {
			line += ", which changes " + st.Target
		}
		fmt.Fprintln(w, clean(line))
		for _, d := range st.Live {
			by := d.Execution
			if d.Number > 0 {
				by = fmt.Sprintf("%s/%s#%d", d.Application, d.Pipeline, d.Number)
			}
			live := fmt.Sprintf("  live in %s: %s, by %s", d.Region, d.Version, by)
			if d.Revision != nil {
				live += fmt.Sprintf(" “%s” (%s)", firstLine(d.Revision.Message), d.Revision.Author)
			}
			fmt.Fprintln(w, clean(live))
		}
		changesText(w, "  ", st.PreviewStage)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintln(w, "▲ "+clean(warning))
	}
}

// mostCommits is how many commits of a list are printed.
const mostCommits = 30

// commitsText lists what lies between what is live and what is delivered.
func commitsText(w io.Writer, c control.ReviewCommits) {
	where := strings.Join(c.Where, " and ")
	switch {
	case c.Unknown != "":
		fmt.Fprintln(w, clean("commits since what is live as "+where+" cannot be listed: "+c.Unknown))
		return
	case len(c.Added)+len(c.Removed) == 0:
		fmt.Fprintln(w, clean("the same commit is live as "+where))
		return
	}
	list := func(title, sign string, commits []control.Commit) {
		if len(commits) == 0 {
			return
		}
		fmt.Fprintln(w, clean(title))
		for _, x := range commits[:min(len(commits), mostCommits)] {
			fmt.Fprintln(w, clean(fmt.Sprintf("  %s %s %s (%s)", sign, execution.ShortCommit(x.Commit), x.Subject, x.Author)))
		}
		if more := len(commits) - mostCommits; more > 0 || c.Partial {
			fmt.Fprintf(w, "    and %s more\n", atLeast(max(more, 0), c.Partial))
		}
	}
	live := execution.ShortCommit(c.From) + ", live as " + where
	list("commits since "+live+":", "+", c.Added)
	list("commits that are taken back, of "+live+":", "-", c.Removed)
	filesText(w, c.CommitsBetween)
}

// filesText lists the files that differ, as git's --stat does.
func filesText(w io.Writer, c control.CommitsBetween) {
	if len(c.Files) == 0 {
		return
	}
	added, removed := c.Lines()
	fmt.Fprintf(w, "files that change: %d, lines +%d -%d\n", len(c.Files)+c.FilesMore, added, removed)
	for _, f := range c.Files[:min(len(c.Files), mostCommits)] {
		path, lines := f.Path, fmt.Sprintf("+%d -%d", f.Added, f.Removed)
		if f.From != "" {
			path = f.From + " => " + f.Path
		}
		if f.Binary {
			lines = "binary"
		}
		fmt.Fprintln(w, clean(fmt.Sprintf("  %-12s %s", lines, path)))
	}
	if more := len(c.Files) + c.FilesMore - mostCommits; more > 0 {
		fmt.Fprintf(w, "    and %d more\n", more)
	}
}

// atLeast is a number that may be larger than what was counted.
func atLeast(n int, partial bool) string {
	switch {
	case partial && n == 0:
		return "perhaps"
	case partial:
		return fmt.Sprintf("at least %d", n)
	}
	return fmt.Sprint(n)
}
