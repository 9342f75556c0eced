package cli

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/control"
)

func (a *app) executionsRestart() *cobra.Command {
	var watch, yes bool
	cmd := &cobra.Command{
		Use: "restart EXECUTION STAGE", Short: "Let an ended execution go on from a stage", Args: exactArgs("EXECUTION", "STAGE"),
		Long: `Restart runs a stage of an ended execution again, and every stage that needs it. It
says which these are, and what they change, and asks before it does so; in a script,
without a terminal, give --yes.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.connect()
			path := "/executions/" + seg(args[0]) + "/stages/" + seg(args[1]) + "/restart"
			var plan control.RestartPlan
			if err := c.Do(cmd.Context(), http.MethodGet, path, nil, &plan); err != nil {
				return err
			}
			restartText(a.Err, plan)
			if err := a.confirm(yes, "Run these again?"); err != nil {
				return err
			}
			if err := c.Do(cmd.Context(), http.MethodPost, path, nil, nil); err != nil {
				return err
			}
			if watch {
				return a.watch(cmd.Context(), c, args[0], watchOptions{})
			}
			a.say("%s goes on from %s", args[0], args[1])
			return nil
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "stay until it ends")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// restartText says what a restart runs again.
func restartText(w io.Writer, plan control.RestartPlan) {
	fmt.Fprintf(w, "A restart of %s runs again:\n", clean(plan.Execution))
	for _, st := range plan.Stages {
		line := fmt.Sprintf("  %s (%s)", st.Name, st.Kind)
		if st.Target != "" {
			line += ", which changes " + st.Target
			if st.Version != "" {
				line += " (it put " + st.Version + " there)"
			}
		}
		fmt.Fprintln(w, clean(line))
	}
}

// confirm asks on a terminal whether to go on. Without a terminal, yes has to
// be given. Errors: usage, also when the answer is no.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if _, _, terminal := a.Terminal(); !terminal {
		return usage("this needs a confirmation, and there is no terminal to ask for it").WithHelp("give --yes to go on without a question")
	}
	fmt.Fprint(a.Err, question+" [y/N] ")
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && answer == "" {
		return usage("no answer: %v", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return usage("nothing was done")
}
