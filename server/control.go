package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"showrunner/api"
	"showrunner/artifact"
	"showrunner/awsapi/codepipeline"
	"showrunner/cloud"
	"showrunner/cloud/journal"
	"showrunner/control"
	"showrunner/control/lastknown"
	"showrunner/execution"
	"showrunner/execution/stagelog"
	"showrunner/internal/ready"
	"showrunner/problem"
	"showrunner/secret"
	"showrunner/source"
	"showrunner/stage"
	stagebuild "showrunner/stage/build"
	"showrunner/stage/deploy"
	"showrunner/stage/notify"
	"showrunner/store"
	"showrunner/telemetry"
	"showrunner/telemetry/cloudwatch"
	"showrunner/telemetry/promapi"
	"showrunner/telemetry/scrape"
	metricsource "showrunner/telemetry/source"
	"showrunner/trigger"
	"showrunner/web"
)

// ControlConfig is what a control plane runs with.
type ControlConfig struct {
	Data     string
	Shared   string   // what the control planes of a database share; empty: Data
	Listen   string   // API and pages
	Edge     string   // where people find sites and services
	Regions  []string // local regions, the nearest first
	Database string   // postgres://…; empty: SQLite in Data
	// DatabaseDirect is the server's own address where Database leads through a pooler.
	DatabaseDirect string
	Hosts          []string // names besides localhost that requests may be addressed to
	Token          string   // empty: the one in Data
	Identity       string   // age identity for secrets; empty: the key in Data
	URL            string   // where others reach this control plane, for call-backs; empty: http://Listen
	// AWS is where the AWS-compatible endpoint listens, or at the next free port; empty or off: nowhere.
	AWS string
	// MetricsTo is where metrics are sent, cloudwatch://REGION/NAMESPACE; empty: nowhere.
	MetricsTo string
	// TracesTo is the collector that traces are sent to, by OTLP/HTTP; empty: that of the
	// environment (OTEL_EXPORTER_OTLP_ENDPOINT); off: none.
	TracesTo string
	// TracePage is where people read a trace, with TRACE in the place of its identifier.
	TracePage string
	Version   string
	Exe       string // this program, which supervises builds
	// Retention is how long what has ended is kept.
	Retention execution.Retention
	// KeepBuilds is how long the folders of builds that ended are kept.
	KeepBuilds time.Duration
	// BuildsLostAfter is how long another control plane's host may be silent before
	// the builds it ran are started anew; zero is a minute.
	BuildsLostAfter time.Duration
	// BuildsAtOnce is how many builds run at once on this machine; zero is the default.
	BuildsAtOnce int
	// RetentionEvery is the time between two removals of what is no longer kept; zero is an hour.
	RetentionEvery time.Duration
	Log            *slog.Logger
	Now            func() time.Time
	Ready          func(ready.Message)
}

// DefaultRetention keeps what ended for 90 days, and at least the last 100 of
// each pipeline; events for as long.
func DefaultRetention() execution.Retention {
	const day = 24 * time.Hour
	return execution.Retention{Age: 90 * day, Count: 100, EventAge: 90 * day, TriggerAge: 30 * day}
}

// DefaultBuildsAtOnce is twice the number of processors.
func DefaultBuildsAtOnce() int { return 2 * runtime.NumCPU() }

// controlPlane is a running control plane and its parts.
type controlPlane struct {
	ControlConfig
	store        *store.Faulty
	engine       *execution.Engine
	memory       *lastknown.Memory // nil with SQLite
	reads        control.Engine    // the engine, with what is remembered of it where there is a memory
	control      *control.Service
	freezes      *control.FreezeWatch
	transitions  *codepipeline.Gate
	repositories *source.Fetcher
	triggers     *trigger.Service
	hooks        *trigger.Hooks
	definitions  *definitions
	regions      *Supervisor
	accounts     *accounts
	artifacts    *artifact.Store
	builder      *stagebuild.Builder
	secrets      *secret.Store
	logs         *stagelog.Folder
	auth         *api.Auth
	callbacks    *notify.Callbacks
	claims       *deploy.Claims
	cleanUps     *deploy.CleanUps
	watchers     *deploy.Watchers
	cleaner      *deploy.Cleaner
	listener     net.Listener
	metrics      *telemetry.Store
	promapi      *promapi.API
	sourceClient *http.Client // of analyses
	scraper      *scrape.Scraper
	targets      map[string][]scrape.Target // of account/region
	own          *ownMetrics
	sink         *cloudwatch.Sink            // nil: metrics are sent nowhere
	backgrounds  []func(ctx context.Context) // what was asked for besides, and runs until the control plane ends
	aws          *awsEndpoint                // nil: none is asked for
	awsURL       string                      // of the endpoint; set before anything is served
	urlGiven     bool                        // URL is what a person gave
}

