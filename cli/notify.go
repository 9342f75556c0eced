package cli

import (
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"showrunner/notification"
	"showrunner/problem"
)

func newNotifyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "notify", Short: "Try the channels in which people are told of runs",
		Long: `People are told of a pipeline's runs in the channels of its notify: block: Slack and
servers that answer its calls, signed webhooks, mail. Tokens and passwords are secrets
(showrunner secret set), which the file names. Where the channel can edit, a run has one
message, which always shows where the run stands.`,
	}
	cmd.AddCommand(newNotifyTest(a), newNotifyList(a))
	return cmd
}

func newNotifyTest(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "test APP/PIPELINE", Short: "Send a message to each channel of a pipeline", Args: exactArgs("APP/PIPELINE"),
		Example: "  showrunner notify test storefront/release",
		RunE: func(cmd *cobra.Command, args []string) error {
			application, name, err := splitPipeline(args[0])
			if err != nil {
				return err
			}
			var out []notification.Tried
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/applications/"+seg(application)+"/pipelines/"+seg(name)+"/notifications/test", nil, &out); err != nil {
				return err
			}
			failed := 0
			names := func() (list []string) {
				for _, t := range out {
					list = append(list, t.Channel)
				}
				return list
			}
			err = a.print(out, names, func(w io.Writer) {
				row(w, "CHANNEL", "RESULT", "A RUN IS")
				for _, t := range out {
					result, runs := "sent", "a message for each event"
					if t.Edits {
						runs = "one message, edited in place"
					}
					if !t.OK {
						result, runs = t.Error, t.Help
					}
					row(w, t.Channel, result, runs)
				}
			})
			for _, t := range out {
				if !t.OK {
					failed++
				}
			}
			if err == nil && failed > 0 {
				return problem.New(problem.Unavailable, "notify.test", "%d of %d channels did not take the message", failed, len(out))
			}
			return err
		},
	}
}

func newNotifyList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what people could not be told yet, or at all", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out []notification.Status
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/notifications", nil, &out); err != nil {
				return err
			}
			names := func() (list []string) {
				for _, s := range out {
					list = append(list, s.Run.Execution)
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				row(w, "EXECUTION", "PIPELINE", "CHANNEL", "STATE")
				for _, s := range out {
					state := "waits"
					switch {
					case s.GaveUp:
						state = "refused: " + s.Error
					case s.Failures > 0:
						state = "failing since " + stamp(s.Failing) + ": " + s.Error
					}
					row(w, s.Run.Execution, s.Run.Application+"/"+s.Run.Pipeline, s.Channel, state)
				}
			})
		},
	}
}
