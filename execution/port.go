package execution

import (
	"context"
	"encoding/json"
	"time"

	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// Store is the durable store the engine needs. Package store implements it on
// SQLite and PostgreSQL; storetest is the conformance suite.
type Store interface {
	// Join enters the engine as a replica. What it owns is fenced by the
	// session: once the session is lost, nothing of it can be committed.
	Join(ctx context.Context, now func() time.Time) (Session, error)
	// Load returns one execution. Errors: not_found, unavailable.
	Load(ctx context.Context, id string) (Snapshot, error)
	// Plan returns a kept definition by digest. Errors: not_found, unavailable.
	Plan(ctx context.Context, digest string) ([]byte, error)
	// List returns heads, newest first, and the cursor of the next page.
	List(ctx context.Context, q Query) (heads []Head, next string, err error)
	// ReadEvents returns up to limit events after a position, in commit order;
	// from -1 it returns none and the end of the log as Next.
	ReadEvents(ctx context.Context, from int64, f record.Filter, limit int) (record.Slice, error)
	// Prune removes what the policy no longer keeps, a bounded amount at a
	// time; done says that nothing is left to remove. Events leave through
	// archive first, which must have made them durable when it returns.
	Prune(ctx context.Context, p Retention, now time.Time, archive func([]record.Event) error) (removed int, done bool, err error)
}

// Session is one engine's membership in a store.
type Session interface {
	// Owner identifies the session; it is never used again by another.
	Owner() string
	// Commit makes a batch durable in one transaction. A change that is refused
	// carries its reason in Err and has no effect; an error returned means that
	// nothing of the batch is known to be durable. Lost when the session is.
	Commit(ctx context.Context, batch []*Change) error
	// Adopt makes live executions without a living owner this session's, with
	// a new epoch, and returns them; own says that those of the session itself
	// are returned too, as after a lost connection. It may take a part of them, so
	// that other sessions get theirs, whom it then tells; more says that it did.
	Adopt(ctx context.Context, own bool) (claims []Claim, more bool, err error)
	// Due returns this session's executions that have a stage to wake before a time.
	Due(ctx context.Context, before time.Time) ([]Due, error)
	// Mail returns an execution's signals after a sequence number.
	Mail(ctx context.Context, id string, after int64) ([]Mail, error)
	// Announce tells every session, this one included, soon, and without a promise.
	Announce(ctx context.Context, n Notice) error
	// Notices tells what other sessions did; it is closed when the session is lost or left.
	Notices() <-chan Notice
	// Leave gives up everything owned, so that others adopt it at once.
	Leave(ctx context.Context) error
}

// ErrLost says that the session is no longer a member: everything it owned may
// belong to another by now, and nothing may be done in its name.
var ErrLost = problem.New(problem.Conflict, "store.session", "this replica's session was lost; others may have taken over its work")

// ErrFenced says that an execution no longer belongs to the session.
var ErrFenced = problem.New(problem.Conflict, "store.commit", "the execution belongs to another replica now")

// Head is an execution's own row.
type Head struct {
	Seq         int64 // order of creation, unique
	ID          string
	Application string
	Pipeline    string
	Number      int
	Order       int64 // place among the executions of its pipeline; a restart takes a new one
	Status      Status
	Owner       string
	Epoch       int64
	Plan        string // digest
	Ordered     bool   // its pipeline is not parallel: all of its live executions have one owner
	Created     time.Time
	Started     *time.Time
	Ended       *time.Time
	Request     HeadRequest
	State       HeadState
}

// HeadRequest is what the execution was asked for with. It never changes.
type HeadRequest struct {
	V           int               `json:"v"`
	Parameters  map[string]string `json:"parameters,omitempty"`
	Trigger     map[string]any    `json:"trigger,omitempty"`
	TriggerID   string            `json:"triggerId,omitempty"`
	EventID     string            `json:"eventId,omitempty"`
	By          string            `json:"by,omitempty"`
	Parent      *stage.Key        `json:"parent,omitempty"`
	RollbackOf  string            `json:"rollbackOf,omitempty"`
	Traceparent string            `json:"traceparent,omitempty"`
}

// HeadState is the part of a head that changes beside its columns.
type HeadState struct {
	V         int           `json:"v"`
	Cause     string        `json:"cause,omitempty"`
	Canceling *Cancellation `json:"canceling,omitempty"`
	Restarts  []Restart     `json:"restarts,omitempty"`
	Revision  *Revision     `json:"revision,omitempty"` // of the first git stage that has succeeded
}

// headVersion is the version of the persisted forms HeadRequest and HeadState.
const headVersion = 1

// StageRow is a stage as it is kept.
type StageRow struct {
	Index int
	// Wake is when the stage has to be looked at, zero for never.
	Wake time.Time
	Data []byte
}

// Snapshot is an execution as it is kept.
type Snapshot struct {
	Head   Head
	Stages []StageRow // those ever touched, by index
	Mail   []Mail     // oldest first
}

// Mail is a durable message to a stage, or with an empty stage to the execution.
type Mail struct {
	Seq       int64
	Execution string
	Stage     string
	Signal    stage.Signal
}

// Claim says that an execution has become the session's.
type Claim struct {
	ID      string
	Epoch   int64
	Ordered bool
}

// Balancer is a Session of a store that several share.
type Balancer interface {
	// Loads says how many live executions each living session has, this one included.
	Loads(ctx context.Context) (map[string]int, error)
	// HandOver gives executions of this session to another, with a new epoch, and
	// tells it. Those of ordered pipelines stay, and so do all when the other is gone.
	// It returns those that were given.
	HandOver(ctx context.Context, ids []string, to string) ([]string, error)
}

// Due is an execution with a stage to be woken.
type Due struct {
	ID string
	At time.Time
}

// Notice is a hint from another session, or from this one to itself. Hints may
// get lost when a process dies; nothing depends on them but speed.
type Notice struct {
	Kind      NoticeKind
	Execution string
	Stage     string
	Attempt   int
	Task      string
	Position  int64
}

// NoticeKind says what a notice is about.
type NoticeKind string

const (
	NoticeMail   NoticeKind = "mail"   // the execution, owned here, has mail
	NoticeOwned  NoticeKind = "owned"  // the execution was handed to this session
	NoticeHanded NoticeKind = "handed" // several were
	NoticeWake   NoticeKind = "wake"   // somebody called Wake
	NoticeEvents NoticeKind = "events" // the log has grown to Position
	NoticeAdopt  NoticeKind = "adopt"  // a session ended, or work was given up: Adopt
)

// Change is one transition of one execution, applied as a whole or not at all.
type Change struct {
	ID     string
	Epoch  int64      // fence, with the session's owner; unused with Create
	Create *Creation  // a new execution
	Revive bool       // an ended execution becomes live again, owned, with Epoch+1
	Head   *HeadPatch // nil: the execution's row stays as it is
	Stages []StageRow
	Mail   []Mail // to any execution; refused ones are dropped unless Strict
	// Strict refuses the change (not_found, precondition) when its mail cannot
	// be delivered because the execution does not exist or has ended. A change
	// with mail only needs no fence. Mail that was delivered before is no error;
	// its events are not repeated.
	Strict bool
	Events []record.Event

	// Results.
	Err     error
	Head2   Head  // with Create and Revive: the row as it is now
	Existed bool  // with Create: the trigger event had started Head2.ID before
	Last    int64 // position of the last event
}

// Creation is a new execution. The store gives Seq, Number and
// Order, and keeps SearchWords of the result.
type Creation struct {
	Head     Head
	PlanData []byte
}

// HeadPatch replaces the columns of a head that change.
type HeadPatch struct {
	Status  Status
	Started *time.Time
	Ended   *time.Time // set: the execution gives up its owner
	State   HeadState
	Release bool // give the execution up so that another session may adopt it
}

// Retention says what is kept. Zero fields keep for ever.
type Retention struct {
	// Executions that have ended are removed once they are older than Age and
	// more than Count newer ones of their pipeline exist.
	Age   time.Duration
	Count int
	// Events older than EventAge are archived and removed.
	EventAge time.Duration
	// TriggerAge is how long it is remembered that a trigger event has started something.
	TriggerAge time.Duration
}

func decodeStage(data []byte) (*StageState, error) {
	var r storedStage
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "execution.load", "a kept stage is damaged")
	}
	if r.V > stageVersion {
		return nil, problem.New(problem.Precondition, "execution.load", "a kept stage was written by a newer version of showrunner")
	}
	return &r.StageState, nil
}
