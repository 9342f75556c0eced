package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/control"
	"showrunner/eventlog"
	"showrunner/pipeline"
	"showrunner/secret"
	"showrunner/store/record"
)

func newSecretCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "secret", Short: "Set, list and delete secrets",
		Long: `Secrets are encrypted at rest, referenced as ${{ secrets.NAME }} in pipeline
files, and masked in logs. The value is read from standard input, so that it
appears in no process list and no shell history.`,
		Example: "  printf %s \"$TOKEN\" | showrunner secret set github-token",
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "set NAME", Short: "Create or replace a secret; the value is standard input", Args: exactArgs("NAME"),
			RunE: func(cmd *cobra.Command, args []string) error {
				value, err := io.ReadAll(io.LimitReader(a.In, secret.MaxSize+2))
				if err != nil {
					return usage("standard input: %v", err)
				}
				// One newline at the end is the shell's, not the secret's.
				text := strings.TrimSuffix(strings.TrimSuffix(string(value), "\n"), "\r")
				if err := a.connect().Do(cmd.Context(), http.MethodPut, "/secrets"+query("name", args[0]), []byte(text), nil); err != nil {
					return err
				}
				a.say("secret %s set", args[0])
				return nil
			},
		},
		&cobra.Command{
			Use: "list", Short: "List secrets by name", Args: exactArgs(),
			RunE: func(cmd *cobra.Command, _ []string) error {
				var out []secret.Info
				if err := a.connect().Do(cmd.Context(), http.MethodGet, "/secrets", nil, &out); err != nil {
					return err
				}
				names := func() []string {
					var list []string
					for _, i := range out {
						list = append(list, i.Name)
					}
					return list
				}
				return a.print(out, names, func(w io.Writer) {
					row(w, "NAME", "UPDATED")
					for _, i := range out {
						row(w, i.Name, ago(i.Updated))
					}
				})
			},
		},
		&cobra.Command{
			Use: "delete NAME", Short: "Delete a secret", Args: exactArgs("NAME"),
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := a.connect().Do(cmd.Context(), http.MethodDelete, "/secrets"+query("name", args[0]), nil, nil); err != nil {
					return err
				}
				a.say("secret %s deleted", args[0])
				return nil
			},
		})
	return cmd
}

func newFreezeCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "freeze", Short: "Hold deployments back for a while",
		Long: `A freeze lets stages that run end, and holds back the next stage of any execution
that would change a cloud, until the freeze is over or deleted. Rollbacks and repairs
go on, unless the freeze is set with --rollbacks.`,
	}
	var f control.Freeze
	var from, to string
	var force bool
	set := &cobra.Command{
		Use: "set NAME --reason WHY", Short: "Create or replace a freeze", Args: exactArgs("NAME"),
		Example: "  showrunner freeze set holidays --reason \"peak week\" --to 2026-12-27T00:00:00Z --exempt 'storefront/hotfix' --exempt-reason \"security fixes\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, b := range []struct {
				text string
				to   *time.Time
			}{{from, &f.From}, {to, &f.To}} {
				if b.text == "" {
					continue
				}
				t, err := ahead(b.text, time.Now())
				if err != nil {
					return err
				}
				*b.to = t
			}
			f.Name = args[0]
			var out control.Freeze
			if err := a.connect().Do(cmd.Context(), http.MethodPut, "/freezes/"+seg(args[0])+query("force", strconv.FormatBool(force)), f, &out); err != nil {
				return err
			}
			a.say("freeze %s set, %s", args[0], freezeEnd(out))
			return nil
		},
	}
	set.Flags().StringVar(&f.Reason, "reason", "", "why; everybody who waits reads it")
	set.Flags().StringSliceVar(&f.Applications, "application", nil, "only these applications (globs)")
	set.Flags().StringSliceVar(&f.Exempt, "exempt", nil, "pipelines that go on, APP/PIPELINE (globs)")
	set.Flags().StringVar(&f.ExemptReason, "exempt-reason", "", "why they go on")
	set.Flags().StringVar(&from, "from", "", "begins at this time, or after this long such as 2h (default now)")
	set.Flags().StringVar(&to, "to", "", "ends at this time, or after this long from now such as 2h or 3d (default when it is deleted)")
	set.Flags().BoolVar(&force, "force", false, "also for applications that are not there yet")
	set.Flags().BoolVar(&f.Rollbacks, "rollbacks", false, "hold rollbacks and repairs back too")
	cmd.AddCommand(set,
		&cobra.Command{
			Use: "list", Short: "List freezes", Args: exactArgs(),
			RunE: func(cmd *cobra.Command, _ []string) error {
				var out []control.Freeze
				if err := a.connect().Do(cmd.Context(), http.MethodGet, "/freezes", nil, &out); err != nil {
					return err
				}
				names := func() []string {
					var list []string
					for _, f := range out {
						list = append(list, f.Name)
					}
					return list
				}
				return a.print(out, names, func(w io.Writer) {
					row(w, "NAME", "APPLICATIONS", "FROM", "TO", "BY", "REASON")
					for _, f := range out {
						row(w, f.Name, orAll(f.Applications), stamp(f.From), freezeEnd(f), f.By, f.Reason)
					}
				})
			},
		},
		&cobra.Command{
			Use: "delete NAME", Short: "End a freeze", Args: exactArgs("NAME"),
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := a.connect().Do(cmd.Context(), http.MethodDelete, "/freezes/"+seg(args[0]), nil, nil); err != nil {
					return err
				}
				a.say("freeze %s ended", args[0])
				return nil
			},
		})
	return cmd
}

