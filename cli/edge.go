package cli

import (
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/cloud/localcloud"
	"showrunner/cloud/localcloud/edge"
	"showrunner/control"
	"showrunner/internal/ready"
)

func newEdgeCommand(a *app) *cobra.Command {
	var listen string
	var regions []string
	cmd := &cobra.Command{
		Use:   "edge",
		Short: "Run the edge: one address for sites and services",
		Long: `Edge forwards each request to the load balancer of the nearest healthy region, and to
the next one when a region does not answer. "showrunner up" starts one.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.collectRarely()
			level := slog.LevelInfo
			if a.verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: level}))
			config := localcloud.ClientConfig{Edge: listen, ForEdge: true, Now: time.Now}
			for _, r := range regions {
				config.Regions = append(config.Regions, localcloud.Endpoint{Region: r, Data: a.data})
			}
			cloud, err := localcloud.NewClient(config)
			if err != nil {
				return err
			}
			return edge.Run(cmd.Context(), edge.Config{Listen: listen, Data: a.data, Cloud: cloud, Log: log, Now: time.Now, Ready: func(m ready.Message) {
				if err := ready.Notify(m); err != nil {
					log.Warn("telling the starter that the edge is ready", "error", err)
				}
			}})
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "the address that users have, host:port")
	cmd.Flags().StringSliceVar(&regions, "regions", []string{"us-west-2", "us-east-1", "eu-west-1"}, "local regions, the nearest first")
	cmd.AddCommand(newEdgeWeightsCommand(a))
	return cmd
}

func newEdgeWeightsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "weights [REGION=WEIGHT]...",
		Short: "Show how the edge spreads requests over regions, or change it",
		Long: `Weights says what the edge knows of each region, and how requests are spread.
Without weights they go to the nearest healthy region. A weight of 0 evacuates a
region: it gets requests only when no other serves. "-" takes a weight away.
Weights outlive a restart of the edge. A change goes through the control plane and
stands in "showrunner audit".`,
		Example: "  showrunner edge weights\n  showrunner edge weights us-west-2=0\n  showrunner edge weights us-west-2=-",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			weights := map[string]*float64{}
			for _, arg := range args {
				name, text, ok := strings.Cut(arg, "=")
				w, err := strconv.ParseFloat(text, 64)
				switch {
				case ok && text == "-":
					weights[name] = nil
				case !ok || err != nil:
					return usage("%q is not REGION=WEIGHT", arg).WithHelp("give a number, such as us-west-2=0, or - for none")
				default:
					weights[name] = &w
				}
			}
			var list []control.EdgeRegion
			var err error
			if len(weights) > 0 {
				err = a.connect().Do(cmd.Context(), http.MethodPatch, "/edge/weights", weights, &list)
			} else {
				err = a.connect().Do(cmd.Context(), http.MethodGet, "/edge/regions", nil, &list)
			}
			if err != nil {
				return err
			}
			return a.edgeRegions(list)
		},
	}
}

func (a *app) edgeRegions(list []control.EdgeRegion) error {
	names := func() []string {
		var names []string
		for _, r := range list {
			names = append(names, r.Name)
		}
		return names
	}
	return a.print(list, names, func(w io.Writer) {
		row(w, "REGION", "HEALTHY", "WEIGHT", "REQUESTS", "ERRORS", "ADDRESS")
		for _, r := range list {
			weight := "-"
			if r.Weight != nil {
				weight = strconv.FormatFloat(*r.Weight, 'g', -1, 64)
			}
			row(w, r.Name, r.Healthy, weight, r.Requests, r.Errors, r.Address)
		}
	})
}
