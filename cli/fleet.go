package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/internal/span"
	"showrunner/pipeline"
)

func newClustersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "clusters [APP|CLUSTER]", Short: "Show what runs: every version of every cluster, region by region", Args: cobra.MaximumNArgs(1),
		Long: `Clusters shows what runs. What was deployed and is not there comes first: then the
exit code is 10.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var missing []control.Missing
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/missing", nil, &missing); err != nil {
				return err
			}
			if len(args) > 0 {
				missing = slices.DeleteFunc(missing, func(m control.Missing) bool {
					return m.Subject.Kind != control.KindRegion && m.Subject.Name != args[0] && m.Subject.Application != args[0]
				})
			}
			var out []control.Cluster
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/clusters", nil, &out); err != nil {
				missingText(a.Err, missing) // the more so when nothing else can be said
				return err
			}
			if len(args) > 0 {
				var err error
				if out, err = a.clustersNamed(cmd.Context(), out, args[0]); err != nil && !slices.ContainsFunc(missing, func(m control.Missing) bool { return m.Subject.Kind != control.KindRegion }) {
					return err
				}
			}
			names := func() []string {
				var list []string
				for _, c := range out {
					list = append(list, c.Name)
				}
				return list
			}
			if err := a.print(out, names, func(w io.Writer) {
				missingText(w, missing)
				if len(out) > 0 || len(missing) == 0 {
					clustersText(w, out)
				}
			}); err != nil {
				return err
			}
			if len(missing) > 0 {
				return exitError{exitDifferent}
			}
			return nil
		},
	}
}

// clustersNamed are the cluster of a name, or the clusters of an application; an
// application may have none. Errors: not_found.
func (a *app) clustersNamed(ctx context.Context, all []control.Cluster, name string) ([]control.Cluster, error) {
	named := []control.Cluster{}
	var names []string
	for _, c := range all {
		if c.Name == name || c.Application == name {
			named = append(named, c)
		}
		names = append(names, c.Name, c.Application)
	}
	var applications []control.Application
	if len(named) == 0 {
		if err := a.connect().Do(ctx, http.MethodGet, "/applications", nil, &applications); err != nil {
			return nil, err
		}
	}
	for _, app := range applications {
		names = append(names, app.Name)
	}
	if len(named) > 0 || slices.Contains(names, name) {
		return named, nil
	}
	err := notFound("neither a cluster nor an application is called %s", name).WithHelp("showrunner clusters lists all")
	if near := pipeline.Nearest(name, names); near != "" {
		err = err.WithHelp("did you mean %s?", near)
	}
	return nil, err
}

// missingText says what should be there and is not.
func missingText(w io.Writer, missing []control.Missing) {
	for _, m := range missing {
		fmt.Fprintf(w, "✕ Not there: %s\n  help: %s\n", clean(m.String()), clean(m.Help))
	}
}

func clustersText(w io.Writer, clusters []control.Cluster) {
	if len(clusters) == 0 {
		fmt.Fprintln(w, "No clusters. A deploy stage makes them; `showrunner demo` shows one.")
		return
	}
	row(w, "CLUSTER", "REGION", "SERVER GROUP", "VERSION", "TRAFFIC", "SERVING", "CAPACITY", "AGE", "NOTE")
	for _, c := range clusters {
		for _, g := range slices.Backward(c.Groups) {
			note := cleanUpText(c, g)
			if g.IsBaseline() && !g.Destroying {
				note = "baseline: a copy of " + g.Spec.CopyOf + ", compared with a canary"
			}
			if g.LastFailure != nil && g.Serving() < g.Capacity.Desired {
				note = g.LastFailure.Code + ": " + g.LastFailure.Cause
			}
			row(w, c.Name, g.Region, g.Name, g.Spec.Version, share(c.Groups, g), fmt.Sprintf("%d/%d", g.Serving(), g.Capacity.Desired),
				fmt.Sprintf("%d..%d", g.Capacity.Min, g.Capacity.Max), ago(g.Created), note)
		}
		for region, why := range c.Unreachable {
			row(w, c.Name, region, "✕ unreachable: "+why)
		}
	}
}

// cleanUpText describes the clean-up of a group that a rollout has replaced.
func cleanUpText(c control.Cluster, g cloud.ServerGroup) string {
	for _, f := range c.GroupCleanUps {
		if f.Region == g.Region && f.ServerGroup == g.Name {
			if f.Until.IsZero() {
				return f.Text
			}
			return f.Text + " until " + clock(f.Until, time.Now())
		}
	}
	return ""
}

// share is a group's part of its region's traffic.
func share(groups []cloud.ServerGroup, g cloud.ServerGroup) string {
	total := 0.0
	for _, o := range groups {
		if o.Region == g.Region {
			total += o.Weight
		}
	}
	if g.Weight == 0 || total == 0 {
		return "○ none"
	}
	return strconv.FormatFloat(100*g.Weight/total, 'f', -1, 64) + "%"
}

func newInstancesCommand(a *app) *cobra.Command {
	var ended bool
	cmd := &cobra.Command{
		Use: "instances [APP]", Short: "List instances, or those that ended lately and why", Args: cobra.MaximumNArgs(1),
		Example: "  showrunner instances storefront\n  showrunner instances storefront --ended",
		RunE: func(cmd *cobra.Command, args []string) error {
			application := ""
			if len(args) > 0 {
				application = args[0]
			}
			var out []cloud.Instance
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/instances"+query("application", application, "ended", strconv.FormatBool(ended)), nil, &out); err != nil {
				return err
			}
			names := func() []string {
				var list []string
				for _, i := range out {
					list = append(list, i.ID)
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				if ended {
					endedText(w, out)
					return
				}
				if len(out) == 0 {
					fmt.Fprintln(w, "No instances. `showrunner clusters` shows what there is, --ended those that ended lately.")
					return
				}
				row(w, "INSTANCE", "SERVER GROUP", "ZONE", "STATE", "ADDRESS", "PID", "CPU", "MEMORY", "AGE")
				for _, i := range out {
					state := string(i.Lifecycle)
					if i.Lifecycle == cloud.InService && (!i.Healthy || i.Failure != nil) {
						state += ", unhealthy"
					}
					if i.Hook != nil {
						state += ", " + span.Text(time.Until(i.Hook.Until)) + " left"
					}
					if i.Protected {
						state += ", protected"
					}
					row(w, i.ID, i.ServerGroup, i.Zone, state, i.Address, i.PID, fmt.Sprintf("%.2f", i.CPU), fmt.Sprintf("%d MiB", i.Memory>>20), ago(i.Launched))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&ended, "ended", false, "those that ended lately, newest first in each server group")
	return cmd
}

func endedText(w io.Writer, list []cloud.Instance) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No instance ended lately.")
		return
	}
	row(w, "INSTANCE", "SERVER GROUP", "ZONE", "SERVED", "ENDED", "WHY")
	for _, i := range list {
		served, why := "never", i.Why
		if !i.ServingSince.IsZero() {
			served = span.Text(i.Ended.Sub(i.ServingSince))
		}
		if f := i.Failure; f != nil {
			why = f.Code + ": " + f.Cause
		}
		row(w, i.ID, i.ServerGroup, i.Zone, served, ago(i.Ended), why)
	}
}

func newLogsCommand(a *app) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs INSTANCE", Short: "Print what an instance wrote", Args: exactArgs("INSTANCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			stream, err := a.connect().Stream(cmd.Context(), "/instances/"+seg(args[0])+"/log"+query("follow", strconv.FormatBool(follow)))
			if err != nil {
				return err
			}
			defer stream.Close()
			_, err = io.Copy(a.Out, stream)
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on")
	return cmd
}

// change makes one change of a cluster and says what was done.
func (a *app) change(cmd *cobra.Command, cluster string, ch control.ClusterChange) error {
	var out api.ChangeAnswer
	if err := a.connect().Do(cmd.Context(), http.MethodPatch, "/clusters/"+seg(cluster), ch, &out); err != nil {
		return err
	}
	return a.print(out, func() []string { return out.Done }, func(w io.Writer) {
		for _, d := range out.Done {
			fmt.Fprintln(w, clean(d))
		}
	})
}

// groupFlags choose the server groups of a change.
func groupFlags(cmd *cobra.Command, ch *control.ClusterChange) {
	cmd.Flags().StringVar(&ch.Account, "account", "", "account (default local)")
	cmd.Flags().StringVar(&ch.Region, "region", "", "only this region")
	cmd.Flags().StringVar(&ch.ServerGroup, "server-group", "", "this version instead of the newest that fits")
}

func newResizeCommand(a *app) *cobra.Command {
	var ch control.ClusterChange
	var low, desired, high int
	cmd := &cobra.Command{
		Use: "resize CLUSTER", Short: "Change how many instances a server group has", Args: exactArgs("CLUSTER"),
		Example: "  showrunner resize storefront-prod --desired 4 --region us-east-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			c := control.CapacityChange{}
			for _, f := range []struct {
				name  string
				value *int
				to    **int
			}{{"min", &low, &c.Min}, {"desired", &desired, &c.Desired}, {"max", &high, &c.Max}} {
				if cmd.Flags().Changed(f.name) {
					*f.to = f.value
				}
			}
			if c == (control.CapacityChange{}) {
				return usage("no number was given").WithHelp("give --desired, --min or --max")
			}
			ch.Capacity = &c
			return a.change(cmd, args[0], ch)
		},
	}
	groupFlags(cmd, &ch)
	cmd.Flags().IntVar(&low, "min", 0, "fewest")
	cmd.Flags().IntVar(&desired, "desired", 0, "wanted now")
	cmd.Flags().IntVar(&high, "max", 0, "most")
	return cmd
}

func newDisableCommand(a *app) *cobra.Command {
	var ch control.ClusterChange
	cmd := &cobra.Command{
		Use: "disable CLUSTER", Aliases: []string{"drain"}, Short: "Take a server group out of traffic; never the last that serves", Args: exactArgs("CLUSTER"),
		Example: "  showrunner disable storefront-prod --server-group storefront-prod-v007 --region us-east-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			ch.Disable = true
			return a.change(cmd, args[0], ch)
		},
	}
	groupFlags(cmd, &ch)
	return cmd
}

func newEnableCommand(a *app) *cobra.Command {
	var ch control.ClusterChange
	cmd := &cobra.Command{
		Use: "enable CLUSTER", Short: "Give a disabled server group traffic again", Args: exactArgs("CLUSTER"),
		Example: "  showrunner enable storefront-prod --server-group storefront-prod-v006",
		RunE: func(cmd *cobra.Command, args []string) error {
			ch.Enable = true
			return a.change(cmd, args[0], ch)
		},
	}
	groupFlags(cmd, &ch)
	return cmd
}

func newDestroyCommand(a *app) *cobra.Command {
	var ch control.ClusterChange
	cmd := &cobra.Command{
		Use: "destroy CLUSTER --server-group NAME", Short: "Terminate a server group; never the last that serves", Args: exactArgs("CLUSTER"),
		Example: "  showrunner destroy storefront-prod --server-group storefront-prod-v005",
		RunE: func(cmd *cobra.Command, args []string) error {
			if ch.ServerGroup == "" {
				return usage("--server-group is missing").WithHelp("showrunner clusters lists the names")
			}
			ch.Destroy = true
			return a.change(cmd, args[0], ch)
		},
	}
	groupFlags(cmd, &ch)
	return cmd
}

func newSuspendCommand(a *app) *cobra.Command { return a.processes("suspend", "Suspend") }
func newResumeCommand(a *app) *cobra.Command  { return a.processes("resume", "Resume") }

func (a *app) processes(word, title string) *cobra.Command {
	var ch control.ClusterChange
	cmd := &cobra.Command{
		Use:   word + "-processes CLUSTER PROCESS…",
		Short: title + " processes of a server group (Launch, Terminate, HealthCheck, ReplaceUnhealthy, AZRebalance, …)", Args: cobra.MinimumNArgs(2),
		Long: title + ` what a server group does by itself, in every region or those named:

  Launch             start instances; unhealthy ones end all the same
  Terminate          end instances, to shrink or to replace
  HealthCheck        look whether instances are well
  ReplaceUnhealthy   replace those that are not
  AZRebalance        even out zones
  AddToLoadBalancer  give new instances traffic; those that became ready meanwhile get it on resume
  AlarmNotification  follow scaling policies
  ScheduledActions   follow schedules; what is missed is not made up for

What is suspended stays so until it is resumed; showrunner drift tells of it.`,
		Example: "  showrunner " + word + "-processes storefront-prod Launch AZRebalance --region us-east-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			if word == "suspend" {
				ch.Suspend = args[1:]
			} else {
				ch.Resume = args[1:]
			}
			return a.change(cmd, args[0], ch)
		},
	}
	groupFlags(cmd, &ch)
	return cmd
}
