package cloudformation

import (
	"time"
)

// stack is the document of a stack: what it is, and the operation that changes it.
type stack struct {
	ID                    string                    `json:"id"` // the last part of its ARN
	Name                  string                    `json:"name"`
	Region                string                    `json:"region"`
	Status                string                    `json:"status"`
	Reason                string                    `json:"reason,omitempty"`
	Created               time.Time                 `json:"created"`
	Updated               time.Time                 `json:"updated"`
	Deleted               time.Time                 `json:"deleted"`
	Current               version                   `json:"current"`
	ChangeSet             string                    `json:"changeSet,omitempty"` // the ARN of the one that made the current state
	Outputs               []output                  `json:"outputs,omitempty"`
	Imports               []string                  `json:"imports,omitempty"` // names of exports that are used
	Resources             map[string]*stackResource `json:"resources,omitempty"`
	Policy                string                    `json:"policy,omitempty"`
	DisableRollback       bool                      `json:"disableRollback,omitempty"`
	TerminationProtection bool                      `json:"terminationProtection,omitempty"`
	Timeout               int64                     `json:"timeout,omitempty"` // minutes
	Operation             *operation                `json:"operation,omitempty"`
	Held                  *operation                `json:"held,omitempty"`   // failed, and not rolled back: it may be
	Tokens                map[string]string         `json:"tokens,omitempty"` // client's token → what it was for
	Events                int64                     `json:"events"`           // how many there were
	LastEvent             time.Time                 `json:"lastEvent"`
	Outbox                []event                   `json:"outbox,omitempty"` // those that are not in chunks yet
}

// version is what a stack is to be: all that a client gives.
type version struct {
	Template         string         `json:"template"`
	Description      string         `json:"description,omitempty"`
	Parameters       []parameter    `json:"parameters,omitempty"`
	Tags             []tag          `json:"tags,omitempty"`
	Capabilities     []string       `json:"capabilities,omitempty"`
	NotificationARNs []string       `json:"notificationArns,omitempty"`
	RoleARN          string         `json:"roleArn,omitempty"`
	Rollback         *rollbackRules `json:"rollback,omitempty"`
}

// parameter is a parameter's value.
type parameter struct {
	Key      string `json:"key"`
	Value    string `json:"value"`              // as given; of a hidden one its name in the secret store
	Resolved string `json:"resolved,omitempty"` // what a name of Systems Manager stands for
	FromSSM  bool   `json:"fromSsm,omitempty"`
	NoEcho   bool   `json:"noEcho,omitempty"`
}

type tag struct{ Key, Value string }

type trigger struct{ Arn, Type string }

// rollbackRules are kept and returned.
type rollbackRules struct {
	MonitoringTimeInMinutes *int64
	RollbackTriggers        []trigger
}

type output struct {
	Key         string `json:"key"`
	Value       string `json:"value"` // with references to hidden parameters in place
	Description string `json:"description,omitempty"`
	Export      string `json:"export,omitempty"`
}

// stackResource is a resource of a stack as it is.
type stackResource struct {
	Type       string         `json:"type"`
	Physical   string         `json:"physical,omitempty"`
	Status     string         `json:"status"`
	Reason     string         `json:"reason,omitempty"`
	Changed    time.Time      `json:"changed"`
	Properties map[string]any `json:"properties,omitempty"` // with dynamic references in place
	Attributes map[string]any `json:"attributes,omitempty"`
	Metadata   map[string]any `json:"metadata,omitempty"`
	Deletion   string         `json:"deletion,omitempty"` // DeletionPolicy
	Replace    string         `json:"replace,omitempty"`  // UpdateReplacePolicy
	Needs      []string       `json:"needs,omitempty"`
	Unsure     bool           `json:"unsure,omitempty"` // an act has begun whose outcome is not recorded
}

// there says whether a resource has, or may have, something outside.
func (r *stackResource) there() bool {
	return r != nil && r.Status != deleteComplete && r.Status != deleteSkipped && (r.Physical != "" || r.Unsure)
}

// operation is a change of a stack that is under way.
type operation struct {
	ID             string           `json:"id"`
	Kind           string           `json:"kind"`
	Phase          string           `json:"phase"`
	Token          string           `json:"token,omitempty"` // the client's
	Caller         string           `json:"caller"`
	Target         version          `json:"target"`
	Before         version          `json:"before"`
	Outputs        []output         `json:"outputs,omitempty"` // from before
	Steps          map[string]*step `json:"steps,omitempty"`
	Undo           []string         `json:"undo,omitempty"`  // what is to be restored, in this order
	Clean          []*deletion      `json:"clean,omitempty"` // what is to be deleted, in this order
	Failed         []string         `json:"failed,omitempty"`
	FailedTo       string           `json:"failedTo,omitempty"` // create, update or delete
	Why            string           `json:"why,omitempty"`      // of a failure that is no resource's
	OnFailure      string           `json:"onFailure,omitempty"`
	RetainOnCreate bool             `json:"retainOnCreate,omitempty"`
	Skip           []string         `json:"skip,omitempty"`
	Force          bool             `json:"force,omitempty"` // what cannot be deleted is let go
	RolledBack     bool             `json:"rolledBack,omitempty"`
	ChangeSet      string           `json:"changeSet,omitempty"` // the ARN of the one that is executed
	Import         bool             `json:"import,omitempty"`    // resources that are there already become the stack's
	Cancel         bool             `json:"cancel,omitempty"`
	Started        time.Time        `json:"started"`
}

