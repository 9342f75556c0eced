package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/control"
)

func newTriggersCommand(a *app) *cobra.Command {
	var failing bool
	cmd := &cobra.Command{
		Use: "triggers [APP|APP/PIPELINE]", Short: "Show what starts pipelines, when next, and why it does not work",
		Long: `Triggers lists what starts pipelines without a person, in the order of their files:
when a poll looks again and a schedule is due, what each started last, and why the
last look or start did not work, how often in a row and since when; why one can start
nothing as things are; and for pushes and webhooks the address that deliveries are sent
to. What came in there, "showrunner deliveries" tells.`,
		Example: "  showrunner triggers storefront\n  showrunner triggers --failing -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			application, name := "", ""
			if len(args) > 0 {
				application = args[0]
			}
			if strings.Contains(application, "/") {
				var err error
				if application, name, err = splitPipeline(args[0]); err != nil {
					return err
				}
			}
			var out []control.TriggerStatus
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/triggers"+query("application", application, "pipeline", name), nil, &out); err != nil {
				return err
			}
			if failing {
				out = slices.DeleteFunc(out, func(t control.TriggerStatus) bool { return !t.Fails() })
			}
			names := func() []string {
				var list []string
				for _, t := range out {
					list = append(list, t.Application+"/"+t.Pipeline+" "+t.Kind+" "+t.Trigger)
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				row(w, "PIPELINE", "KIND", "TRIGGER", "NEXT", "LAST START", "EXECUTION", "STATE")
				for _, t := range out {
					row(w, t.Application+"/"+t.Pipeline, t.Kind, t.Trigger, stamp(t.Next), ago(t.Last), t.Execution, triggerState(t))
				}
				triggerAddresses(w, out)
			})
		},
	}
	cmd.Flags().BoolVar(&failing, "failing", false, "only those that do not work")
	return cmd
}

// triggerState says whether a trigger works. Nothing is known of those that
// others deliver to.
func triggerState(t control.TriggerStatus) string {
	switch {
	case t.Blocked != "":
		return "✕ cannot start a run: " + t.Blocked
	case t.Failures > 0:
		return fmt.Sprintf("✕ failed %d× since %s: %s", t.Failures, stamp(t.Failing), t.Error)
	case t.Kind == "push" || t.Kind == "webhook":
		return "see deliveries"
	}
	return "✓ ok"
}

// triggerAddresses says where deliveries for pushes and webhooks are sent to. All pushes
// of an application share one address at each forge.
func triggerAddresses(w io.Writer, all []control.TriggerStatus) {
	said := map[string]bool{}
	local := false
	for _, t := range all {
		if len(t.Addresses) == 0 {
			continue
		}
		if len(said) == 0 {
			fmt.Fprintln(w, "\nAddresses for webhooks (JSON, signed with the trigger's secret):")
		}
		title := t.Application + "/" + t.Pipeline + ", webhook " + t.Trigger
		if t.Kind == "push" {
			title = t.Application + ", pushes: one webhook of the repository starts every pipeline of the application that fits"
			if len(t.Addresses) > 1 {
				title += "; take the address of your forge"
			}
		}
		for _, a := range t.Addresses {
			if said[a] {
				continue
			}
			if title != "" {
				fmt.Fprintln(w, "  "+title)
				title = ""
			}
			fmt.Fprintln(w, "    "+a)
			said[a], local = true, local || isLocal(a)
		}
	}
	if local {
		fmt.Fprintln(w, "Others reach the control plane by another address: start it with --url https://HOST.")
	}
}

// isLocal tells whether an address means this machine to everybody else too.
func isLocal(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
