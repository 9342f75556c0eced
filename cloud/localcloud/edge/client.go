package edge

import (
	"context"
	"net/http"
	"time"

	"showrunner/cloud/localcloud/rpc"
	"showrunner/internal/sockpath"
	"showrunner/problem"
)

// Region is what the edge knows of one region.
type Region struct {
	Name    string    `json:"name"`
	Address string    `json:"address,omitempty"` // of its load balancer
	Healthy bool      `json:"healthy"`
	Since   time.Time `json:"since"` // of Healthy's present value
	// Weight is the share of requests relative to the other regions; nil leaves it
	// to the order of preference, 0 keeps requests away while another region serves.
	Weight   *float64 `json:"weight,omitempty"`
	Requests uint64   `json:"requests"`
	Errors   uint64   `json:"errors"` // not answered, or answered 5xx
}

// Client speaks to the edge of a data folder.
type Client struct{ rpc *rpc.Client }

// NewClient makes a client. It does not connect: there may be no edge.
func NewClient(data string) (*Client, error) {
	path, err := sockpath.Path(data, "edge")
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "edge", "data folder %s", data)
	}
	return &Client{&rpc.Client{HTTP: sockpath.Client(path), Base: "http://edge", Name: "the edge", Help: "it is started by: showrunner up"}}, nil
}

const regionsPath = "/v1/regions"

// Regions lists the regions in the order of preference. Errors: unavailable
// without an edge.
func (c *Client) Regions(ctx context.Context) ([]Region, error) {
	var list []Region
	return list, c.rpc.Call(ctx, http.MethodGet, regionsPath, nil, &list)
}

// SetWeights replaces the weights of the regions named, nil removes one; all or
// none. They outlive a restart of the edge. Setting the same again changes
// nothing. Errors: invalid, not_found, unavailable.
func (c *Client) SetWeights(ctx context.Context, weights map[string]*float64) error {
	return c.rpc.Call(ctx, http.MethodPut, regionsPath, weights, nil)
}
