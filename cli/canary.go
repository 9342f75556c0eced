package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"showrunner/canary"
	"showrunner/control"
	"showrunner/pipeline"
	"showrunner/problem"
)

func newCanaryCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "canary", Short: "Judge the metrics of canaries again"}
	cmd.AddCommand(newCanaryAnalyzeCommand(a))
	return cmd
}

// analyzeFlags are the flags of canary analyze.
type analyzeFlags struct {
	config, region, cluster, start, end string
	baseline, canary                    []string
}

func newCanaryAnalyzeCommand(a *app) *cobra.Command {
	var f analyzeFlags
	cmd := &cobra.Command{
		Use: "analyze [EXECUTION STAGE]", Short: "Judge kept metrics of a canary, by its own configuration or an edited one",
		Long: `Analyze judges metrics that control keeps, and changes nothing: the time and the server
groups of a run's analysis, or those that flags name. The configuration is that of the
run, or a file with what stands below analysis: in a pipeline file, as YAML or JSON.

The exit code is 0 whatever the verdict is.`,
		Example: `  showrunner canary analyze 06h2w9hamec2twjypv service
  showrunner canary analyze 06h2w9hamec2twjypv service --region us-east-1 --config analysis.yaml -o json
  showrunner canary analyze --config analysis.yaml --cluster shop-prod --region us-west-2 --baseline shop-prod-v001 --canary shop-prod-v002 --start 2026-03-04T12:00:00Z --end 2026-03-04T12:10:00Z`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return problem.New(problem.Invalid, "canary.analyze", "an execution and its stage are needed, or flags that name both sides")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := a.analysisRequest(cmd, f, args)
			if err != nil {
				return err
			}
			var out control.AnalysisReport
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/analyses", q, &out); err != nil {
				return err
			}
			return a.print(out, func() []string { return []string{string(out.Decision)} }, func(w io.Writer) { printAnalysis(w, out) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "the configuration, or - for standard input; default: the run's own")
	flags.StringVar(&f.region, "region", "", "the region; default: the one that failed the run, or its first")
	flags.StringVar(&f.cluster, "cluster", "", "the cluster, without an execution")
	flags.StringSliceVar(&f.baseline, "baseline", nil, "server groups of the baseline")
	flags.StringSliceVar(&f.canary, "canary", nil, "server groups of the canary")
	flags.StringVar(&f.start, "start", "", "from this time on, RFC 3339")
	flags.StringVar(&f.end, "end", "", "up to this time, RFC 3339")
	return cmd
}

// analysisRequest makes the request of what a person wrote.
func (a *app) analysisRequest(cmd *cobra.Command, f analyzeFlags, args []string) (q control.AnalysisRequest, err error) {
	const op = "canary.analyze"
	if len(args) == 2 {
		q.Execution, q.Stage = args[0], args[1]
	}
	q.Region, q.UseConfig = f.region, f.config == ""
	if f.config == "" && len(args) == 0 {
		return q, problem.New(problem.Invalid, op, "without an execution a configuration is needed").WithHelp("--config FILE")
	}
	if f.config != "" {
		text, err := a.readFile(cmd.Context(), f.config)
		if err != nil {
			return q, err
		}
		if q.Config, err = parseAnalysis(text); err != nil {
			return q, err
		}
	}
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"--start", f.start, &q.Start}, {"--end", f.end, &q.End}} {
		if t.text == "" {
			continue
		}
		if *t.into, err = time.Parse(time.RFC3339, t.text); err != nil {
			return q, problem.Wrap(err, problem.Invalid, op, "%s", t.flag).WithHelp("such as 2026-03-04T12:00:00Z")
		}
	}
	if len(f.baseline) > 0 {
		q.Baseline = canary.Scope{Cluster: f.cluster, Region: f.region, Groups: f.baseline}
	}
	if len(f.canary) > 0 {
		q.Canary = canary.Scope{Cluster: f.cluster, Region: f.region, Groups: f.canary}
	}
	return q, nil
}

// parseAnalysis reads and checks a configuration, as YAML or JSON.
func parseAnalysis(text []byte) (map[string]any, error) {
	var tree map[string]any
	err := yaml.Unmarshal(text, &tree)
	var raw []byte
	if err == nil {
		raw, err = json.Marshal(tree)
	}
	if err == nil {
		_, err = pipeline.DecodeAnalysis(raw)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "canary.analyze", "the configuration")
	}
	return tree, nil
}

func printAnalysis(w io.Writer, r control.AnalysisReport) {
	fmt.Fprintf(w, "%s: %s\n", r.Decision, r.Reason)
	fmt.Fprintf(w, "%s against %s, %s to %s\n", strings.Join(r.Canary.Groups, ", "), strings.Join(r.Baseline.Groups, ", "), r.Window.Start.UTC().Format(time.RFC3339), r.Window.End.UTC().Format(time.RFC3339))
	row(w, "METRIC", "JUDGE", "LABEL", "NEW", "OLD", "WHY")
	for _, m := range r.Metrics {
		row(w, m.Name, m.Judge, string(m.Label), fmt.Sprint(m.CanaryPoints, " points"), fmt.Sprint(m.BaselinePoints, " points"), m.Reason)
	}
}
