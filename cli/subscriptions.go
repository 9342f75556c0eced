package cli

import (
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/eventlog"
	"showrunner/subscription"
)

func newSubscriptionsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "subscriptions", Short: "Have events sent to other systems, as signed webhooks",
		Long: `A subscription has events of the log sent to an address, one POST each, in order
and at least once. Messages are signed as Standard Webhooks says
(https://www.standardwebhooks.com): an event that is sent again has the same
webhook-id. The body is a CloudEvents 1.0 document unless --format event asks for
the log's own form. A receiver that fails is asked again, less and less often, for
three days, and is then parked with the reason until it is resumed.

With --url kinesis://REGION/STREAM the events go to a Kinesis stream, in batches. The
events of one execution stay in order: its id is the partition key. The keys of AWS are
those of the environment of control, or the JSON in the secret: accessKeyId,
secretAccessKey and, where there is one, sessionToken.

With --format otlp a collector of OpenTelemetry gets runs as traces, by OTLP/HTTP with
protobuf. The secret, where there is one, holds headers: NAME=VALUE, with commas between.`,
	}
	var r api.SubscriptionRequest
	var from int64
	set := &cobra.Command{
		Use: "set NAME --url URL [--secret SECRET]", Short: "Create or replace a subscription", Args: exactArgs("NAME"),
		Example: "  printf %s \"$KEY\" | showrunner secret set events-key\n" +
			"  showrunner subscriptions set audit --url https://siem.example.com/in --secret events-key --type audit. --type execution.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("from") {
				r.From = &from
			}
			if err := a.connect().Do(cmd.Context(), http.MethodPut, "/subscriptions/"+seg(args[0]), r, nil); err != nil {
				return err
			}
			a.say("subscription %s set", args[0])
			return nil
		},
	}
	f := set.Flags()
	f.StringVar(&r.URL, "url", "", "where events are sent, http or https, or kinesis://REGION/STREAM")
	f.StringVar(&r.Secret, "secret", "", "name of the secret that signs, or that holds keys or headers")
	f.StringSliceVar(&r.Types, "type", nil, `of these types; a type that ends with "." is a prefix (default all but stage.progress)`)
	f.StringVarP(&r.Application, "application", "a", "", "of this application")
	f.StringVarP(&r.Pipeline, "pipeline", "p", "", "of this pipeline")
	f.StringVar(&r.Format, "format", eventlog.FormatCloudEvents, "cloudevents, event, or otlp with the URL of a collector, such as http://HOST:4318/v1/traces")
	f.Int64Var(&from, "from", 0, "a new one begins after this position (default now)")
	act := func(use, short, method, suffix, said string) *cobra.Command {
		return &cobra.Command{
			Use: use + " NAME", Short: short, Args: exactArgs("NAME"),
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := a.connect().Do(cmd.Context(), method, "/subscriptions/"+seg(args[0])+suffix, nil, nil); err != nil {
					return err
				}
				a.say("subscription %s %s", args[0], said)
				return nil
			},
		}
	}
	cmd.AddCommand(set, newSubscriptionsList(a),
		act("resume", "Try a failing or parked one again at once", http.MethodPost, "/resume", "is tried again"),
		act("delete", "Send no more events", http.MethodDelete, "", "deleted"))
	return cmd
}

func newSubscriptionsList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List subscriptions, and how far each is", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out []subscription.Subscription
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/subscriptions", nil, &out); err != nil {
				return err
			}
			names := func() []string {
				var list []string
				for _, s := range out {
					list = append(list, s.Name)
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				row(w, "NAME", "URL", "TYPES", "POSITION", "DELIVERED", "STATE")
				for _, s := range out {
					p, state := s.Progress, "ok"
					switch {
					case p.Parked != "":
						state = "parked: " + p.Parked
					case p.Failures > 0:
						state = "failing since " + stamp(p.Failing) + ", next try " + stamp(p.Next) + ": " + p.Error
					}
					row(w, s.Name, s.URL, orAll([]string{strings.Join(s.Types, ",")}), p.Position, p.Delivered, state)
				}
			})
		},
	}
}
