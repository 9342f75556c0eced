package cli

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/control"
	"showrunner/problem"
)

func newDriftCommand(a *app) *cobra.Command {
	var account, cluster, site string
	var repair, detach, forget bool
	cmd := &cobra.Command{
		Use: "drift [APP]", Short: "Compare what runs with what was last deployed, and put it back with --repair", Args: cobra.MaximumNArgs(1),
		Long: `Drift compares every cluster with what was last put into traffic by a deployment, a
rollback or a repair that finished: which version has traffic, its capacity, its
suspended processes, and what a failed deployment left behind; and every website:
which deployment each region serves, and which of its objects somebody replaced or
removed in the bucket. Objects that no deployment placed are not compared. What
should be there and is not comes first. It exits with 0 when nothing differs and with
10 when something does.

--repair puts back what it can: capacities, suspended processes and websites at
once, traffic by an execution of its own, which waits for health before it shifts.
--forget says that what is not there is gone on purpose.`,
		Example: "  showrunner drift storefront\n  showrunner drift --cluster storefront-prod --repair\n  showrunner drift --site storefront --repair",
		RunE: func(cmd *cobra.Command, args []string) error {
			application := ""
			if len(args) > 0 {
				application = args[0]
			}
			var found []control.Drift
			c := a.connect()
			if err := c.Do(cmd.Context(), http.MethodGet, "/drift"+query("account", account, "application", application, "cluster", cluster, "site", site), nil, &found); err != nil {
				return err
			}
			if forget {
				return a.forget(cmd, account, cluster, site)
			}
			if site != "" && len(found) == 0 {
				return problem.New(problem.NotFound, "drift", "there is no website %q", site).WithHelp("showrunner sites lists them")
			}
			if cluster != "" && len(found) == 0 {
				return problem.New(problem.NotFound, "drift", "there is no cluster %q", cluster).WithHelp("showrunner clusters lists them")
			}
			if repair {
				return a.repair(cmd, found, detach)
			}
			names := func() []string {
				var list []string
				for _, d := range found {
					if len(d.Differences) > 0 {
						list = append(list, d.Cluster+d.Site)
					}
				}
				return list
			}
			if err := a.print(found, names, func(w io.Writer) { driftText(w, found) }); err != nil {
				return err
			}
			if len(names()) > 0 {
				return exitError{exitDifferent}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&account, "account", "", "account (default all)")
	f.StringVar(&cluster, "cluster", "", "only this cluster")
	f.StringVar(&site, "site", "", "only this website")
	exclusive(cmd, "cluster", "site")
	f.BoolVar(&repair, "repair", false, "put back what differs")
	f.BoolVar(&forget, "forget", false, "with --cluster or --site: expect what is not there no more")
	exclusive(cmd, "repair", "forget")
	f.BoolVar(&detach, "detach", false, "with --repair: do not wait for traffic to be shifted")
	return cmd
}

func driftText(w io.Writer, found []control.Drift) {
	if len(found) == 0 {
		fmt.Fprintln(w, "No clusters and no websites. Stages of the kinds deploy and deploy-site make them.")
		return
	}
	for _, d := range found {
		for _, x := range d.Differences {
			if x.Missing() {
				fmt.Fprintf(w, "✕ Not there: %s in %s, deployed as %s.\n", clean(nameOf(d)), clean(x.Region), clean(x.Deployed))
			}
		}
	}
	for _, d := range found {
		if d.Busy != "" {
			fmt.Fprintf(w, "◐ %s: execution %s is changing it; what differs may be its doing.\n", clean(nameOf(d)), clean(d.Busy))
		}
	}
	row(w, "CLUSTER OR SITE", "REGION", "DIFFERS", "DEPLOYED", "RUNS", "REPAIR")
	for _, d := range found {
		name := nameOf(d)
		if len(d.Differences) == 0 {
			state := "✓ " + d.Version + " as deployed"
			if d.Execution == "" {
				state = "▧ no deployment of it is known any more"
			}
			row(w, name, "", state)
		}
		for _, x := range d.Differences {
			remedy := x.Repair
			if d.Busy != "" {
				remedy = "once execution " + d.Busy + " has ended"
			} else if remedy == "" {
				remedy = "by hand: " + x.Help
			}
			row(w, name, x.Region, "✕ "+string(x.Kind), x.Deployed, x.Runs, remedy)
		}
	}
}

// forget ends the expectation of what is missing.
func (a *app) forget(cmd *cobra.Command, account, cluster, site string) error {
	if cluster == "" && site == "" {
		return usage("--forget needs --cluster or --site")
	}
	var out api.ChangeAnswer
	if err := a.connect().Do(cmd.Context(), http.MethodPost, "/forget", control.ForgetRequest{Account: account, Cluster: cluster, Site: site}, &out); err != nil {
		return err
	}
	return a.print(out.Done, func() []string { return out.Done }, func(w io.Writer) {
		if len(out.Done) == 0 {
			fmt.Fprintln(w, "Nothing of it is missing.")
		}
		for _, line := range out.Done {
			fmt.Fprintln(w, clean(line))
		}
	})
}

// nameOf is the name of what drift is about.
func nameOf(d control.Drift) string {
	if d.Site != "" {
		return d.Site + " (site)"
	}
	return d.Cluster
}

// repair puts everything that differs back, and watches what takes time.
func (a *app) repair(cmd *cobra.Command, found []control.Drift, detach bool) error {
	c := a.connect()
	all := map[string]control.Repaired{}
	for _, d := range found {
		if len(d.Differences) == 0 {
			continue
		}
		var out control.Repaired
		if err := c.Do(cmd.Context(), http.MethodPost, "/repairs", control.RepairRequest{Account: d.Account, Cluster: d.Cluster, Site: d.Site}, &out); err != nil {
			return err
		}
		name := nameOf(d)
		all[name] = out
		for _, done := range out.Done {
			a.say("%s: %s", name, clean(done))
		}
		for _, x := range out.Left {
			a.say("%s: %s in %s is left: %s", name, x.Kind, x.Region, clean(x.Help))
		}
		if out.Execution == "" {
			continue
		}
		a.say("%s: execution %s shifts the traffic back", name, out.Execution)
		if !detach {
			if err := a.watch(cmd.Context(), c, out.Execution, watchOptions{silent: true}); err != nil {
				return err
			}
		}
	}
	left := false
	for _, out := range all {
		left = left || len(out.Left) > 0
	}
	names := func() []string { return nil }
	if err := a.print(all, names, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "Nothing differs.")
		}
	}); err != nil {
		return err
	}
	if left {
		return exitError{exitDifferent}
	}
	return nil
}
