package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/injection"
	"showrunner/cloud/localcloud/proxy"
	"showrunner/internal/ready"
	"showrunner/internal/sockpath"
	"showrunner/problem"
)

// Regions is what the edge needs of a cloud; *localcloud.Client has it.
type Regions interface {
	// Regions lists the regions in the order of preference, with the addresses of
	// their load balancers; one that does not answer is not healthy.
	Regions(ctx context.Context) ([]driver.Region, error)
	ListSites(ctx context.Context, region string) ([]driver.Site, error)
	ServerGroups(ctx context.Context, region, cluster string) ([]driver.ServerGroup, error)
	// EdgeKey proves to a region that a request comes from its edge, as the region
	// last said it; empty when it is not known.
	EdgeKey(region string) string
	// EdgeFaults are the faults of the requests that the edge sends to a region, and
	// whether the region has to be told from where each one came.
	EdgeFaults(region string) (faults []injection.Fault, callers bool)
}

// Config is what an edge runs with.
type Config struct {
	Listen string // host:port
	Data   string // the data folder: control socket and weights
	Cloud  Regions
	Log    *slog.Logger
	Now    func() time.Time
	Ready  func(ready.Message)
	// ProbeEvery is how often each region is asked how it is; default 250ms.
	ProbeEvery time.Duration
}

// shutdownTimeout is how long requests under way may take when the edge stops.
const shutdownTimeout = 10 * time.Second

// Edge is a running edge.
type Edge struct {
	config    Config
	table     *table
	transport *transport
	server    *proxy.Server
}

// Run serves until ctx ends, and then lets the requests under way end.
func Run(ctx context.Context, c Config) error {
	const op = "edge"
	if c.ProbeEvery <= 0 {
		c.ProbeEvery = 250 * time.Millisecond
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return problem.Wrap(err, problem.Conflict, op, "listening on %s", c.Listen).WithHelp("choose another address with --edge (or --listen of showrunner edge)")
	}
	defer listener.Close()
	e, err := newEdge(c)
	if err != nil {
		return err
	}
	control, err := sockpath.Listen(c.Data, "edge")
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "the control socket")
	}
	controls := &http.Server{Handler: e.control(), ReadHeaderTimeout: 10 * time.Second}
	go controls.Serve(control) // it ends with Close
	defer controls.Close()

	probing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	e.table.probe(ctx, c.Cloud) // what is there now, before the first request
	go e.table.watch(probing, c.Cloud, c.ProbeEvery)
	go e.transport.tend(probing)

	served := make(chan error, 1)
	go func() { served <- e.server.Serve(listener) }()
	if c.Ready != nil {
		c.Ready(ready.Message{Process: "edge", Listens: map[string]string{"http": listener.Addr().String()}})
	}
	select {
	case err := <-served:
		return problem.Wrap(err, problem.Unavailable, op, "serving")
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := e.server.Shutdown(closing); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func newEdge(c Config) (*Edge, error) {
	t, err := newTable(filepath.Join(c.Data, "edge.json"), c.Now, c.Log)
	if err != nil {
		return nil, err
	}
	e := &Edge{config: c, table: t}
	e.transport = newTransport(e)
	e.server = proxy.New(proxy.Config{Route: func(*http.Request) (proxy.Service, http.Handler) { return e.transport, nil }, Log: c.Log})
	return e, nil
}
