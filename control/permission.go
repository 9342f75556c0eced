package control

import (
	"showrunner/problem"
)

// Principal is who asks for an operation. Rights are one question,
// Service.permit, so that roles can be added behind it.
type Principal struct {
	Name string
	// Owner may do everything: the machine's owner, who can read the data folder.
	Owner bool
	// Via is the part of the program that acts on the principal's behalf; empty
	// when the request came through the API or a page.
	Via Part
}

// Part is a part of the program that asks for operations by itself.
type Part string

// The parts, and what each may ask for besides reading.
const (
	ViaTrigger  Part = "trigger"  // start pipelines
	ViaStage    Part = "stage"    // start pipelines, begin and undo faults
	ViaCallback Part = "callback" // answer the stage that waits for a callback
	ViaChaos    Part = "chaos"    // what schedules and experiments do: end instances, begin and undo faults, move traffic
)

var partMay = map[Part][]string{
	ViaTrigger:  {opRun},
	ViaStage:    {opRun, opFaultStart, opFaultUndo},
	ViaCallback: {opCallback},
	ViaChaos:    {opChaosKill, opFaultStart, opFaultUndo, opEdge},
}

// internal is the principal of reads that the control plane makes for itself.
var internal = Principal{Name: "control", Owner: true}

// permit says whether the principal may do op to the subject. Errors: denied.
func (s *Service) permit(p Principal, op string, subject Subject) error {
	if p.Owner || op == opRead && p.Name != "" {
		return nil
	}
	for _, may := range partMay[p.Via] {
		if may == op {
			return nil
		}
	}
	asker := p.Name
	if asker == "" {
		asker = "a request without a name"
	}
	return problem.New(problem.Denied, op, "permission denied: %s may not do %s on %s", asker, op, subject).
		WithHelp("use the token in the data folder of the control plane, or ask its owner")
}
