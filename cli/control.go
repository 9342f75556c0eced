package cli

import (
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"showrunner/internal/ready"
	"showrunner/server"
)

func newControlCommand(a *app) *cobra.Command {
	var config server.ControlConfig
	cmd := &cobra.Command{
		Use:   "control",
		Short: "Run a control plane: pipelines, API and pages",
		Long: `Control runs one control plane. "showrunner up" starts one on this machine.

With --database postgres://… any number of them share the work, each on its own
address. On one machine they have the same data folder. On several, each has a data
folder of its own, for the builds that run there, and all have the same --shared
folder, on a file system that the machines share. It holds what the database does
not: artifacts, logs, build caches, the token and the key for secrets. One control
plane that is killed is noticed at once, one that hangs when its lease is over, and
the others carry on what it did. Put any balancer before them; /readyz says which
can work.

A build goes on when the control plane that started it is gone, and its result is
taken once one is back on that machine. After --builds-lost-after the machine counts
as lost: the build is started anew on another, and what the first still makes of it
is refused. The commands of a run stage may have had effects; whether they are
repeated, a person is asked.

More builds and run stages than --builds-at-once wait for a place on their machine,
and their stages say so. A place goes to the application with the fewest builds
there, and of its builds to the one that came first. Another machine that has a
place to spare begins builds that wait, also single stages of an execution whose
other stages run elsewhere. Builds that go on from before a restart count. A build that itself waits for another keeps its place meanwhile.

A connection pooler in transaction mode may stand before the database, and need not
know of prepared statements; each control plane then needs one connection of its
own, with --database-direct, for its lock and its notifications.

While the database is unreachable, reads answer with what was known last and say of when
that is, changes are refused with when to ask again, and what runs goes on once it
is back; nothing has to be started anew.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if a.verbose {
				level = slog.LevelDebug
			}
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			config.Data, config.Token, config.Identity = a.data, a.token, a.Getenv("SHOWRUNNER_IDENTITY")
			config.Version, config.Exe, config.Now = Version(), exe, time.Now
			config.Log = slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: level}))
			config.Ready = func(m ready.Message) {
				if err := ready.Notify(m); err != nil {
					config.Log.Warn("telling the starter that the control plane is ready", "error", err)
				}
			}
			return server.RunControl(cmd.Context(), config)
		},
	}
	f := cmd.Flags()
	f.StringVar(&config.Listen, "listen", "127.0.0.1:7070", "API and pages, host:port")
	f.StringVar(&config.Edge, "edge", "127.0.0.1:8080", "where people find sites and services")
	f.StringVar(&config.AWS, "aws", "", "AWS-compatible endpoint, host:port or the next free port (default: off)")
	f.StringSliceVar(&config.Regions, "regions", []string{"us-west-2", "us-east-1", "eu-west-1"}, "local regions, the nearest first")
	f.StringVar(&config.Database, "database", "", "PostgreSQL URL (default: SQLite in the data folder)")
	f.StringVar(&config.DatabaseDirect, "database-direct", "", "the server's own URL, where --database leads through a connection pooler")
	reachFlags(f, &config)
	f.StringVar(&config.Shared, "shared", "", "folder that the control planes of several machines share (default: the data folder)")
	f.DurationVar(&config.BuildsLostAfter, "builds-lost-after", time.Minute, "how long the machine of a build may be silent before the build is started anew on another")
	keepFlags(f, &config)
	placeFlags(f, &config)
	return cmd
}

// reachFlags are the flags that say how others reach the control plane.
func reachFlags(f *pflag.FlagSet, config *server.ControlConfig) {
	f.StringSliceVar(&config.Hosts, "host", nil, "names besides localhost and that of --url that requests may be addressed to")
	f.StringVar(&config.MetricsTo, "metrics-to", "", "send metrics of services to CloudWatch once a minute: cloudwatch://REGION/NAMESPACE, with ?logs=GROUP in the embedded metric format through its logs; keys are those of the environment, or JSON in the secret named by ?secret=NAME (default: nowhere)")
	f.StringVar(&config.TracesTo, "traces-to", "", "send runs as OpenTelemetry traces to this collector, by OTLP/HTTP with protobuf: http://HOST:4318, or off (default: OTEL_EXPORTER_OTLP_ENDPOINT of the environment)")
	f.StringVar(&config.TracePage, "trace-page", "", "where people read a trace, with TRACE in the place of its identifier; runs lead there")
	f.StringVar(&config.URL, "url", "", "where others reach this control plane, for webhooks and call-backs (default: http://LISTEN)")
}

// placeFlags are the flags that say how builds run.
func placeFlags(f *pflag.FlagSet, config *server.ControlConfig) {
	f.IntVar(&config.BuildsAtOnce, "builds-at-once", server.DefaultBuildsAtOnce(), "how many builds and run stages run at once on this machine; more wait for a place; twice the processors unless it is given")
}

// keepFlags are the flags that say what is kept, and for how long.
func keepFlags(f *pflag.FlagSet, config *server.ControlConfig) {
	config.Retention, config.KeepBuilds = server.DefaultRetention(), 24*time.Hour
	f.DurationVar(&config.Retention.Age, "keep", config.Retention.Age, "how long executions that ended are kept, with their logs and the artifacts that nothing else needs")
	f.IntVar(&config.Retention.Count, "keep-count", config.Retention.Count, "how many of each pipeline are kept whatever their age")
	f.DurationVar(&config.Retention.EventAge, "keep-events", config.Retention.EventAge, "how long events are kept before they are archived")
	f.DurationVar(&config.RetentionEvery, "retention-every", time.Hour, "how often what is kept no longer is removed")
	f.DurationVar(&config.KeepBuilds, "keep-builds", config.KeepBuilds, "how long the folders of builds that ended are kept")
}
