package cli

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/chaos/monkey"
	"showrunner/control"
)

func newChaosCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "chaos", Short: "Chaos Monkey, experiments, and the lever that stops all chaos",
		Long: `Chaos Monkey ends instances of services at random times of working days, so that it
is known that nobody notices. An application opts in with the block chaos of its
pipeline file; docs/chaos.md has the rules.

  showrunner chaos status           whether all chaos is stopped, and what comes next
  showrunner chaos stop --reason W  stop all chaos, and block what would start
  showrunner chaos now APP          end a random instance at once`,
	}
	monkey := &cobra.Command{Use: "monkey", Short: "Chaos Monkey: its schedule, its history, and what it would do"}
	monkey.AddCommand(newChaosScheduleCommand(a), newChaosEligibleCommand(a), newChaosNowCommand(a, "run"), newChaosHistoryCommand(a), newChaosSimulateCommand(a))
	cmd.AddCommand(newChaosStatusCommand(a), newChaosStopCommand(a), newChaosReleaseCommand(a), newChaosBudgetCommand(a), newChaosNowCommand(a, "now"), monkey, newChaosFaultCommand(a), newChaosExperimentCommand(a))
	return cmd
}

func newChaosStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Whether all chaos is stopped, by whom and why", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out control.ChaosLever
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/chaos", nil, &out); err != nil {
				return err
			}
			return a.printLever(out)
		},
	}
}

func (a *app) printLever(l control.ChaosLever) error {
	word := "released"
	if l.Stopped {
		word = "stopped"
	}
	return a.print(l, func() []string { return []string{word} }, func(w io.Writer) {
		row(w, "CHAOS", "SINCE", "BY", "REASON")
		row(w, word, stamp(l.At), l.By, l.Reason)
	})
}

func newChaosStopCommand(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "stop --reason WHY", Short: "Stop all chaos, and block what would start", Args: exactArgs(),
		Long: `Pulls the lever: from then on no kill happens, scheduled or on demand, until
` + "`showrunner chaos release`" + `. A kill that was decided and not carried out yet does not
happen either. The reason is kept, and shown to everybody whose chaos does not start.
The lever outlives restarts, and holds for every control plane of the database.`,
		Example: "  showrunner chaos stop --reason \"incident 42\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out control.ChaosLever
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/chaos/stop", api.StopChaosRequest{Reason: reason}, &out); err != nil {
				return err
			}
			a.say("all chaos is stopped; showrunner chaos release lets it start again")
			return a.printLever(out)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; everybody whose chaos does not start reads it (required)")
	return cmd
}

func newChaosReleaseCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "release", Short: "Let chaos start again", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out control.ChaosLever
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/chaos/release", nil, &out); err != nil {
				return err
			}
			return a.printLever(out)
		},
	}
}

