package cli

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"showrunner/canary/judge"
)

func newJudgeCommand(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "judge --request FILE", Short: "Judge a canary from its numbers",
		Long: `Judge compares the metrics of a canary with its baseline's, and prints labels, scores
and the verdict with the numbers that they rest on. The request is what Kayenta's
remote judge is sent: canaryConfig, scoreThresholds and metricSetPairList. Control
answers the same at POST /judge, so that an existing Spinnaker can use this judge.

The name of the judge in the configuration chooses the rules:

  NetflixACAJudge-v1.0   as Kayenta, including what its users know as defects
  netflix-aca-v1         the same without them: labels do not depend on the unit, fewer
                         than 8 values on a side are Inconclusive, and errors, missing
                         metrics and inconclusive ones do not pass

Nothing needs to run here, and nothing is changed. The exit code is 0 whatever the verdict is.`,
		Example: "  showrunner judge --request request.json\n  showrunner judge --request - < request.json",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := a.readFile(cmd.Context(), file)
			if err != nil {
				return err
			}
			request, err := judge.ParseRequest(text)
			if err != nil {
				return err
			}
			result, err := judge.Judge(request)
			if err != nil {
				return err
			}
			return a.print(result, func() []string { return []string{result.Score.Label} }, func(w io.Writer) {
				enc := json.NewEncoder(w)
				enc.SetIndent("", "  ")
				_ = enc.Encode(result) // stdout is gone when this fails
			})
		},
	}
	cmd.Flags().StringVar(&file, "request", "", "the request, or - for standard input (required)")
	_ = cmd.MarkFlagRequired("request") // it has just been defined
	return cmd
}
