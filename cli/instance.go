package cli

import (
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/cloud"
	"showrunner/control"
)

func newTerminateCommand(a *app) *cobra.Command {
	var ch control.InstanceChange
	cmd := &cobra.Command{
		Use: "terminate INSTANCE", Short: "End an instance, after draining it; it is replaced", Args: exactArgs("INSTANCE"),
		Example: "  showrunner terminate i-0123456789abcdef0 --decrement",
		RunE: func(cmd *cobra.Command, args []string) error {
			ch.Terminate = true
			return a.changeInstance(cmd, args[0], ch, "terminating %s", args[0])
		},
	}
	cmd.Flags().BoolVar(&ch.Kill, "kill", false, "at once, without draining")
	cmd.Flags().BoolVar(&ch.Decrement, "decrement", false, "do not replace it: lower the desired capacity")
	return cmd
}

func newStandbyCommand(a *app) *cobra.Command {
	return a.toggle("standby", "Take an instance out of traffic and health checks (off: put it back)", func(ch *control.InstanceChange, on bool) { ch.Standby = &on })
}

func newProtectCommand(a *app) *cobra.Command {
	return a.toggle("protect", "Keep an instance from being chosen when a group shrinks (off: allow it)", func(ch *control.InstanceChange, on bool) { ch.Protect = &on })
}

func newSetHealthCommand(a *app) *cobra.Command {
	cmd := a.toggle("set-health", "Say that an instance is unhealthy, so that it is replaced (healthy: take it back)", func(ch *control.InstanceChange, on bool) { ch.Healthy = &on }, "healthy", "unhealthy")
	cmd.Long = `Set-health has an instance in service replaced whatever its checks say, for what
only you can see. It serves until its replacement does, unless the service's
maintenance policy ends it first. Terminate does not wait for a replacement.`
	return cmd
}

func newCompleteHookCommand(a *app) *cobra.Command {
	cmd := a.toggle("complete-hook", "Let an instance go on that waits in a lifecycle hook (abandon: end it)", func(ch *control.InstanceChange, on bool) {
		ch.Hook = cloud.HookAbandon
		if on {
			ch.Hook = cloud.HookContinue
		}
	}, "continue", "abandon")
	cmd.Example = "  showrunner complete-hook i-0123456789abcdef0 continue"
	cmd.Long = `Complete-hook answers a hook with wait: true of a deploy stage. An instance in
Pending:Wait that may continue gets traffic once it is found ready again; one that
is abandoned ends, as a failed launch, and is replaced. The end of one in
Terminating:Wait goes on with either; abandoned it counts as a hook that failed.

showrunner instances shows which instances wait, and how long they still do
before the hook has failed; showrunner heartbeat INSTANCE gives one more time.`
	return cmd
}

func newHeartbeatCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "heartbeat INSTANCE", Short: "Have an instance that waits in a lifecycle hook wait for another timeout from now", Args: exactArgs("INSTANCE"),
		Example: "  showrunner heartbeat i-0123456789abcdef0",
		Long: `Heartbeat is for hooks with wait: true that take longer than their timeout: the
timeout begins anew, as often as is asked for. In all a hook waits for at most 100
times its timeout, and at most 48 hours.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeInstance(cmd, args[0], control.InstanceChange{Hook: cloud.HookHeartbeat}, "heartbeat: %s", args[0])
		},
	}
}

// toggle is a command that turns something of an instance on or off; words are those two, when they are others.
func (a *app) toggle(word, shortText string, set func(*control.InstanceChange, bool), words ...string) *cobra.Command {
	if len(words) == 0 {
		words = []string{"on", "off"}
	}
	choice := strings.Join(words, "|")
	return &cobra.Command{
		Use: word + " INSTANCE " + choice, Short: shortText, Args: exactArgs("INSTANCE", choice),
		Example: "  showrunner " + word + " i-0123456789abcdef0 " + words[len(words)-1],
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(words, args[1]) {
				return usage("%q is neither %s nor %s", args[1], words[0], words[1])
			}
			var ch control.InstanceChange
			set(&ch, args[1] == words[0])
			return a.changeInstance(cmd, args[0], ch, "%s %s: %s", word, args[1], args[0])
		},
	}
}

// changeInstance makes one change of an instance, and says so.
func (a *app) changeInstance(cmd *cobra.Command, id string, ch control.InstanceChange, done string, args ...any) error {
	err := a.connect().Do(cmd.Context(), http.MethodPatch, "/instances/"+seg(id), ch, nil)
	if err == nil {
		a.say(done, args...)
	}
	return err
}
