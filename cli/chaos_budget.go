package cli

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/control"
)

func newChaosBudgetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "budget [PERCENT]", Short: "What faults and kills may hit at once, of all instances", Args: optionalApplication,
		Long: `Without PERCENT it says what the budget is. A fault or a kill that would hit more
instances than the budget, together with the faults that are active, is refused before
anything begins; so is one where that cannot be found out. 100 is no limit. An application
may have a budget of its own, in the block chaos of its pipeline file.`,
		Example: "  showrunner chaos budget\n  showrunner chaos budget 25",
		RunE: func(cmd *cobra.Command, args []string) error {
			var out control.ChaosBudget
			method, request := http.MethodGet, any(nil)
			if len(args) == 1 {
				percent, err := strconv.Atoi(strings.TrimSuffix(args[0], "%"))
				if err != nil {
					return usage("%q is no percentage", args[0]).WithHelp("give a number from 1 to 100")
				}
				method, request = http.MethodPut, api.ChaosBudgetRequest{Percent: percent}
			}
			if err := a.connect().Do(cmd.Context(), method, "/chaos/budget", request, &out); err != nil {
				return err
			}
			return a.print(out, func() []string { return []string{strconv.Itoa(out.Percent)} }, func(w io.Writer) {
				row(w, "BUDGET", "SINCE", "BY")
				row(w, fmt.Sprintf("%d %% of all instances", out.Percent), stamp(out.At), out.By)
			})
		},
	}
}
