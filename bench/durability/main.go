// Command durability ends processes and databases at random moments and counts
// what was lost, done twice or stuck.
//
//	cd bench && go run ./durability crash
package main

import (
	"showrunner/bench/command"
	"showrunner/bench/durability/crash"
)

func main() {
	command.Run("durability",
		command.Part{Name: "crash", Summary: "control planes killed or hung, the database unreachable, an upgrade", Main: crash.Main},
	)
}
