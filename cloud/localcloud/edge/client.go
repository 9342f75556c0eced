package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"showrunner/internal/sockpath"
	"showrunner/problem"
)

// Region is what the edge knows of one region.
type Region struct {
	Name    string    `json:"name"`
	Address string    `json:"address,omitempty"` // of its front door
	Healthy bool      `json:"healthy"`
	Since   time.Time `json:"since"` // of Healthy's present value
	// Weight is the share of requests relative to the other regions; nil leaves it
	// to the order of preference, 0 keeps requests away while another region serves.
	Weight   *float64 `json:"weight,omitempty"`
	Requests uint64   `json:"requests"`
	Errors   uint64   `json:"errors"` // not answered, or answered 5xx
}

// Client speaks to the edge of a data folder.
type Client struct{ http *http.Client }

// NewClient makes a client. It does not connect: there may be no edge.
func NewClient(data string) (*Client, error) {
	path, err := sockpath.Path(data, "edge")
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "edge", "data folder %s", data)
	}
	return &Client{http: sockpath.Client(path)}, nil
}

// Regions lists the regions in the order of preference. Errors: unavailable
// without an edge.
func (c *Client) Regions(ctx context.Context) ([]Region, error) {
	var list []Region
	return list, c.call(ctx, http.MethodGet, nil, &list)
}

// SetWeights replaces the weights of the regions named, nil removes one; all or
// none. They outlive a restart of the edge. Setting the same again changes
// nothing.
func (c *Client) SetWeights(ctx context.Context, weights map[string]*float64) error {
	return c.call(ctx, http.MethodPut, weights, nil)
}

func (c *Client) call(ctx context.Context, method string, body, to any) error {
	const op = "edge.weights"
	text, err := json.Marshal(body)
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the request")
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://edge/v1/regions", bytes.NewReader(text))
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the request")
	}
	res, err := c.http.Do(r)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "no edge answers").WithHelp("it is started by: showrunner up")
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16)) // what it said so far is said
		code := problem.Internal
		if res.StatusCode == http.StatusBadRequest {
			code = problem.Invalid
		}
		return problem.New(code, op, "%s", strings.TrimSpace(string(why)))
	}
	if to == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(to); err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "reading the answer")
	}
	return nil
}