// ahead reads a time, or how long from now it is.
func ahead(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	var d pipeline.Duration
	if err := json.Unmarshal([]byte(strconv.Quote(text)), &d); err == nil && d >= 0 {
		return now.Add(time.Duration(d)).UTC().Truncate(time.Second), nil
	}
	return time.Time{}, usage("%q is no time", text).WithHelp("write it as 2026-12-27T00:00:00Z, or how long from now, such as 2h or 3d")
}

// freezeEnd says when a freeze ends.
func freezeEnd(f control.Freeze) string {
	if f.To.IsZero() {
		return "until it is deleted"
	}
	return "until " + stamp(f.To)
}

func orAll(list []string) string {
	if len(list) == 0 {
		return "all"
	}
	return strings.Join(list, ",")
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func newEventsCommand(a *app) *cobra.Command {
	var from int64
	var follow bool
	var format string
	var f record.Filter
	cmd := &cobra.Command{
		Use: "events", Short: "Read the event log, as one JSON object a line", Args: exactArgs(),
		Long: `Events prints the event log in order. Keep the position of the last event you
have handled, and read on from there: nothing is missed and nothing repeated.
Events that have left the database are read from the archive. With --format
cloudevents each line is a CloudEvents 1.0 document.`,
		Example: "  showrunner events --from 0 > events.ndjson\n  showrunner events --follow --type execution. --format cloudevents",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != eventlog.FormatEvent && format != eventlog.FormatCloudEvents {
				return usage("%q is no format: event or cloudevents", format)
			}
			enc := json.NewEncoder(a.Out)
			c := a.connect()
			write := func(e record.Event) error {
				if format == eventlog.FormatCloudEvents {
					return enc.Encode(eventlog.CloudEventOf(c.Base(), e))
				}
				return enc.Encode(e)
			}
			if follow {
				return c.Follow(cmd.Context(), from, f, patience, func(e client.Event) error {
					if e.Reset {
						return enc.Encode(map[string]any{"position": e.Position, "type": "reset"})
					}
					return write(e.Event)
				})
			}
			for position := from; ; {
				var page api.EventPage
				q := []string{"from", strconv.FormatInt(position, 10), "limit", "1000", "application", f.Application, "pipeline", f.Pipeline, "execution", f.Execution, "type", strings.Join(f.Types, ",")}
				if err := c.Do(cmd.Context(), http.MethodGet, "/events"+query(q...), nil, &page); err != nil {
					return err
				}
				if page.Reset {
					a.say("events before position %d have been archived", page.Next)
				}
				for _, e := range page.Events {
					if err := write(e); err != nil {
						return err
					}
				}
				if page.Next <= position {
					return nil
				}
				position = page.Next
			}
		},
	}
	fl := cmd.Flags()
	fl.Int64Var(&from, "from", 0, "events after this position")
	fl.StringVar(&format, "format", eventlog.FormatEvent, "event or cloudevents")
	fl.BoolVarP(&follow, "follow", "f", false, "go on")
	fl.StringVarP(&f.Application, "application", "a", "", "of this application")
	fl.StringVarP(&f.Pipeline, "pipeline", "p", "", "of this pipeline")
	fl.StringVarP(&f.Execution, "execution", "e", "", "of this execution")
	fl.StringSliceVar(&f.Types, "type", nil, `of these types; a type that ends with "." is a prefix`)
	return cmd
}

func newDeliveriesCommand(a *app) *cobra.Command {
	var application string
	var limit int
	cmd := &cobra.Command{
		Use: "deliveries", Short: "Show what webhooks delivered, and why each did or did not start something", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out []map[string]any
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/deliveries"+query("application", application, "limit", strconv.Itoa(limit)), nil, &out); err != nil {
				return err
			}
			names := func() []string {
				var list []string
				for _, d := range out {
					list = append(list, fmt.Sprint(d["id"]))
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				row(w, "RECEIVED", "PROVIDER", "EVENT", "REPOSITORY", "REF", "VERDICT", "REASON")
				for _, d := range out {
					row(w, cell(d["received"]), cell(d["provider"]), cell(d["event"]), cell(d["repository"]), cell(d["ref"]), cell(d["verdict"]), cell(d["reason"]))
				}
			})
		},
	}
	cmd.Flags().StringVarP(&application, "application", "a", "", "of this application")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many")
	cmd.AddCommand(newRedeliverCommand(a))
	return cmd
}

func newRedeliverCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "redeliver DELIVERY", Short: "Handle what a webhook delivered again, by the triggers as they are now", Args: exactArgs("DELIVERY"),
		Long: "Handle what a webhook delivered again, by the triggers as they are now. What the event started before is not started twice.\nThe identifiers of deliveries: showrunner deliveries -o name",
		RunE: func(cmd *cobra.Command, args []string) error {
			var out map[string]any
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/deliveries/"+url.PathEscape(args[0])+"/redeliver", nil, &out); err != nil {
				return err
			}
			return a.print(out, func() []string { return []string{fmt.Sprint(out["id"])} }, func(w io.Writer) {
				row(w, "PROVIDER", "EVENT", "REPOSITORY", "REF", "VERDICT", "REASON")
				row(w, cell(out["provider"]), cell(out["event"]), cell(out["repository"]), cell(out["ref"]), cell(out["verdict"]), cell(out["reason"]))
			})
		},
	}
}

func cell(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func newOpenCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "open", Short: "Print a link that signs a browser in, once", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.connect()
			var out api.SignInLink
			if err := c.Do(cmd.Context(), http.MethodPost, "/sign-in-links", nil, &out); err != nil {
				return err
			}
			_, err := fmt.Fprintln(a.Out, c.Base()+out.Path)
			return err
		},
	}
}
