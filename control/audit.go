package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

// Operations that change something. Each is one word of the audit log.
const (
	opApply        = "application.apply"
	opDelete       = "application.delete"
	opRun          = "execution.run"
	opCancel       = "execution.cancel"
	opRestart      = "execution.restart"
	opDecide       = "execution.decide"
	opSignal       = "execution.signal"
	opCallback     = "execution.callback"
	opSecret       = "secret.set"
	opUnsecret     = "secret.delete"
	opFreeze       = "freeze.put"
	opThaw         = "freeze.delete"
	opRollback     = "rollback"
	opRepair       = "cluster.repair"
	opForget       = "cluster.forget"
	opCreateGroup  = "cluster.create"
	opAmend        = "cluster.amend"
	opBalance      = "load-balancer.set"
	opUnbalance    = "load-balancer.remove"
	opResize       = "cluster.resize"
	opWeights      = "cluster.weights"
	opDestroy      = "cluster.destroy"
	opSuspend      = "cluster.suspend"
	opTerminate    = "instance.terminate"
	opStandby      = "instance.standby"
	opProtect      = "instance.protect"
	opHealth       = "instance.set-health"
	opHook         = "instance.complete-hook"
	opHeartbeat    = "instance.heartbeat"
	opEdge         = "edge.weights"
	opRegionStop   = "region.stop"
	opRegionStart  = "region.start"
	opSubscribe    = "subscription.put"
	opUnsubscribe  = "subscription.delete"
	opResume       = "subscription.resume"
	opNotifyTest   = "notifications.test"
	opRedeliver    = "delivery.redeliver"
	opBackup       = "backup"
	opSignIn       = "sign-in.link"
	opAWS          = "aws.call"
	opRepository   = "aws.repository.set"
	opNoRepository = "aws.repository.delete"
	opImage        = "aws.image.set"
	opNoImage      = "aws.image.delete"
	opChaosKill    = "chaos.kill"
	opChaosStop    = "chaos.stop"
	opChaosRelease = "chaos.release"
	opChaosBudget  = "chaos.budget"
	opFaultStart   = "chaos.fault.start"
	opFaultUndo    = "chaos.fault.undo"

	opExperimentStart  = "chaos.experiment.start"
	opExperimentStop   = "chaos.experiment.stop"
	opExperimentRecord = "chaos.experiment.record"
	opGameday          = "chaos.gameday.record"

	// opRead is the right to look; it leaves no audit event.
	opRead = "read"
)

// Operations are the operations that change something, by their word in the
// audit log. A test holds this list against what the API, the command line, the
// triggers and the stages can ask for.
func Operations() []string {
	return []string{opApply, opDelete, opRun, opCancel, opRestart, opDecide, opSignal, opCallback, opSecret, opUnsecret, opFreeze, opThaw,
		opRollback, opRepair, opForget, opCreateGroup, opAmend, opBalance, opUnbalance, opResize, opWeights, opDestroy, opSuspend, opTerminate, opStandby, opProtect, opHealth, opHook, opHeartbeat,
		opEdge, opRegionStop, opRegionStart, opSubscribe, opUnsubscribe, opResume, opNotifyTest, opRedeliver, opBackup, opSignIn, opAWS, opRepository, opNoRepository, opImage, opNoImage, opChaosKill, opChaosStop, opChaosRelease, opChaosBudget, opFaultStart, opFaultUndo, opExperimentStart, opExperimentStop, opExperimentRecord, opGameday}
}

// SubjectKind says what kind of thing an operation is about.
type SubjectKind string

