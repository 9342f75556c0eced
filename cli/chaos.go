package cli

import "github.com/spf13/cobra"

func newChaosCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "chaos", Short: "Chaos Monkey, and experiments",
		Long: `Chaos Monkey ends instances of services at random times of working days, so that it
is known that nobody notices. An application opts in with the block chaos of its
pipeline file; docs/chaos.md has the rules.`,
	}
	monkey := &cobra.Command{Use: "monkey", Short: "Chaos Monkey: what it would do"}
	monkey.AddCommand(newChaosSimulateCommand(a))
	cmd.AddCommand(monkey, newChaosExperimentCommand(a))
	return cmd
}
