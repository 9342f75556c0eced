package cli

import (
	"context"
	"io"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/pipeline"
)

// sitesNamed are the website of a name, or the websites of an application; an
// application may have none. Errors: not_found.
func (a *app) sitesNamed(ctx context.Context, all []control.SiteStatus, name string) ([]control.SiteStatus, error) {
	named := []control.SiteStatus{}
	var names []string
	for _, s := range all {
		if s.Name == name || s.Application == name {
			named = append(named, s)
		}
		names = append(names, s.Name)
	}
	if len(named) > 0 {
		return named, nil
	}
	if err := a.eachApplication(ctx, func(app control.Application) { names = append(names, app.Name) }); err != nil {
		return nil, err
	}
	if slices.Contains(names, name) {
		return named, nil
	}
	err := notFound("neither a website nor an application is called %s", name).WithHelp("showrunner sites lists all")
	if near := pipeline.Nearest(name, names); near != "" {
		err = err.WithHelp("did you mean %s?", near)
	}
	return nil, err
}

func newSitesCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "sites [APP|SITE]", Short: "List websites", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out []control.SiteStatus
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/sites", nil, &out); err != nil {
				return err
			}
			if len(args) > 0 {
				var err error
				if out, err = a.sitesNamed(cmd.Context(), out, args[0]); err != nil {
					return err
				}
			}
			names := func() []string {
				var list []string
				for _, s := range out {
					list = append(list, s.Name)
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				row(w, "SITE", "URL", "REGION", "VERSION", "DEPLOYMENT", "AT")
				for _, s := range out {
					for _, d := range s.Current {
						row(w, s.Name, s.URL, d.Region, d.Version, d.ID, d.At)
					}
				}
			})
		},
	}
	var account string
	deployments := &cobra.Command{
		Use: "deployments SITE", Short: "List what a website has been, newest first", Args: exactArgs("SITE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out []cloud.SiteDeployment
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/sites/"+seg(args[0])+"/deployments"+query("account", account), nil, &out); err != nil {
				return err
			}
			names := func() []string {
				var list []string
				for _, d := range out {
					list = append(list, d.ID)
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				row(w, "REGION", "DEPLOYMENT", "VERSION", "NOW", "UPLOADED", "UNCHANGED", "DELETED", "BYTES", "AT")
				for _, d := range out {
					now := ""
					if d.Current {
						now = "✓ serves"
					}
					row(w, d.Region, d.ID, d.Version, now, d.Uploaded, d.Unchanged, d.Deleted, d.Bytes, d.At)
				}
			})
		},
	}
	deployments.Flags().StringVar(&account, "account", "", "account (default local)")
	cmd.AddCommand(deployments)
	return cmd
}