// RunControl runs a control plane until ctx ends. What its stages do outside
// (builds, rollouts in the regions) goes on without it, and the next one picks
// it up. Errors: conflict when the data folder or the address is in use.
func RunControl(ctx context.Context, config ControlConfig) error {
	c, err := newControlPlane(ctx, config)
	if err != nil {
		return err
	}
	defer c.close()
	return c.run(ctx)
}

func newControlPlane(ctx context.Context, config ControlConfig) (_ *controlPlane, err error) {
	const op = "control"
	if config.Data, err = filepath.Abs(config.Data); err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "data folder")
	}
	if config.Shared, err = filepath.Abs(cmp.Or(config.Shared, config.Data)); err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "shared folder")
	}
	if config.Shared != config.Data && config.Database == "" {
		return nil, problem.New(problem.Invalid, op, "--shared is for several control planes on one --database")
	}
	if config.BuildsAtOnce < 0 {
		return nil, problem.New(problem.Invalid, op, "--builds-at-once is %d", config.BuildsAtOnce).WithHelp("one at least, or no flag for the default")
	}
	config.BuildsAtOnce = cmp.Or(config.BuildsAtOnce, DefaultBuildsAtOnce())
	config.BuildsLostAfter = cmp.Or(config.BuildsLostAfter, time.Minute)
	if _, err := collector(config); err != nil {
		return nil, err
	}
	outside, err := CheckURL(config.URL)
	if err != nil {
		return nil, err
	}
	if outside != "" {
		config.Hosts = append(slices.Clone(config.Hosts), outside)
	}
	for _, dir := range []string{config.Data, config.Shared} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, problem.Wrap(err, problem.Precondition, op, "folder %s", dir)
		}
	}
	c := &controlPlane{ControlConfig: config}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	// The address first: two control planes on one address are told apart before anything is opened.
	if c.listener, err = net.Listen("tcp", config.Listen); err != nil {
		return nil, problem.Wrap(err, problem.Conflict, op, "listening on %s", config.Listen).WithHelp("choose another address with --listen")
	}
	if c.Token == "" {
		if c.Token, err = c.sharedToken(); err != nil {
			return nil, err
		}
	}
	address := config.Database
	if address == "" {
		address = filepath.Join(c.Data, "showrunner.db")
	}
	opened, err := store.Open(ctx, address, store.Options{Now: c.Now, Direct: config.DatabaseDirect})
	if err != nil {
		return nil, err
	}
	c.store = store.NewFaulty(opened, c.Now)
	if config.Database != "" {
		if err := c.claimFolder(ctx); err != nil {
			return nil, err
		}
	}
	if c.artifacts, err = artifact.Open(filepath.Join(c.Shared, "artifacts")); err != nil {
		return nil, err
	}
	c.secrets = secret.New(c.store, secret.Options{KeyFile: filepath.Join(c.Shared, "key"), Identity: c.Identity})
	fingerprints := func(ctx context.Context) ([]byte, error) {
		return c.secrets.DeriveKey(ctx, "fingerprints of server groups")
	}
	if c.regions, err = NewSupervisor(c.Data); err != nil {
		return nil, err
	}
	if c.accounts, err = newAccounts(c.Data, c.Edge, c.Regions, c.regions, cloud.Options{Now: c.Now, Key: fingerprints, Journal: journal.New(c.store)}); err != nil {
		return nil, err
	}
	c.logs = stagelog.New(filepath.Join(c.Shared, "logs"))
	if c.urlGiven = c.URL != ""; !c.urlGiven {
		c.URL = "http://" + c.listener.Addr().String()
	}
	if err := c.wire(ctx); err != nil {
		return nil, err
	}
	if c.AWS, err = CheckAWS(c.AWS); err != nil {
		return nil, err
	}
	if c.metrics, err = openMetrics(c.Data); err != nil {
		return nil, err
	}
	c.promapi, c.sourceClient = promapi.New(c.metrics, c.Version, c.Now), metricsource.NewClient()
	c.scraper = &scrape.Scraper{Store: c.metrics, Client: scrape.NewClient(), Now: c.Now, Log: c.Log}
	c.targets = map[string][]scrape.Target{}
	c.own = c.newOwnMetrics()
	if c.sink, err = c.openSink(ctx); err != nil {
		return nil, err
	}
	if c.sink != nil {
		c.own.registry.MustRegister(sinkMetrics(c.sink)...)
		c.backgrounds = append(c.backgrounds, c.sink.Run)
	}
	if c.AWS != "" {
		if c.aws, err = c.awsEndpoint(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// CheckURL returns the host of the URL by which others reach the control plane, and "" for
// none. Errors: invalid.
func CheckURL(text string) (host string, err error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", problem.New(problem.Invalid, "control", "--url is %q, which is no URL of HTTP", text).WithHelp("such as https://deploy.example.com")
	}
	return u.Hostname(), nil
}

// secretsOf gives a task its secrets, and a log that shows none of their values.
func (c *controlPlane) secretsOf(_ stage.Key, _ string, log io.Writer) (stage.Secrets, io.Writer) {
	masker := secret.NewMasker(log)
	return &secret.Expander{Secrets: allSecrets{c.secrets, c}, Mask: masker.Add}, masker
}

// ownerName is the principal that holds the token: the person whose data folder it is.
func ownerName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "owner"
}