// optionalApplication takes one application, or none for every one.
func optionalApplication(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage("unexpected argument %q", args[1]).WithHelp("usage: %s", cmd.UseLine())
	}
	return nil
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func newChaosScheduleCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "schedule [APP]", Short: "The days that were drawn, newest first, with their kills", Args: optionalApplication,
		Long: `Each application that opted in has its day drawn once, when the day begins in its
zone: a day without a row has no kill. Exit code 0.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var out []control.MonkeyDay
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/chaos/schedule"+query("application", first(args)), nil, &out); err != nil {
				return err
			}
			names := func() (list []string) {
				for _, d := range out {
					for _, k := range d.Kills {
						list = append(list, k.ID)
					}
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				row(w, "DAY", "APPLICATION", "DUE", "GROUP", "OUTCOME", "INSTANCE", "REASON")
				for _, d := range out {
					if len(d.Kills) == 0 {
						row(w, d.Day, d.Application, "", fmt.Sprintf("none of %d groups", d.Groups), "", "", "")
					}
					for _, k := range d.Kills {
						row(w, d.Day, d.Application, stamp(k.Due), k.Group, k.Outcome, k.Victim.ID, k.Reason)
					}
				}
			})
		},
	}
}

func newChaosHistoryCommand(a *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "history [APP]", Short: "Kills that happened, or did not and why, newest first", Args: optionalApplication,
		RunE: func(cmd *cobra.Command, args []string) error {
			var out []control.ChaosKill
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/chaos/kills"+query("application", first(args), "limit", strconv.Itoa(limit)), nil, &out); err != nil {
				return err
			}
			names := func() (list []string) {
				for _, k := range out {
					list = append(list, k.ID)
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				row(w, "WHEN", "APPLICATION", "OUTCOME", "INSTANCE", "CLUSTER", "REGION", "CAUSE", "REASON")
				for _, k := range out {
					cause := "schedule"
					if k.OnDemand {
						cause = "on demand, " + k.By
					}
					when := k.Begun
					if when.IsZero() {
						when = k.Ended
					}
					row(w, stamp(when), k.Application, k.Outcome, k.Victim.ID, k.Victim.Name, k.Victim.Region, cause, k.Reason)
				}
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many")
	return cmd
}

func newChaosEligibleCommand(a *app) *cobra.Command {
	var account, region string
	cmd := &cobra.Command{
		Use: "eligible APP [CLUSTER]", Short: "Which instances a kill could choose now, and why not the others", Args: oneOrTwo,
		RunE: func(cmd *cobra.Command, args []string) error {
			var out monkey.Decision
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/chaos/eligible"+query("application", args[0], "cluster", first(args[1:]), "account", account, "region", region), nil, &out); err != nil {
				return err
			}
			if out.Reason != "" {
				a.say("a kill would be %s: %s", out.Outcome, out.Reason)
			}
			return a.print(out, func() (list []string) {
				for _, c := range out.Choices {
					if c.Why == "" {
						list = append(list, c.ID)
					}
				}
				return list
			}, func(w io.Writer) { choicesTable(w, out.Choices, "") })
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "the account (default local)")
	cmd.Flags().StringVar(&region, "region", "", "of this region alone")
	return cmd
}

func oneOrTwo(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usage("APP is missing").WithHelp("usage: %s", cmd.UseLine())
	case 1, 2:
		return nil
	}
	return usage("unexpected argument %q", args[2]).WithHelp("usage: %s", cmd.UseLine())
}

func choicesTable(w io.Writer, choices []monkey.Choice, chosen string) {
	row(w, "INSTANCE", "CLUSTER", "REGION", "ZONE", "SERVER GROUP", "ELIGIBLE")
	for _, c := range choices {
		what := "yes"
		switch {
		case c.ID == chosen:
			what = "chosen"
		case c.Why != "":
			what = "no: " + c.Why
		}
		row(w, c.ID, c.Name, c.Region, c.Zone, c.ServerGroup, what)
	}
}

// newChaosNowCommand is `chaos now`, and `chaos monkey run`, which is the same.
func newChaosNowCommand(a *app, name string) *cobra.Command {
	var r control.ChaosRequest
	cmd := &cobra.Command{
		Use: name + " APP [CLUSTER]", Short: "End a random instance at once, and explain the choice", Args: oneOrTwo,
		Long: `Ends one instance of the application, or of one of its clusters, as a power cut
would: without draining. Each eligible instance is as likely as another. Every check
of a scheduled kill applies, except for the hours and the minimum between kills: not
while all chaos is stopped, frozen or an alarm is open, never a canary or its baseline,
never during a rollout (unless the application allows it), never below the least
capacity without --force, and never the last instance of a cluster in a region that
serves. A check that cannot be made refuses the kill.

Exit code 7 when a check refused it: nothing was ended.`,
		Example: "  showrunner chaos " + name + " storefront\n  showrunner chaos " + name + " storefront storefront-prod --region us-west-2 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Application, r.Cluster = args[0], first(args[1:])
			var out control.ChaosNow
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/chaos/kills", r, &out, client.IdempotencyKey(rand.Text())); err != nil {
				return err
			}
			k := out.Kill
			switch k.Outcome {
			case control.KillDryRun:
				a.say("%s would be ended, one of %d eligible instances of %s", clean(k.Victim.ID), k.Eligible, clean(k.Group))
			case control.Killed:
				a.say("%s was ended, chosen at random among %d eligible instances of %s", clean(k.Victim.ID), k.Eligible, clean(k.Group))
			default:
				a.say("%s: %s", k.Outcome, clean(k.Reason))
			}
			return a.print(out, func() []string { return []string{k.Victim.ID} }, func(w io.Writer) { choicesTable(w, out.Choices, k.Victim.ID) })
		},
	}
	cmd.Flags().StringVar(&r.Account, "account", "", "the account (default local)")
	cmd.Flags().StringVar(&r.Region, "region", "", "in this region alone")
	cmd.Flags().BoolVar(&r.Forced, "force", false, "also below the least capacity; never the last instance that serves")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "choose and explain, and end nothing")
	return cmd
}