// Kinds of operations.
const (
	opCreate = "create"
	opUpdate = "update"
	opDelete = "delete"
)

// Phases of operations.
const (
	phaseForward = "forward" // resources are made and changed
	phaseUndo    = "undo"    // what was changed is restored
	phaseClean   = "clean"   // what is not wanted any more is deleted
)

// step is what an operation does with one resource.
type step struct {
	Action     string         `json:"action"`
	Type       string         `json:"type"` // of the resource as the template has it now
	State      string         `json:"state"`
	Physical   string         `json:"physical,omitempty"` // that the new resource has, or gets
	Properties map[string]any `json:"properties,omitempty"`
	Old        *stackResource `json:"old,omitempty"` // as it was before
	Since      time.Time      `json:"since"`
	Adopt      bool           `json:"adopt,omitempty"` // it is there already, and becomes the stack's
}

// Actions and states of steps.
const (
	actCreate  = "create"
	actUpdate  = "update"
	actReplace = "replace"
	actKeep    = "keep"

	stateIntent   = "intent"   // the act may have happened
	stateSettling = "settling" // it happened, and the resource is not ready
	stateDone     = "done"
	stateFailed   = "failed"
)

// deletion is a resource that is to be deleted.
type deletion struct {
	Logical  string        `json:"logical"`
	Resource stackResource `json:"resource"`
	State    string        `json:"state,omitempty"`
	Retain   bool          `json:"retain,omitempty"`
	Replaced bool          `json:"replaced,omitempty"` // another resource has its name in the stack
}

// event is one event of a stack.
type event struct {
	Number     int64     `json:"number"`
	At         time.Time `json:"at"`
	Logical    string    `json:"logical"`
	Physical   string    `json:"physical,omitempty"`
	Type       string    `json:"type"`
	Status     string    `json:"status"`
	Reason     string    `json:"reason,omitempty"`
	Properties string    `json:"properties,omitempty"`
	Token      string    `json:"token,omitempty"`
}

// chunk is a number of a stack's events that follow each other.
type chunk struct {
	Events []event `json:"events"`
}

// Statuses of stacks and resources.
const (
	reviewInProgress         = "REVIEW_IN_PROGRESS"
	createInProgress         = "CREATE_IN_PROGRESS"
	createComplete           = "CREATE_COMPLETE"
	createFailed             = "CREATE_FAILED"
	rollbackInProgress       = "ROLLBACK_IN_PROGRESS"
	rollbackComplete         = "ROLLBACK_COMPLETE"
	rollbackFailed           = "ROLLBACK_FAILED"
	updateInProgress         = "UPDATE_IN_PROGRESS"
	updateComplete           = "UPDATE_COMPLETE"
	updateFailed             = "UPDATE_FAILED"
	updateCleanup            = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
	updateRollbackInProgress = "UPDATE_ROLLBACK_IN_PROGRESS"
	updateRollbackComplete   = "UPDATE_ROLLBACK_COMPLETE"
	updateRollbackCleanup    = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
	updateRollbackFailed     = "UPDATE_ROLLBACK_FAILED"
	deleteInProgress         = "DELETE_IN_PROGRESS"
	deleteComplete           = "DELETE_COMPLETE"
	deleteFailed             = "DELETE_FAILED"
	deleteSkipped            = "DELETE_SKIPPED"
)

const stackType = "AWS::CloudFormation::Stack"

func arnOf(region, account, kind, name, id string) string {
	return "arn:aws:cloudformation:" + region + ":" + account + ":" + kind + "/" + name + "/" + id
}

// tell adds an event; times rise, so that events have an order and their
// identifiers differ.
func (d *stack) tell(now time.Time, e event) {
	e.At = now.UTC().Truncate(time.Millisecond)
	if !e.At.After(d.LastEvent) {
		e.At = d.LastEvent.Add(time.Millisecond)
	}
	d.LastEvent = e.At
	d.Events++
	e.Number = d.Events
	if d.Operation != nil {
		e.Token = d.Operation.Token
	}
	d.Outbox = append(d.Outbox, e)
}

// become sets the stack's status, with its event.
func (d *stack) become(now time.Time, account, status, reason string) {
	d.Status, d.Reason = status, reason
	d.tell(now, event{Logical: d.Name, Physical: arnOf(d.Region, account, "stack", d.Name, d.ID), Type: stackType, Status: status, Reason: reason})
}

// set changes a resource's status, with its event.
func (d *stack) set(now time.Time, logical string, r *stackResource, status, reason, physical string) {
	r.Status, r.Reason = status, reason
	d.tell(now, event{Logical: logical, Physical: physical, Type: r.Type, Status: status, Reason: reason, Properties: hidden(r.Properties)})
	r.Changed = d.LastEvent
}
