package function

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/rpc"
	"showrunner/problem"
)

// mostRequest bounds a request in its wire form, in bytes: a payload of 6 MiB in base64,
// and what belongs to it.
const mostRequest = 12 << 20

// line is one line of the answer to a request: lines of its log, or its end.
type line struct {
	Log    *driver.LogLines         `json:"log,omitempty"`
	Result *driver.InvocationResult `json:"result,omitempty"`
	Error  *rpc.Error               `json:"error,omitempty"`
}

// Handler is the host's interface for the control plane, below /functions/.
func (h *Host) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /functions/runtimes", func(w http.ResponseWriter, q *http.Request) {
		rpc.Answer(w, h.Runtimes(q.URL.Query().Get("name")), nil)
	})
	mux.HandleFunc("POST /functions/end", func(w http.ResponseWriter, q *http.Request) {
		h.EndFunction(q.URL.Query().Get("function"))
		rpc.Answer(w, nil, nil)
	})
	mux.HandleFunc("POST /functions/invoke", h.serveInvoke)
	return mux
}

// serveInvoke streams the log of a request as it comes, and its result at the end.
func (h *Host) serveInvoke(w http.ResponseWriter, q *http.Request) {
	var in driver.Invocation
	d := json.NewDecoder(http.MaxBytesReader(w, q.Body, mostRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		rpc.Fail(w, problem.Wrap(err, problem.Invalid, "function.invoke", "reading the request"))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	write := func(l line) {
		if out.Encode(l) == nil { // a caller that has gone has ended the request's context
			_ = flush.Flush()
		}
	}
	r, err := h.Invoke(q.Context(), in, func(l driver.LogLines) { write(line{Log: &l}) })
	if err != nil {
		write(line{Error: rpc.NewError(err)})
		return
	}
	write(line{Result: &r})
}

// Client calls one region's Host through its Handler. It implements
// driver.FunctionRunner for that region.
type Client struct {
	region string
	rpc    *rpc.Client
}

var _ driver.FunctionRunner = (*Client)(nil)

// NewClient returns a client for a region whose Handler is reached through rpc.
func NewClient(region string, rpc *rpc.Client) *Client { return &Client{region, rpc} }

func (c *Client) here(region string) error {
	if region != c.region {
		return problem.New(problem.NotFound, "function.call", "this is a client of region %s, not %s", c.region, region)
	}
	return nil
}

// Runtimes implements driver.FunctionRunner.
func (c *Client) Runtimes(ctx context.Context, region, name string) (list []driver.Runtime, err error) {
	if err := c.here(region); err != nil {
		return nil, err
	}
	err = c.rpc.Call(ctx, http.MethodGet, "/functions/runtimes?name="+url.QueryEscape(name), nil, &list)
	return list, err
}

// EndFunction implements driver.FunctionRunner.
func (c *Client) EndFunction(ctx context.Context, region, name string) error {
	if err := c.here(region); err != nil {
		return err
	}
	return c.rpc.Call(ctx, http.MethodPost, "/functions/end?function="+url.QueryEscape(name), nil, nil)
}

// Invoke implements driver.FunctionRunner.
func (c *Client) Invoke(ctx context.Context, region string, in driver.Invocation, log func(driver.LogLines)) (driver.InvocationResult, error) {
	if err := c.here(region); err != nil {
		return driver.InvocationResult{}, err
	}
	resp, err := c.rpc.Open(ctx, http.MethodPost, "/functions/invoke", in)
	if err != nil {
		return driver.InvocationResult{}, err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(bufio.NewReaderSize(resp.Body, 64<<10))
	for {
		var l line
		if err := d.Decode(&l); err != nil {
			return driver.InvocationResult{}, c.rpc.Unreachable(ctx, err)
		}
		switch {
		case l.Error != nil:
			return driver.InvocationResult{}, l.Error.Problem()
		case l.Result != nil:
			return *l.Result, nil
		case l.Log != nil:
			log(*l.Log)
		}
	}
}
