package localcloud

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"showrunner/artifact"
	"showrunner/cloud/localcloud/balancer"
	"showrunner/cloud/localcloud/fleet"
	"showrunner/cloud/localcloud/function"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/cloud/localcloud/sites"
	"showrunner/internal/ready"
	"showrunner/internal/sockpath"
	"showrunner/problem"
)

// RegionConfig is the configuration of one region process.
type RegionConfig struct {
	Name      string   // such as us-west-2
	Zones     []string // default: the name with a, b and c
	Data      string   // the data folder; the region's own is regions/<name> in it
	Artifacts string   // the folder of artifacts; default artifacts in Data
	Listen    string   // the load balancer; default: its last address, otherwise a free loopback port
	S3        string   // the S3 endpoint; default as for Listen
	// Control adds a TCP listener to the unix socket; it requires Token.
	Control string
	Token   string
	// PassEnv names variables of this process that instances inherit.
	PassEnv []string
	Log     *slog.Logger
	Now     func() time.Time
	// Helper is a program that calls stress.Main, for faults that use things up; without
	// one they are refused.
	Helper string
	// Ready is called once, when all parts serve. May be nil.
	Ready func(ready.Message)
	// ShutdownTimeout is how long requests and instances may take to end; default
	// 10s.
	ShutdownTimeout time.Duration
}

func (c RegionConfig) withDefaults() (RegionConfig, error) {
	const op = "region.run"
	if !regionName.MatchString(c.Name) {
		return c, problem.New(problem.Invalid, op, "%q is not a valid name of a region", c.Name).
			WithHelp("lower-case letters, digits and hyphens, such as us-west-2")
	}
	if c.Data == "" {
		return c, problem.New(problem.Invalid, op, "region %s has no data folder", c.Name)
	}
	if c.Control != "" && c.Token == "" {
		return c, problem.New(problem.Invalid, op, "control over TCP (%s) needs a token", c.Control)
	}
	// The object storage changes the working folder, so every path is made
	// absolute first.
	var err error
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return c, problem.Wrap(err, problem.Invalid, op, "data folder %s", c.Data)
	}
	if c.Artifacts == "" {
		c.Artifacts = filepath.Join(c.Data, "artifacts")
	}
	if c.Artifacts, err = filepath.Abs(c.Artifacts); err != nil {
		return c, problem.Wrap(err, problem.Invalid, op, "artifact folder %s", c.Artifacts)
	}
	if len(c.Zones) == 0 {
		c.Zones = defaultZones(c.Name)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ShutdownTimeout <= 0 {
		c.ShutdownTimeout = 10 * time.Second
	}
	return c, nil
}

func defaultZones(region string) []string { return []string{region + "a", region + "b", region + "c"} }

// dir is the region's own folder.
func (c RegionConfig) dir(elem ...string) string {
	return filepath.Join(append([]string{c.Data, "regions", c.Name}, elem...)...)
}

// region is a running region and its parts.
type region struct {
	config    RegionConfig
	started   time.Time
	objects   *objectstore.Store
	sites     *sites.Sites
	fleet     *fleet.Fleet
	functions *function.Host
	balancer  *balancer.Balancer
	front     net.Listener
	edgeKey   string
}

// RunRegion runs a region in this process until ctx ends, and then shuts it down
// in order: new requests are refused, running ones end, instances stop, the
// object storage closes. A second region of the same name on the same data folder
// is refused with conflict. Only one region can run in a process.
func RunRegion(ctx context.Context, config RegionConfig) error {
	const op = "region.run"
	config, err := config.withDefaults()
	if err != nil {
		return err
	}
	for _, dir := range []string{config.dir(), config.Artifacts} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return problem.Wrap(err, problem.Unavailable, op, "making folder %s", dir)
		}
	}
	unlock, err := lockFolder(config.dir())
	if err != nil {
		return problem.Wrap(err, problem.Conflict, op, "region %s runs already on %s", config.Name, config.Data)
	}
	defer unlock()
	r := &region{config: config, started: config.Now()}
	defer r.close()
	if err := r.open(ctx); err != nil {
		return err
	}
	return r.serve(ctx)
}