// The kinds of subject.
const (
	KindApplication  SubjectKind = "application"
	KindPipeline     SubjectKind = "pipeline"
	KindExecution    SubjectKind = "execution"
	KindCluster      SubjectKind = "cluster"
	KindSite         SubjectKind = "site"
	KindInstance     SubjectKind = "instance"
	KindBalancer     SubjectKind = "load balancer"
	KindRegion       SubjectKind = "region"
	KindEdge         SubjectKind = "edge"
	KindSecret       SubjectKind = "secret"
	KindFreeze       SubjectKind = "freeze"
	KindSubscription SubjectKind = "subscription"
	KindEvents       SubjectKind = "events"
	KindTrigger      SubjectKind = "trigger"
	KindControl      SubjectKind = "control plane"
	KindAWS          SubjectKind = "AWS service"
	KindChaos        SubjectKind = "chaos"
	KindFault        SubjectKind = "fault"
	KindExperiment   SubjectKind = "experiment"
)

// Subject is what an operation is about. An empty Name means all of the kind.
type Subject struct {
	Kind        SubjectKind `json:"kind"`
	Name        string      `json:"name,omitempty"`
	Application string      `json:"application,omitempty"`
	Account     string      `json:"account,omitempty"`
}

// String names the subject for people.
func (s Subject) String() string {
	text := strings.TrimSpace(string(s.Kind) + " " + s.Name)
	if s.Account != "" && s.Account != DefaultAccount {
		text += " in account " + s.Account
	}
	return text
}

// The phases of an operation. An operation with an intent and no outcome was cut
// off: nobody wrote down whether it was done.
const (
	phaseIntent = "intent"
	phaseDone   = "done"
	phaseFailed = "failed"
	phaseDenied = "denied"
)

// auditData is the data of an audit event. It never holds a secret's value.
type auditData struct {
	Operation string         `json:"operation"` // the same for an intent and its outcome
	Phase     string         `json:"phase"`
	Subject   Subject        `json:"subject"`
	Via       Part           `json:"via,omitempty"`
	Error     string         `json:"error,omitempty"`
	Details   map[string]any `json:"details,omitempty"`
}

func (s *Service) auditEvent(p Principal, op string, d auditData) record.Event {
	d.Via = p.Via
	raw, err := json.Marshal(d)
	if err != nil { // a detail that does not encode; the rest is worth more than nothing
		d.Details = map[string]any{"unreadable": err.Error()}
		raw, _ = json.Marshal(d)
	}
	return record.Event{Time: s.Now().UTC(), Type: "audit." + op, Application: d.Subject.Application, By: p.Name, Data: raw}
}

// auditTimeout bounds the writing of an outcome, which goes on when the caller has hung up.
const auditTimeout = 10 * time.Second

// perform carries out an operation whose effect lies outside the records: it
// checks the right, writes the intent, acts, and writes the outcome with what act
// adds to the details. Without an intent nothing is done. Errors: denied,
// unavailable (the audit log cannot be written), and those of act.
func (s *Service) perform(ctx context.Context, p Principal, op string, subject Subject, details map[string]any, act func() (map[string]any, error)) error {
	d := auditData{Operation: rand.Text(), Phase: phaseIntent, Subject: subject, Details: details}
	if err := s.permitOrRecord(ctx, p, op, d); err != nil {
		return err
	}
	if err := s.Records.AppendEvents(ctx, s.auditEvent(p, op, d)); err != nil {
		return problem.Wrap(err, "", op, "nothing was done, because the audit log cannot be written")
	}
	more, failure := act()
	d.Phase, d.Details = phaseDone, more
	if failure != nil {
		d.Phase, d.Error = phaseFailed, failure.Error()
	}
	if err := s.append(ctx, s.auditEvent(p, op, d)); err != nil && failure == nil {
		return problem.Wrap(err, "", op, "it was done, but its audit event could not be written")
	}
	return failure
}

// commit carries out an operation that is one change of a record: change writes
// the outcome that it is given in the same commit, so that no intent is needed.
// A change that failed is written down by itself. Errors: denied, and those of change.
func (s *Service) commit(ctx context.Context, p Principal, op string, subject Subject, details map[string]any, change func(done record.Event) error) error {
	d := auditData{Operation: rand.Text(), Phase: phaseDone, Subject: subject, Details: details}
	if err := s.permitOrRecord(ctx, p, op, d); err != nil {
		return err
	}
	failure := change(s.auditEvent(p, op, d))
	if failure == nil {
		return nil
	}
	d.Phase, d.Error = phaseFailed, failure.Error()
	if err := s.append(ctx, s.auditEvent(p, op, d)); err != nil {
		s.Log.Error("the audit event of an operation that failed was not written", "operation", op, "subject", subject.String(), "error", err)
	}
	return failure
}

