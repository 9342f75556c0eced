package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/control"
)

func newApproveCommand(a *app) *cobra.Command { return a.byName(a.decision("approve", true)) }
func newRejectCommand(a *app) *cobra.Command  { return a.byName(a.decision("reject", false)) }

func (a *app) decision(word string, approve bool) *cobra.Command {
	var comment string
	cmd := &cobra.Command{
		Use: word + " EXECUTION STAGE", Short: strings.ToUpper(word[:1]) + word[1:] + " a waiting approval", Args: exactArgs("EXECUTION", "STAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
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

// reviewText says what an approval lets happen.
func reviewText(w io.Writer, r control.Review) {
	if r.Revision != nil {
		fmt.Fprintf(w, "delivers %.8s %s (%s)\n", clean(r.Revision.Commit), clean(firstLine(r.Revision.Message)), clean(r.Revision.Author))
	}
	for _, st := range r.Next {
		line := fmt.Sprintf("then %s (%s)", st.Name, st.Kind)
		if st.Target != "" {
			line += ", which changes " + st.Target
		}
		fmt.Fprintln(w, clean(line))
		for _, d := range st.Live {
			fmt.Fprintln(w, clean(fmt.Sprintf("  live in %s: %s, by %s", d.Region, d.Version, d.Execution)))
		}
		for _, change := range st.Changes {
			fmt.Fprintln(w, "  + "+clean(change))
		}
	}
	for _, warning := range r.Warnings {
		fmt.Fprintln(w, "▲ "+clean(warning))
	}
}
