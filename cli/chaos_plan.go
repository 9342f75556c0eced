package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"showrunner/api"
	"showrunner/chaos/experiment"
	"showrunner/control"
)

// planExperiment prints what a run would do.
func (a *app) planExperiment(ctx context.Context, file string) error {
	text, err := a.readFile(ctx, file)
	if err != nil {
		return err
	}
	if !experiment.Is(text) {
		return usage("%s is no own experiment", file).WithHelp("showrunner chaos experiment validate checks those of Chaos Toolkit")
	}
	var plan control.ExperimentPlan
	if err := a.connect().Do(ctx, http.MethodPost, "/chaos/experiments/plan", api.ExperimentRequest{Source: string(text)}, &plan); err != nil {
		return err
	}
	return a.print(plan, func() []string { return []string{plan.Name} }, func(w io.Writer) {
		row(w, "WHEN", "NAME", "KIND", "DOES", "AFTER")
		for _, l := range plan.SteadyState {
			row(w, "before, after", "", "steady state", l.Condition, cmp.Or(l.Wrong, "holds now"))
		}
		for _, act := range plan.Actions {
			row(w, "method", act.Name, act.Kind, act.Does, strings.Join(act.After, ", "))
		}
		for _, stop := range plan.Stops {
			row(w, "meanwhile", "", "stop condition", stop, "")
		}
		for _, act := range plan.Rollbacks {
			row(w, "in any case", act.Name, act.Kind, act.Does, "")
		}
		if plan.Held != "" {
			fmt.Fprintf(w, "Nothing would be begun now: %s\n", clean(plan.Held))
		}
	})
}
