package cli

import (
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/control"
)

func newRegionsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "regions", Short: "List regions, take one down and bring it back", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out []control.RegionStatus
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/regions", nil, &out); err != nil {
				return err
			}
			names := func() []string {
				var list []string
				for _, r := range out {
					list = append(list, r.Name)
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) { regionsText(w, out) })
		},
	}
	cmd.AddCommand(newRegionStopCommand(a), newRegionStartCommand(a))
	return cmd
}

func regionsText(w io.Writer, regions []control.RegionStatus) {
	row(w, "REGION", "ACCOUNT", "STATE", "SINCE", "ZONES", "FRONT DOOR", "S3")
	for _, r := range regions {
		state := "✓ up"
		if !r.Healthy {
			state = "✕ down"
		} else if len(r.DownZones) > 0 {
			state = "◐ without " + strings.Join(r.DownZones, ",")
		}
		row(w, r.Name, r.Account, state, ago(r.Since), strings.Join(r.Zones, ","), r.Address, r.S3)
	}
}

func newRegionStopCommand(a *app) *cobra.Command {
	var r control.RegionStop
	cmd := &cobra.Command{
		Use: "stop REGION --reason WHY", Short: "Take a region down until it is started again", Args: exactArgs("REGION"),
		Long: `Stop ends a region of the local cloud and everything in it, and leaves it down until
"showrunner regions start". The edge sends requests to the other regions. It is refused
when no other region serves.`,
		Example: `  showrunner regions stop us-west-2 --reason "trying a region outage" --kill`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/regions/"+seg(args[0])+"/stop", r, nil); err != nil {
				return err
			}
			a.say("region %s is down; showrunner regions start %s brings it back", args[0], args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why, for the people who find it down")
	cmd.Flags().BoolVar(&r.Kill, "kill", false, "as an outage does: without asking the region first")
	return cmd
}

func newRegionStartCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "start REGION", Short: "Bring a region back that was stopped", Args: exactArgs("REGION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/regions/"+seg(args[0])+"/start", nil, nil); err != nil {
				return err
			}
			a.say("region %s is starting", args[0])
			return nil
		},
	}
}
