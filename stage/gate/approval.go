package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

const (
	defaultExpiry = 72 * time.Hour

	signalApprove = "approve"
	signalReject  = "reject"
)

// Approval is the stage kind approval. People decide by the signals "approve"
// and "reject", whose data is {"comment": "…"}.
type Approval struct{}

// Name implements stage.Kind.
func (Approval) Name() string { return "approval" }

// Version implements stage.Kind.
func (Approval) Version() int { return 1 }

// Tasks implements stage.Kind.
func (Approval) Tasks() []stage.Task {
	return []stage.Task{{Name: "decide", Run: decide, Resume: stage.Repeat}}
}

// State is what a waiting approval keeps, and all that MayDecide needs: the
// rules with their expressions resolved, and who has decided so far.
type State struct {
	Instructions string     `json:"instructions,omitempty"`
	Approvers    []string   `json:"approvers,omitempty"`
	Minimum      int        `json:"minimum"`
	ForbidSelf   bool       `json:"forbidSelf,omitempty"`
	StartedBy    string     `json:"startedBy,omitempty"`
	Expires      time.Time  `json:"expires"`
	Approvals    []Decision `json:"approvals,omitempty"` // of distinct people, oldest first
	Rejection    *Decision  `json:"rejection,omitempty"`
}

// Decision is one person's word.
type Decision struct {
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Comment string    `json:"comment,omitempty"`
}

// MayDecide says why by's decision would not count: denied when it is not
// theirs to make, conflict when it comes too late, and nil when it counts.
// Approving twice is allowed and changes nothing. The decision itself is made
// by the same rules again once the signal is recorded.
func MayDecide(s State, by string, approve bool, now time.Time) error {
	const op = opDecide
	switch {
	case by == "":
		return problem.New(problem.Denied, op, "a decision needs somebody who makes it")
	case s.Rejection != nil:
		return problem.New(problem.Conflict, op, "%s has rejected it already", s.Rejection.By)
	case !now.Before(s.Expires):
		return problem.New(problem.Conflict, op, "the approval expired at %s", s.Expires.UTC().Format(time.RFC3339)).
			WithHelp("restart the stage to ask again")
	case len(s.Approvals) >= s.Minimum && !s.approvedBy(by):
		return problem.New(problem.Conflict, op, "already approved by %s at %s", s.names(), s.Approvals[len(s.Approvals)-1].At.UTC().Format(time.RFC3339))
	case len(s.Approvers) > 0 && !slices.Contains(s.Approvers, by):
		return problem.New(problem.Denied, op, "%s is not one of the approvers", by).WithHelp("one of %s has to decide", strings.Join(s.Approvers, ", "))
	case approve && s.ForbidSelf && by == s.StartedBy:
		return problem.New(problem.Denied, op, "%s started this execution and may not approve it", by).
			WithHelp("ask somebody else; forbidSelf is set on the stage")
	case !approve && s.approvedBy(by):
		return problem.New(problem.Conflict, op, "%s has approved it already", by)
	}
	return nil
}

// Decided says how an approval that has ended was decided, to somebody who decides too late.
func Decided(outputs map[string]any, f *stage.Failure, ended *time.Time) error {
	at := ""
	if ended != nil {
		at = " at " + ended.UTC().Format(time.RFC3339)
	}
	if by, ok := outputs["by"].(string); ok && by != "" {
		return problem.New(problem.Conflict, opDecide, "already approved by %s%s", by, at)
	}
	if f != nil {
		return problem.New(problem.Conflict, opDecide, "it has ended already%s: %s", at, f.Cause)
	}
	return problem.New(problem.Conflict, opDecide, "it has ended already%s, without a decision", at)
}

// opDecide is the operation in errors.
const opDecide = "approval.decide"

func (s State) approvedBy(by string) bool {
	return slices.ContainsFunc(s.Approvals, func(d Decision) bool { return d.By == by })
}

func (s State) names() string {
	var names []string
	for _, d := range s.Approvals {
		names = append(names, d.By)
	}
	return strings.Join(names, ", ")
}

// ParseState reads what a waiting approval keeps. Errors: precondition when the
// stage does not wait for people.
func ParseState(raw json.RawMessage) (State, error) {
	var s State
	if err := json.Unmarshal(raw, &s); err != nil || s.Minimum == 0 {
		return State{}, problem.New(problem.Precondition, opDecide, "the stage does not wait for an approval")
	}
	return s, nil
}

// tally counts the signals by the rules, in the order in which they were made;
// those that do not count are left out.
func (s State) tally(signals []stage.Signal) State {
	s.Approvals, s.Rejection = nil, nil
	for _, sig := range signals {
		if sig.Name != signalApprove && sig.Name != signalReject {
			continue
		}
		approve := sig.Name == signalApprove
		if MayDecide(s, sig.By, approve, sig.At) != nil || approve && s.approvedBy(sig.By) {
			continue
		}
		var data struct {
			Comment string `json:"comment"`
		}
		// A comment that cannot be read does not undo the decision.
		_ = json.Unmarshal(sig.Data, &data)
		d := Decision{By: sig.By, At: sig.At, Comment: data.Comment}
		if approve {
			s.Approvals = append(s.Approvals, d)
		} else {
			s.Rejection = &d
		}
	}
	return s
}

func decide(_ context.Context, in *stage.Input) (stage.Result, error) {
	c, ok := in.Config.(pipeline.Approval)
	if !ok {
		return stage.Result{}, problem.New(problem.Internal, "approval", "the configuration is a %T", in.Config)
	}
	expiry := time.Duration(c.Expires)
	if expiry <= 0 {
		expiry = defaultExpiry
	}
	s := State{Instructions: c.Instructions, Approvers: c.Approvers, Minimum: max(1, c.Minimum), ForbidSelf: c.ForbidSelf,
		StartedBy: in.StartedBy, Expires: in.StageStarted.Add(expiry)}.tally(current(in))
	switch {
	case s.Rejection != nil:
		f := stage.Failure{Code: "REJECTED", Cause: s.Rejection.By + " rejected it", Help: "start a new execution when what was wrong is mended"}
		if s.Rejection.Comment != "" {
			f.Cause += ": " + s.Rejection.Comment
		}
		return stage.Fail(f), nil
	case len(s.Approvals) >= s.Minimum:
		last := s.Approvals[s.Minimum-1]
		fmt.Fprintf(in.Log, "approved by %s\n", s.names())
		return stage.Result{Outcome: stage.Done, Outputs: map[string]any{"by": last.By, "comment": last.Comment}}, nil
	case !in.Now.Before(s.Expires):
		return stage.Fail(stage.Failure{Code: "APPROVAL_EXPIRED",
			Cause:    fmt.Sprintf("nobody decided within %s (%d of %d approvals)", expiry, len(s.Approvals), s.Minimum),
			Evidence: evidence(s), Help: "restart the stage to ask again"}), nil
	}
	state, err := json.Marshal(s)
	if err != nil {
		return stage.Result{}, problem.Wrap(err, problem.Internal, "approval", "keeping the state")
	}
	in.Progress("waits for approval: %d of %d", len(s.Approvals), s.Minimum)
	return stage.Result{Outcome: stage.Again, State: state, After: s.Expires.Sub(in.Now)}, nil
}

func evidence(s State) []string {
	if len(s.Approvals) == 0 {
		return nil
	}
	return []string{"approved by " + s.names()}
}
