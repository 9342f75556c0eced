// Package fleet runs server groups in one region: it owns instances as real
// processes, their health, replacement, placement over zones, scaling, and the
// durable record from which a killed region process starts again. It tells the
// balancer which instances may take requests. It refuses to forward requests
// itself, to choose a strategy (package rollout) and to know other regions.
//
// Decisions are pure: plan says what a group needs next, scale what its policies
// want; a small loop under one lock carries them out. The semantics are EC2 Auto
// Scaling's. Where those leave a choice, a comment beside the code explains it.
package fleet
