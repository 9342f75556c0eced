package cli

import (
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"showrunner/cloud/localcloud"
	"showrunner/edge"
	"showrunner/internal/ready"
)

func newEdgeCommand(a *app) *cobra.Command {
	var listen string
	var regions []string
	cmd := &cobra.Command{
		Use:   "edge",
		Short: "Run the edge: one address for sites and services",
		Long: `Edge forwards each request to the front door of the nearest healthy region, and to
the next one when a region does not answer. "showrunner up" starts one.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if a.verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: level}))
			config := localcloud.ClientConfig{Edge: listen, Now: time.Now}
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
	return cmd
}