// withDetails adds what a change found out to its audit event.
func withDetails(e record.Event, more map[string]any) record.Event {
	d := readAudit(e)
	if d.Details == nil {
		d.Details = map[string]any{}
	}
	maps.Copy(d.Details, more)
	if raw, err := json.Marshal(d); err == nil {
		e.Data = raw
	}
	return e
}

// permitOrRecord checks the right, and writes down that it was missing.
func (s *Service) permitOrRecord(ctx context.Context, p Principal, op string, d auditData) error {
	denied := s.permit(p, op, d.Subject)
	if denied == nil {
		return nil
	}
	d.Phase, d.Error, d.Details = phaseDenied, denied.Error(), nil
	if err := s.append(ctx, s.auditEvent(p, op, d)); err != nil {
		s.Log.Error("the audit event of an operation that was denied was not written", "operation", op, "subject", d.Subject.String(), "error", err)
	}
	return denied
}

// append writes an event although the caller may have hung up: losing the trace
// of what has happened would be worse.
func (s *Service) append(ctx context.Context, e record.Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	return s.Records.AppendEvents(ctx, e)
}

// AuditEntry is one operation of the audit log: its intent and its outcome.
type AuditEntry struct {
	At        time.Time      `json:"at"`
	Ended     time.Time      `json:"ended,omitzero"` // zero: no outcome is written down
	By        string         `json:"by,omitempty"`
	Via       Part           `json:"via,omitempty"`
	Operation string         `json:"operation"`
	Subject   Subject        `json:"subject"`
	Outcome   string         `json:"outcome"` // done, failed, denied, or "none" without one
	Error     string         `json:"error,omitempty"`
	Details   map[string]any `json:"details,omitempty"`
}

// NoOutcome is the Outcome of an operation that is under way, or was cut off.
const NoOutcome = "none"

// AuditEntries pairs intents and outcomes, in the order of the intents. Events
// are a stretch of the log; an outcome whose intent is older stands alone.
func AuditEntries(events []record.Event) []AuditEntry {
	list := []AuditEntry{}
	open := map[string]int{}
	for _, e := range events {
		word, isAudit := strings.CutPrefix(e.Type, "audit.")
		if !isAudit {
			continue
		}
		d := readAudit(e)
		if at, ok := open[d.Operation]; ok && d.Operation != "" {
			entry := &list[at]
			entry.Ended, entry.Outcome, entry.Error = e.Time, d.Phase, d.Error
			for k, v := range d.Details {
				if entry.Details == nil {
					entry.Details = map[string]any{}
				}
				entry.Details[k] = v
			}
			delete(open, d.Operation)
			continue
		}
		entry := AuditEntry{At: e.Time, Ended: e.Time, By: e.By, Via: d.Via, Operation: word, Subject: d.Subject, Outcome: d.Phase, Error: d.Error, Details: d.Details}
		if d.Phase == phaseIntent {
			entry.Ended, entry.Outcome = time.Time{}, NoOutcome
			open[d.Operation] = len(list)
		}
		list = append(list, entry)
	}
	return slices.Clip(list)
}

// readAudit reads an audit event. Earlier versions of this program wrote one event
// for each operation, after it, with the subject as a text.
func readAudit(e record.Event) auditData {
	var d auditData
	if json.Unmarshal(e.Data, &d) == nil && d.Phase != "" {
		return d
	}
	var old struct{ Subject, Error string }
	_ = json.Unmarshal(e.Data, &old) // an event without them has no subject to show
	d = auditData{Phase: phaseDone, Subject: Subject{Name: old.Subject, Application: e.Application}, Error: old.Error}
	if old.Error != "" {
		d.Phase = phaseFailed
	}
	return d
}
