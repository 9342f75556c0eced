package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/cloud/localcloud"
	"showrunner/internal/ready"
)

// newRegionCommand is the process that is one region of the local cloud.
func newRegionCommand(a *app) *cobra.Command {
	var config localcloud.RegionConfig
	var zones string
	cmd := &cobra.Command{
		Use:   "region --name NAME",
		Short: "Run one region of the local cloud",
		Long: `Run one region of the local cloud: zones, instances, load balancer, object storage and websites.
"showrunner up" starts one of these for each region; run it yourself to put a region elsewhere.

The region is controlled over a unix socket in the data folder. --control adds a TCP listener,
which asks for the token in SHOWRUNNER_REGION_TOKEN.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.collectRarely()
			if zones != "" {
				config.Zones = strings.Split(zones, ",")
			}
			level := slog.LevelInfo
			if a.verbose {
				level = slog.LevelDebug
			}
			config.Data = a.data
			if self, err := os.Executable(); err == nil { // without it the faults that need it are refused
				config.Helper = self
			}
			config.Token = a.Getenv("SHOWRUNNER_REGION_TOKEN")
			config.Log = slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: level}))
			config.Ready = func(m ready.Message) {
				if err := ready.Notify(m); err != nil {
					config.Log.Warn("telling the starter that the region is ready", "error", err)
				}
			}
			return localcloud.RunRegion(cmd.Context(), config)
		},
	}
	f := cmd.Flags()
	f.StringVar(&config.Name, "name", "us-west-2", "the region's name")
	f.StringVar(&zones, "zones", "", "comma-separated zones (default: the name with a, b and c)")
	f.StringVar(&config.Artifacts, "artifacts", "", "folder of artifacts (default: "+filepath.Join("DATA", "artifacts")+")")
	f.StringVar(&config.Listen, "listen", "", "load balancer, host:port (default: as last time, else a free port)")
	f.StringVar(&config.S3, "s3", "", "S3 endpoint, host:port (default: as last time, else a free port)")
	f.StringSliceVar(&config.PassEnv, "pass-env", nil, "names of variables of this process that instances have too (default: PATH, LANG, LC_ALL and TZ alone)")
	f.StringVar(&config.Control, "control", "", "also be controlled over TCP at host:port")
	f.DurationVar(&config.ShutdownTimeout, "shutdown-timeout", 0, "how long requests and instances may take to end (default 10s)")
	return cmd
}

// collectRarely trades memory for steadiness in the processes that carry requests:
// little lives long in them, and what runs beside a collection waits for it.
func (a *app) collectRarely() {
	if a.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