// run serves until ctx ends, and then stops in order: no new requests, tasks
// detached, the store closed.
func (c *controlPlane) run(ctx context.Context) error {
	server := &http.Server{Handler: c.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)}
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	server.BaseContext = func(net.Listener) context.Context { return requests }
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.engine.Run(ctx) })
	group.Go(func() error { c.freezes.Watch(ctx, c.reads); return nil })
	group.Go(func() error { c.transitions.Watch(ctx, c.reads); return nil })
	group.Go(func() error { c.control.WatchDeployed(ctx); return nil })
	group.Go(func() error { c.control.RunMonkey(ctx); return nil })
	group.Go(func() error { c.control.RunExperiments(ctx); return nil })
	group.Go(func() error { c.definitions.watch(ctx); return nil })
	group.Go(func() error { c.own.figures.Run(ctx); return nil })
	group.Go(func() error { return c.triggers.Run(ctx) })
	if err := c.sendTraces(ctx); err != nil && ctx.Err() == nil {
		c.Log.Warn("traces are sent as before; the collector was not taken in", "error", err)
	}
	group.Go(func() error { c.deliverer().Run(ctx); return nil })
	c.tellPeople(ctx, group)
	for _, run := range c.backgrounds {
		group.Go(func() error { run(ctx); return nil })
	}
	group.Go(func() error { c.cleaner.Run(ctx); return nil })
	group.Go(func() error { c.sweeper().Run(ctx); return nil })
	group.Go(func() error { c.builder.KeepQueue(ctx); return nil })
	group.Go(func() error {
		repeat(ctx, trafficEvery, c.Log, "recording the traffic", c.recordTraffic)
		c.scraper.Wait()
		return nil
	})
	if c.Database != "" {
		group.Go(func() error { return c.keepFolder(ctx) })
		group.Go(func() error { c.builder.Keep(ctx); return nil })
		group.Go(func() error { c.builder.Help(ctx); return nil })
		group.Go(func() error { c.remembering().Run(ctx, c.warm); return nil })
	}
	group.Go(func() error {
		if err := server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
			return problem.Wrap(err, problem.Unavailable, "control", "serving")
		}
		return nil
	})
	if c.aws != nil {
		c.aws.serve(ctx, group, c.Log)
	}
	group.Go(func() error {
		<-ctx.Done()
		return stopServing(server, endRequests, requestsFinish, requestsEnd, c.Log)
	})
	if err := c.announce(); err != nil {
		return err
	}
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

