package localcloud

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/fleet"
	"showrunner/cloud/localcloud/function"
	"showrunner/cloud/localcloud/injection"
	"showrunner/cloud/localcloud/rpc"
	"showrunner/internal/sockpath"
	"showrunner/problem"
)

// Endpoint is the address of a region: its socket in a data folder, or a URL with
// a token.
type Endpoint struct {
	Region string
	Data   string // the region's data folder; or
	URL    string // its control listener
	Token  string
}

// ClientConfig is what a Client needs.
type ClientConfig struct {
	Regions []Endpoint // in the order of preference
	// Edge is the edge's address for users, host:port.
	Edge string
	// ForEdge says that the client is the edge's.
	ForEdge bool
	// Outages take regions down; without them a fault that does so is refused.
	Outages Outages
	Now     func() time.Time // default time.Now
}

// Client drives the regions of a local cloud. It implements driver.Cloud,
// Sites, Watcher, Logs and Operator, and is safe for use by several goroutines.
type Client struct {
	config  ClientConfig
	order   []string
	regions map[string]*regionClient
}

type regionClient struct {
	rpc.Client
	fleet     regionFleet
	functions driver.FunctionRunner

	mu   sync.Mutex
	seen driver.Region // last known state
	key  string        // last known key of the edge
	// What the edge does, as the region last said it; nothing while it does not answer.
	edgeFaults []injection.Fault
	callers    bool
}

// NewClient makes a client. It does not connect: regions may come and go.
func NewClient(config ClientConfig) (*Client, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &Client{config: config, regions: map[string]*regionClient{}}
	for _, e := range config.Regions {
		r, err := newRegionClient(e, config.ForEdge)
		if err != nil {
			return nil, err
		}
		c.regions[e.Region] = r
		c.order = append(c.order, e.Region)
	}
	return c, nil
}

func newRegionClient(e Endpoint, forEdge bool) (*regionClient, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}
	base := strings.TrimSuffix(e.URL, "/")
	if base == "" {
		path, err := sockpath.Path(e.Data, SocketName(e.Region))
		if err != nil {
			return nil, problem.Wrap(err, problem.Invalid, "localcloud.client", "region %s", e.Region)
		}
		base = "http://region"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	}
	client := &http.Client{Transport: withToken{e.Token, forEdge, transport}}
	c := rpc.Client{HTTP: client, Base: base, Name: "region " + e.Region, Help: "it may be restarting, or was stopped on purpose; see: showrunner regions"}
	return &regionClient{Client: c, fleet: fleet.NewClient(e.Region, &c), functions: function.NewClient(e.Region, &c), seen: driver.Region{Name: e.Region, Zones: defaultZones(e.Region)}}, nil
}

// withToken adds the token to every request, and the mark of the edge to its own.
type withToken struct {
	token   string
	forEdge bool
	next    http.RoundTripper
}

func (t withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.token != "" || t.forEdge {
		r = r.Clone(r.Context())
	}
	if t.token != "" {
		r.Header.Set("Authorization", "Bearer "+t.token)
	}
	if t.forEdge {
		r.Header.Set(edgeHeader, "1")
	}
	return t.next.RoundTrip(r)
}

func (c *Client) region(name string) (*regionClient, error) {
	if r, ok := c.regions[name]; ok {
		return r, nil
	}
	return nil, problem.New(problem.NotFound, "localcloud.region", "there is no region %q", name).
		WithHelp("the regions are %s", strings.Join(c.order, ", "))
}

// Close closes idle connections.
func (c *Client) Close() {
	for _, r := range c.regions {
		r.HTTP.CloseIdleConnections()
	}
}

// probeTimeout bounds how long an unresponsive region delays a list of regions.
const probeTimeout = 2 * time.Second

// Regions lists the regions in order of preference. A region that does not answer
// is unhealthy.
func (c *Client) Regions(ctx context.Context) ([]driver.Region, error) {
	list := make([]driver.Region, len(c.order))
	var wg sync.WaitGroup
	for i, name := range c.order {
		wg.Go(func() { list[i] = c.regions[name].observe(ctx, c.config.Now) })
	}
	wg.Wait()
	return list, ctx.Err()
}

// observe asks the region for its state, and keeps the answer.
func (r *regionClient) observe(ctx context.Context, now func() time.Time) driver.Region {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var answer Info
	err := r.Call(ctx, http.MethodGet, "/v1/region", nil, &answer)
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.seen.Healthy
	r.edgeFaults, r.callers = answer.EdgeFaults, answer.Callers
	if err == nil {
		r.key = answer.EdgeKey
		r.seen.Zones, r.seen.Address, r.seen.S3, r.seen.Processes = answer.Zones, answer.Address, answer.S3, answer.Processes
	}
	if r.seen.Healthy = err == nil; was != r.seen.Healthy || r.seen.Since.IsZero() {
		r.seen.Since = now()
	}
	return r.seen
}

// EdgeKey is the key that proves to a region that a request comes from the edge,
// as the region last reported it; empty when it is not known.
func (c *Client) EdgeKey(region string) string {
	r := c.regions[region]
	if r == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.key
}

// EdgeFaults are what the edge does to the requests that it sends to a region, and
// whether it tells the region from where each one came.
func (c *Client) EdgeFaults(region string) (faults []injection.Fault, callers bool) {
	r := c.regions[region]
	if r == nil {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.edgeFaults, r.callers
}

// Info asks one region for its description. Errors: not_found, unavailable.
func (c *Client) Info(ctx context.Context, region string) (Info, error) {
	var info Info
	r, err := c.region(region)
	if err != nil {
		return info, err
	}
	return info, r.Call(ctx, http.MethodGet, "/v1/region", nil, &info)
}