// open starts the parts in the order of their dependencies.
func (r *region) open(ctx context.Context) error {
	c := r.config
	remembered, err := loadPorts(c.dir("ports.json"))
	if err != nil {
		return err
	}
	store, err := artifact.Open(c.Artifacts)
	if err != nil {
		return err
	}
	credentials, err := objectstore.LoadCredentials(CredentialsFile(c.Data))
	if err != nil {
		return err
	}
	watcher := sites.NewWatcher()
	r.objects, err = objectstore.Open(ctx, objectstore.Config{
		Dir: c.dir("s3"), Region: c.Name, Listen: first(c.S3, remembered.S3), Credentials: credentials, Watch: watcher, Log: c.Log,
	})
	if err != nil {
		return err
	}
	r.sites, err = sites.Open(sites.Config{
		Region: c.Name, Dir: c.dir("sites"), Objects: r.objects, Artifacts: store, Watcher: watcher, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return err
	}
	if r.front, err = listen(c.Listen, remembered.Front); err != nil {
		return problem.Wrap(err, problem.Unavailable, "region.run", "the load balancer of %s cannot listen", c.Name)
	}
	r.edgeKey = first(remembered.EdgeKey, rand.Text())
	r.balancer = balancer.New(balancer.Config{Resolve: r.resolve, Fallback: r.sites, OnEject: r.eject, EdgeKey: r.edgeKey, Log: c.Log})
	r.fleet, err = fleet.New(fleet.Config{
		Region: c.Name, Zones: c.Zones, Dir: c.dir("fleet"), Artifacts: store, Balancer: r.balancer, Log: c.Log, Now: c.Now,
		Address: r.front.Addr().String(), S3: r.objects.Endpoint(), PassEnv: c.PassEnv, Helper: c.Helper,
	})
	if err != nil {
		return err
	}
	if r.functions, err = function.New(function.Config{Region: c.Name, Dir: c.dir("functions"), Artifacts: store, PassEnv: c.PassEnv, Log: c.Log, Now: c.Now}); err != nil {
		return err
	}
	return savePorts(c.dir("ports.json"), ports{Front: r.front.Addr().String(), S3: r.objects.Address(), EdgeKey: r.edgeKey})
}

// resolve names the cluster for a host that is not a cluster's name. A site of
// that name takes precedence over an application's only cluster.
func (r *region) resolve(name string) string {
	if r.sites.Has(name) || r.fleet == nil {
		return ""
	}
	return r.fleet.Resolve(name)
}

func (r *region) eject(instance, reason string) {
	if r.fleet != nil {
		r.fleet.Eject(instance, reason)
	}
}

// serve runs until ctx ends or a part fails.
func (r *region) serve(ctx context.Context) error {
	c := r.config
	socket, err := sockpath.Listen(c.Data, SocketName(c.Name))
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "region.run", "the control socket of %s", c.Name)
	}
	listeners := []net.Listener{socket}
	api := r.partition(r.api())
	servers := []*http.Server{{Handler: api, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}}
	message := ready.Message{Process: "region " + c.Name, Listens: map[string]string{"http": r.front.Addr().String(), "s3": r.objects.Address()}}
	if c.Control != "" {
		remote, err := net.Listen("tcp", c.Control)
		if err != nil {
			socket.Close()
			return problem.Wrap(err, problem.Unavailable, "region.run", "control of %s cannot listen on %s", c.Name, c.Control)
		}
		listeners = append(listeners, remote)
		servers = append(servers, &http.Server{Handler: requireToken(c.Token, api), ReadHeaderTimeout: 10 * time.Second})
		message.Listens["control"] = remote.Addr().String()
	}
	failed := make(chan error, len(servers)+2)
	for i, s := range servers {
		go func() { failed <- s.Serve(listeners[i]) }()
	}
	go func() { failed <- r.balancer.Serve(r.front) }()
	go func() { <-r.objects.Done(); failed <- errors.New("the object storage ended") }()

	c.Log.Info("region ready", "region", c.Name, "front", r.front.Addr().String(), "s3", r.objects.Endpoint())
	if c.Ready != nil {
		c.Ready(message)
	}
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = problem.Wrap(err, problem.Internal, "region.run", "region %s", c.Name)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	if e := r.balancer.Shutdown(stop); e != nil {
		c.Log.Warn("load balancer closed on requests in flight", "region", c.Name, "error", e)
	}
	for _, s := range servers {
		s.Close()
	}
	return err
}

// close stops the parts in reverse order.
func (r *region) close() {
	stop, cancel := context.WithTimeout(context.Background(), r.config.ShutdownTimeout)
	defer cancel()
	if r.fleet != nil {
		if err := r.fleet.Close(stop); err != nil {
			r.config.Log.Warn("instances were killed", "region", r.config.Name, "error", err)
		}
	}
	if r.functions != nil {
		r.functions.Close()
	}
	if r.front != nil {
		r.front.Close()
	}
	if r.sites != nil {
		r.sites.Close()
	}
	if r.objects != nil {
		// Idle connections of S3 clients are not awaited.
		stop, cancel := context.WithTimeout(stop, time.Second)
		defer cancel()
		if err := r.objects.Close(stop); err != nil {
			r.config.Log.Debug("object storage closed on open connections", "region", r.config.Name, "error", err)
		}
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