const (
	// requestsFinish is how long requests under way may take by themselves when the
	// control plane stops. Then their contexts end, which also ends streams.
	requestsFinish = 250 * time.Millisecond
	// requestsEnd is how long they may take after that.
	requestsEnd = 5 * time.Second
)

// stopServing lets requests under way finish, ends those that go on, and cuts off
// what does not end within a limit: a slow client does not make a stop a failure.
func stopServing(server *http.Server, endRequests func(), finish, limit time.Duration, log *slog.Logger) error {
	later := time.AfterFunc(finish, endRequests)
	defer later.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), finish+limit)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("requests that did not end in time were cut off", "limit", limit)
		err = server.Close()
	}
	return err
}

// announce writes where this control plane is, and tells who started it.
func (c *controlPlane) announce() error {
	address := c.listener.Addr().String()
	name := filepath.Join(c.Data, "control.addr")
	if err := os.WriteFile(name+".new", []byte(address+"\n"), 0o600); err != nil {
		return problem.Wrap(err, problem.Unavailable, "control", "writing %s", name)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return problem.Wrap(err, problem.Unavailable, "control", "writing %s", name)
	}
	c.Log.Info("control plane", "address", address, "data", c.Data)
	if c.Ready != nil {
		c.Ready(ready.Message{Process: "control", Listens: map[string]string{"http": address}})
	}
	return nil
}

func (c *controlPlane) close() {
	if c.listener != nil {
		c.listener.Close() // closed already when it served
	}
	if c.aws != nil {
		c.aws.listener.Close() // as above
	}
	if c.watchers != nil {
		c.watchers.Close()
	}
	if c.metrics != nil {
		if err := c.metrics.Close(); err != nil {
			c.Log.Error("closing the metrics", "error", err)
		}
	}
	if c.store != nil {
		if err := c.store.Close(); err != nil {
			c.Log.Error("closing the store", "error", err)
		}
	}
}

// handler is everything that is served on the control plane's address.
func (c *controlPlane) handler() http.Handler {
	rest := api.New(api.Config{Control: c.control, Auth: c.auth, Version: c.Version, MayDecide: mayDecide, Edge: c.Edge, Backup: c.store.Backup})
	pages := web.New(web.Config{Control: c.control, Auth: c.auth, MayDecide: mayDecide, Edge: edgeName(c.Edge), AWS: func() (string, error) { return AWSAddress(c.Data) }, Log: c.Log, Now: c.Now})
	mux := http.NewServeMux()
	mux.Handle("/api/", rest)
	mux.Handle("/openapi.json", rest)
	mux.Handle("/openapi.yaml", rest)
	c.prometheus(mux)
	c.serveOwnMetrics(mux)
	mux.Handle(api.JudgePath, api.Judge())
	mux.HandleFunc("GET /login", c.auth.SignIn)
	alive := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /-/healthy", alive) // as Prometheus
	mux.HandleFunc("GET /-/ready", c.readyz)
	mux.HandleFunc("GET /readyz", c.readyz)
	mux.Handle("/", pages)
	mux.Handle(trigger.HooksPath, c.hooks)
	mux.Handle(notify.CallbackPath, c.callbacks)
	return c.own.count(c.auth.Host(guard(lastknown.Mark(mux, c.Now))))
}

// guard refuses requests that a page of another site made a browser send.
func guard(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	// Webhooks and callbacks come from other programs, and are authenticated by signature or token.
	protection.AddInsecureBypassPattern("/hooks/")
	return protection.Handler(next)
}

// edgeName is the edge's address as browsers reach names below it.
func edgeName(edge string) string {
	_, port, err := net.SplitHostPort(edge)
	if err != nil {
		return edge
	}
	return "localhost:" + port
}
