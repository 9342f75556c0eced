package cli

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api/client"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/pipeline"
)

func newChaosFaultCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "fault", Short: "Begin, list and undo faults",
		Long: `A fault makes part of a region ill for a while, so that it is known what users notice.
It ends by itself after its duration, whatever becomes of the control plane: the region
keeps it, and a region that restarts begins without any fault. docs/chaos.md describes
each kind.`,
	}
	cmd.AddCommand(newFaultStartCommand(a), newFaultListCommand(a), newFaultUndoCommand(a))
	return cmd
}

func newFaultStartCommand(a *app) *cobra.Command {
	var r control.FaultRequest
	var duration, latency, jitter string
	var mebibytes int64
	cmd := &cobra.Command{
		Use: "start KIND [--region REGION] --for DURATION", Short: "Begin a fault", Args: exactArgs("KIND"),
		Long: `KIND is one of

  hang         instances are stopped: they take connections and answer nothing (SIGSTOP)
  restart      instances are killed, and start again in place when the fault is over
  latency      answers of instances are late by --latency, plus or minus up to --jitter
  errors       requests are answered with --status in the place of instances
  abort        requests are broken off, as by an instance that closes the connection
  blackhole    requests are not answered until the fault is over, nor health checks
  bandwidth    the bodies of answers come at --rate bytes a second
  slow-close   the end of each answer comes --latency after the rest
  cpu          a program beside each instance uses --cores of the processor
  memory       a program beside each instance holds --mib MiB of memory
  disk         --mib MiB of the disk are taken in the folder of each instance
  zone-outage  the instances of --zone are killed, and nothing starts there
  region-outage the region is killed with everything in it, and nothing starts there
  partition    control cannot reach the region, which goes on to serve
  database-away this control plane's database refuses every call
  slow-disk    each change of that database takes --latency longer, ± --jitter

hang, restart, cpu, memory and disk hit one instance of --cluster, or as many as --count, --share
or --all say. Those that hit requests hit every instance, also those that start meanwhile, unless some are
selected. --percent, --path and --header choose the requests.

--at says where requests are hit: at the instance, so that the load balancer tries
another one; at the balancer, so that the caller sees it; or at the edge, on the way to
the region. --from hits the requests of one service alone, at the balancer: it is the
dependency of that service which seems ill, and nobody else notices.

The checks are those of showrunner chaos now; hang, restart, blackhole and zone-outage never
take the last instance of a cluster in the region that serves, and region-outage never
the only region in which a cluster serves. Exit code 7 when one refused
the fault: nothing was begun.`,
		Example: "  showrunner chaos fault start latency --region us-west-2 --cluster storefront-prod --latency 300ms --jitter 100ms --percent 50 --for 2m\n" +
			"  showrunner chaos fault start errors --region us-west-2 --cluster catalog --from storefront-prod --status 503 --path /search --for 1m\n" +
			"  showrunner chaos fault start hang --region eu-west-1 --cluster storefront-prod --count 2 --for 1m",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Kind = cloud.FaultKind(args[0])
			for _, d := range []struct {
				flag, text string
				seconds    *float64
				scale      float64
			}{{"--for", duration, &r.DurationSeconds, 1}, {"--latency", latency, &r.LatencyMillis, 1000}, {"--jitter", jitter, &r.JitterMillis, 1000}} {
				if d.text == "" {
					continue
				}
				v, err := pipeline.ParseDuration(d.text)
				if err != nil {
					return usage("%s: %v", d.flag, err)
				}
				*d.seconds = time.Duration(v).Seconds() * d.scale
			}
			r.Bytes = mebibytes << 20
			var out control.ChaosFault
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/chaos/faults", r, &out, client.IdempotencyKey(rand.Text())); err != nil {
				return err
			}
			a.say("fault %s is %s until %s; showrunner chaos fault undo %s ends it", clean(out.ID), out.State, stamp(out.Until), clean(out.ID))
			return a.print(out, func() []string { return []string{out.ID} }, func(w io.Writer) { faultTable(w, []control.ChaosFault{out}) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Account, "account", "", "the account (default local)")
	f.StringVar(&r.Region, "region", "", "the region (required, except for database-away and slow-disk)")
	f.StringVar(&duration, "for", "", "how long, such as 2m (required)")
	f.StringVar(&r.Cluster, "cluster", "", "the cluster that is hit")
	f.StringVar(&r.Zone, "zone", "", "the zone that goes down, or of the instances that are hit")
	f.StringVar(&r.Version, "server-group", "", "of this server group's instances alone")
	f.StringSliceVar(&r.Instance, "instance", nil, "these instances alone")
	f.IntVar(&r.Count, "count", 0, "so many of the instances, chosen at random")
	f.Float64Var(&r.Share, "share", 0, "so many percent of the instances, rounded down, at least one")
	f.BoolVar(&r.All, "all", false, "hang, restart, cpu, memory, disk: every instance that is selected")
	f.StringVar(&latency, "latency", "", "latency: how late answers are, such as 300ms")
	f.StringVar(&jitter, "jitter", "", "latency: plus or minus up to so much")
	f.IntVar(&r.Status, "status", 0, "errors: the status, from 400 to 599")
	f.Float64Var(&r.Percent, "percent", 0, "of the requests (default all)")
	f.StringVar(&r.Path, "path", "", "requests whose path begins with this")
	f.StringVar((*string)(&r.At), "at", "", "where requests are hit: instance (default), balancer or edge")
	f.StringVar(&r.From, "from", "", "the requests of this service alone, a cluster or a server group")
	f.Float64Var(&r.Cores, "cores", 0, "cpu: so many cores, such as 0.5")
	f.Int64Var(&mebibytes, "mib", 0, "memory and disk: MiB for each instance")
	f.Int64Var(&r.Bandwidth, "rate", 0, "bandwidth: bytes a second")
	f.StringVar(&r.Header, "header", "", "requests that have this field: Name, or 'Name: value'")
	f.BoolVar(&r.Forced, "force", false, "also below the least capacity; never the last instance that serves")
	f.BoolVar(&r.DuringRollouts, "during-rollouts", false, "also while a rollout changes the cluster")
	_ = cmd.MarkFlagRequired("for") // it has just been defined
	return cmd
}

func faultTable(w io.Writer, list []control.ChaosFault) {
	row(w, "FAULT", "STATE", "REGION", "TARGET", "UNTIL", "BY", "WHAT", "REASON")
	for _, f := range list {
		target := f.Cluster
		switch {
		case f.Zone != "":
			target = f.Zone
		case len(f.Instances) > 0:
			target += ": " + strings.Join(f.Instances, ", ")
		}
		if target == "" {
			target = f.Region
		}
		if target == "" {
			target = "the control plane"
		}
		what := string(f.Kind)
		switch f.Kind {
		case "latency", control.FaultSlowDisk:
			what = fmt.Sprintf("%s %s ± %s", f.Kind, f.Latency, f.Jitter)
		case "errors":
			what = fmt.Sprintf("errors %d", f.Status)
		case "cpu":
			what = fmt.Sprintf("cpu %g cores", f.Cores)
		case "memory", "disk":
			what = fmt.Sprintf("%s %d MiB", f.Kind, f.Bytes>>20)
		case "bandwidth":
			what = fmt.Sprintf("bandwidth %d B/s", f.Bandwidth)
		case "slow-close":
			what = fmt.Sprintf("slow-close %s", f.Latency)
		}
		if f.At != "" {
			what += " at the " + string(f.At)
		}
		if f.From != "" {
			what += " from " + f.From
		}
		if f.Percent > 0 {
			what += fmt.Sprintf(", %v%%", f.Percent)
		}
		row(w, f.ID, f.State, f.Region, target, stamp(f.Until), f.By, strings.TrimSpace(what+" "+f.Path+" "+f.Header), f.Reason)
	}
}

func newFaultListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Faults that are active, or ended lately", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out []control.ChaosFault
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/chaos/faults", nil, &out); err != nil {
				return err
			}
			return a.print(out, func() (names []string) {
				for _, f := range out {
					names = append(names, f.ID)
				}
				return names
			}, func(w io.Writer) { faultTable(w, out) })
		},
	}
}

func newFaultUndoCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "undo FAULT", Short: "End a fault at once", Args: exactArgs("FAULT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out control.ChaosFault
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/chaos/faults/"+seg(args[0])+"/undo", nil, &out); err != nil {
				return err
			}
			return a.print(out, func() []string { return []string{out.ID} }, func(w io.Writer) { faultTable(w, []control.ChaosFault{out}) })
		},
	}
}
