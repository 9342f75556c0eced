package control

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"showrunner/artifact"
	"showrunner/canary"
	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/secret"
	"showrunner/stage"
	"showrunner/store/record"
)

// Engine is what the operations need of the durable engine.
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

// Records keeps the documents of the operations, and their audit events.
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

// Deps is everything that the operations call.
type Deps struct {
	Engine          Engine
	Records         Records
	Secrets         *secret.Store
	Artifacts       *artifact.Store
	Accounts        Accounts
	Claims          Claims   // nil: nobody says which execution changes a cluster
	CleanUps        CleanUps // nil: nothing is said of what is to be cleaned up
	Logs            StageLogs
	DeliveryLog     DeliveryLog
	Redeliverer     Redeliverer
	FreezeWatch     *FreezeWatch
	Edge            Edge
	RegionProcesses RegionProcesses
	URL             string // where this control plane is reached from outside
	// TracePage is where people read a trace, with TRACE in the place of its identifier; empty: nowhere.
	TracePage    string
	Log          *slog.Logger
	Now          func() time.Time
	Repositories Repositories  // nil: no repository's pipeline file is followed
	Alarms       OpenAlarms    // nil: there are no alarms
	KillMetrics  KillMetrics   // nil: kills are not counted
	StoreFaults  StoreFaults   // nil: faults of the database are refused
	HTTP         *http.Client  // of conditions and actions; nil: http.DefaultClient
	Replicas     Replicas      // nil: this is the only control plane
	Metrics      canary.Source // nil: there are no metrics
	// CheckQuery says what is wrong with a query of PromQL; nil: queries are not checked
	// before they are evaluated.
	CheckQuery func(query string) error
}

// Service carries out operations. Its methods may be used from any goroutine.
type Service struct {
	Deps
	deployedReader deployedReader
	kills          killsUnderWay
	wakeMonkey     chan struct{} // holds one word: look again now
	runs           runsUnderWay
	wakeRuns       chan struct{} // as wakeMonkey
}

// New makes a Service.
func New(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{Deps: d, wakeMonkey: make(chan struct{}, 1), wakeRuns: make(chan struct{}, 1)}
}
