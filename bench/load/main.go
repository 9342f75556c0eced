// Command load makes users' requests at a constant rate during deployments, kills
// and failures, and counts the failures that users notice.
//
//	cd bench && go run ./load storm
package main

import (
	"showrunner/bench/command"
	"showrunner/bench/load/badversions"
	"showrunner/bench/load/canaries"
	"showrunner/bench/load/deployments"
	"showrunner/bench/load/killsteps"
	"showrunner/bench/load/push"
	"showrunner/bench/load/storm"
	"showrunner/bench/load/visit"
)

func main() {
	command.Run("load",
		command.Part{Name: "storm", Summary: "kills, hangs, a zone outage, a region outage, a surge", Main: storm.Main},
		command.Part{Name: "deployments", Summary: "one deployment after the other by every strategy", Main: deployments.Main},
		command.Part{Name: "badversions", Summary: "versions that are bad in different ways, each undone", Main: badversions.Main},
		command.Part{Name: "canaries", Summary: "regressions found by a canary, and good versions under noise", Main: canaries.Main},
		command.Part{Name: "killsteps", Summary: "control or a region killed at every step of a rollout", Main: killsteps.Main},
		command.Part{Name: "visit", Summary: "a real Node site delivered again and again under visitors", Main: visit.Main},
		command.Part{Name: "push", Summary: "from a signed push webhook to the first task", Main: push.Main},
	)
}
