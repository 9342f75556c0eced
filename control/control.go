package control

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"time"

	"showrunner/artifact"
	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/secret"
	"showrunner/stage"
	"showrunner/store/record"
)

// Principal is who asks. Rights are one question, Service.allow, so that roles
// can be added behind it.
type Principal struct {
	Name string
	// Owner may do everything: the machine's owner, who can read the data folder.
	Owner bool
}

// Engine is what the front door needs of the durable engine.
type Engine interface {
	Start(ctx context.Context, r execution.StartRequest) (execution.Execution, bool, error)
	Cancel(ctx context.Context, id, by, reason string) error
	Signal(ctx context.Context, id, stageName string, s stage.Signal) error
	Restart(ctx context.Context, id, stageName, by string) error
	Get(ctx context.Context, id string) (execution.Execution, error)
	List(ctx context.Context, q execution.Query) (execution.Page, error)
	Events(ctx context.Context, from int64, f record.Filter, limit int) (record.Slice, error)
	Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice
	// End is the position of the last event.
	End(ctx context.Context) (int64, error)
}

// Records keeps the documents of the front door, and its audit events.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
	AppendEvents(ctx context.Context, events ...record.Event) error
}

// Accounts finds the clouds that this control plane drives.
type Accounts interface {
	Account(name string) (*cloud.Account, error)
	Names() []string
}

// Claims tells who changes a cluster now.
type Claims interface {
	// Holder is the execution that changes a cluster in one of the regions, and the
	// region; "" when there is none.
	Holder(ctx context.Context, account, cluster string, regions []string) (execution, region string, err error)
}

// Deps is everything that the front door calls.
type Deps struct {
	Engine    Engine
	Records   Records
	Secrets   *secret.Store
	Artifacts *artifact.Store
	Accounts  Accounts
	Claims    Claims // nil: nobody says who changes a cluster
	Logs      StageLogs
	Hooks     Deliveries
	Log       *slog.Logger
	Now       func() time.Time
}

// Service is the front door. Its methods may be used from any goroutine.
type Service struct {
	Deps
	freezes atomic.Pointer[freezeView]
}

// New makes the front door.
func New(d Deps) *Service {
	return &Service{Deps: d}
}

// Operations that change something. Each is one word of the audit log.
const (
	opApply      = "application.apply"
	opDelete     = "application.delete"
	opRun        = "execution.run"
	opCancel     = "execution.cancel"
	opRestart    = "execution.restart"
	opDecide     = "execution.decide"
	opSignal     = "execution.signal"
	opSecret     = "secret.set"
	opUnsecret   = "secret.delete"
	opFreeze     = "freeze.put"
	opThaw       = "freeze.delete"
	opRollback   = "rollback"
	opRepair     = "cluster.repair"
	opResize     = "cluster.resize"
	opWeights    = "cluster.weights"
	opDestroy    = "cluster.destroy"
	opTerminate  = "instance.terminate"
	opStandby    = "instance.standby"
	opProtect    = "instance.protect"
	opHealth     = "instance.set-health"
	opHook       = "instance.complete-hook"
	opHeartbeat  = "instance.heartbeat"
	opSuspend    = "cluster.suspend"
	opRegion     = "region.weight"
	opBackup     = "backup"
	opRead       = "read"
	opRedelivery = "delivery.redeliver"
)

// allow says whether the principal may do op to subject. Errors: denied.
func (s *Service) allow(p Principal, op, subject string) error {
	if p.Owner {
		return nil
	}
	if op == opRead && p.Name != "" {
		return nil
	}
	return problem.New(problem.Denied, op, "%s may not do this to %s", orNobody(p.Name), subject).
		WithHelp("use the token in the data folder of the control plane, or ask its owner")
}

func orNobody(name string) string {
	if name == "" {
		return "nobody in particular"
	}
	return name
}

// audit is the event that an operation leaves. Data never holds a secret's value.
func (s *Service) audit(p Principal, op, application, subject string, data map[string]any) record.Event {
	if data == nil {
		data = map[string]any{}
	}
	data["subject"] = subject
	raw, err := json.Marshal(data)
	if err != nil {
		raw = []byte(`{}`)
	}
	return record.Event{Time: s.Now().UTC(), Type: "audit." + op, Application: application, By: p.Name, Data: raw}
}

// did writes the audit event of an operation that has no record of its own to
// write it with. An operation that failed is written down as well, with its error.
func (s *Service) did(ctx context.Context, p Principal, op, application, subject string, data map[string]any, failure error) error {
	e := s.audit(p, op, application, subject, data)
	if failure != nil {
		var m map[string]any
		_ = json.Unmarshal(e.Data, &m) // our own document
		m["error"] = failure.Error()
		if raw, err := json.Marshal(m); err == nil {
			e.Data = raw
		}
	}
	// The act has happened: losing its trace because the caller hung up would be worse.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.Records.AppendEvents(ctx, e); err != nil && failure == nil {
		return problem.Wrap(err, "", op, "it was done, but its audit event could not be written")
	}
	return failure
}
