// Command scale measures the cost of large numbers: instances, kept executions,
// and more work than a control plane can accept.
//
//	cd bench && go run ./scale history -n 20000
package main

import (
	"showrunner/bench/command"
	"showrunner/bench/scale/fleet"
	"showrunner/bench/scale/history"
	"showrunner/bench/scale/overload"
)

func main() {
	command.Run("scale",
		command.Part{Name: "fleet", Summary: "replacement time, memory and lists of many instances", Main: fleet.Main},
		command.Part{Name: "history", Summary: "pages, backup and pruning at a million executions", Main: history.Main},
		command.Part{Name: "overload", Summary: "wide pipelines, refused starts, fairness under a flood", Main: overload.Main},
	)
}
