package cli

import (
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
			err := a.connect().Do(cmd.Context(), http.MethodPost, "/executions/"+seg(args[0])+"/stages/"+seg(args[1])+"/decision", control.Decision{Approve: approve, Comment: comment}, nil)
			if err == nil {
				a.say("%s: %s of %s", word, args[1], args[0])
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&comment, "comment", "m", "", "why, for the record")
	return cmd
}
