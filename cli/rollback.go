package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
)

func newRollbackCommand(a *app) *cobra.Command {
	var r control.RollbackRequest
	var site, detach, list bool
	cmd := &cobra.Command{
		Use:   "rollback CLUSTER|SITE",
		Short: "Return a cluster or a website to an earlier version",
		Long: `Rollback starts an execution of its own that returns to an earlier version which
is still kept: nothing is built or uploaded. Without --to it is the version before.
Where a cluster and a website have the same name, --site means the website.

What cannot be returned to is refused at once, and nothing is started: a version that
is not kept with exit code 6, with the versions that are; where no earlier version is
kept, or not in every region, with exit code 7.

--list shows the versions that --to takes, and starts nothing. Without CLUSTER or SITE
rollback lists them for every cluster and website, and ends with exit code 2.`,
		Example: "  showrunner rollback storefront-prod\n  showrunner rollback storefront-prod --list\n  showrunner rollback --site storefront --to 4f1c2ab",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return exactArgs("CLUSTER")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if err := a.listKept(cmd.Context(), r.Account, "", site); err != nil {
					return err
				}
				return usage("CLUSTER or SITE is missing").WithHelp("showrunner rollback NAME returns to the version before, showrunner rollback NAME --to VERSION to a version of the list")
			}
			if list {
				return a.listKept(cmd.Context(), r.Account, args[0], site)
			}
			if site {
				r.Site = args[0]
			} else {
				r.Cluster = args[0]
			}
			var e execution.Execution
			c := a.connect()
			err := c.Do(cmd.Context(), http.MethodPost, "/rollbacks", r, &e)
			if problem.CodeOf(err) == problem.NotFound && !site && a.isOnlySite(cmd.Context(), r.Account, r.Cluster) {
				r.Site, r.Cluster = r.Cluster, ""
				err = c.Do(cmd.Context(), http.MethodPost, "/rollbacks", r, &e)
			}
			if err != nil {
				return err
			}
			if detach {
				return a.print(e, func() []string { return []string{e.ID} }, func(w io.Writer) { fmt.Fprintf(w, "started %s\n", e.ID) })
			}
			return a.watch(cmd.Context(), c, e.ID, watchOptions{})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&site, "site", false, "the name is a website's")
	f.StringVar(&r.To, "to", "", "a version, server group or deployment")
	f.BoolVar(&list, "list", false, "list the versions that --to takes, and start nothing")
	f.StringVar(&r.Account, "account", "", "account (default local)")
	f.StringSliceVar(&r.Regions, "region", nil, "only these regions")
	f.BoolVar(&detach, "detach", false, "do not wait for it")
	exclusive(cmd, "list", "to")
	exclusive(cmd, "list", "detach")
	return cmd
}

// isOnlySite tells whether a website has the name, and no cluster.
func (a *app) isOnlySite(ctx context.Context, account, name string) bool {
	var kept []control.Kept
	if err := a.connect().Do(ctx, http.MethodGet, "/kept-versions"+query("account", account, "name", name), nil, &kept); err != nil {
		return false
	}
	return len(kept) > 0 && !slices.ContainsFunc(kept, func(k control.Kept) bool { return k.Kind != control.KindSite })
}

// listKept prints the versions that a rollback takes as its target; site leaves
// clusters out.
func (a *app) listKept(ctx context.Context, account, name string, site bool) error {
	var out []control.Kept
	if err := a.connect().Do(ctx, http.MethodGet, "/kept-versions"+query("account", account, "name", name), nil, &out); err != nil {
		return err
	}
	if site {
		out = slices.DeleteFunc(out, func(k control.Kept) bool { return k.Kind != control.KindSite })
	}
	names := func() []string {
		var list []string
		for _, k := range out {
			for _, v := range k.Versions {
				list = append(list, v.Name)
			}
		}
		return list
	}
	return a.print(out, names, func(w io.Writer) { keptText(w, out) })
}

func keptText(w io.Writer, list []control.Kept) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No cluster and no website: nothing was deployed yet.")
		return
	}
	row(w, "NAME", "TO", "VERSION", "COMMIT", "MESSAGE", "AUTHOR", "AGE", "REGIONS", "NOTE")
	for _, k := range list {
		for _, v := range k.Versions {
			var commit, message, author string
			if v.Revision != nil {
				commit, message, author = execution.ShortCommit(v.Revision.Commit), firstLine(v.Revision.Message), v.Revision.Author
			}
			row(w, k.Name, v.Name, v.Version, commit, message, author, ago(v.Created), strings.Join(v.Regions, ","), keptNote(v))
		}
		for region, why := range k.Unreachable {
			row(w, k.Name, "✕ "+region+" is unreachable: "+why)
		}
	}
}

// keptNote says what stands out about a version.
func keptNote(v control.KeptVersion) string {
	switch {
	case len(v.Live) == len(v.Regions):
		return "live"
	case len(v.Live) > 0:
		return "live in " + strings.Join(v.Live, ", ")
	case len(v.Before) > 0:
		return "the version before"
	}
	return ""
}
