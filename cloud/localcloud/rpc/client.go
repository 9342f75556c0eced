package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"showrunner/problem"
)

// Client calls one process.
type Client struct {
	HTTP *http.Client
	Base string // such as "http://region"
	Name string // name of that process, for messages: "region us-west-2"
	Help string // what to do when the process does not answer
}

const op = "rpc.call"

// Call sends a request, and decodes the answer into to unless that is nil.
// Errors: those of the other side, and unavailable when it does not answer or
// stops in the middle.
func (c *Client) Call(ctx context.Context, method, path string, body, to any) error {
	resp, err := c.Open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if to == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // so that the connection can be used again
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(to); err != nil {
		return c.Unreachable(ctx, err)
	}
	return nil
}

// Open sends a request, and leaves the answer's body to the caller.
func (c *Client) Open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, problem.Wrap(err, problem.Invalid, op, "encoding a request to %s", c.Name)
		}
		in = bytes.NewReader(text)
	}
	q, err := http.NewRequestWithContext(ctx, method, c.Base+path, in)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, op, "writing a request to %s", c.Name)
	}
	resp, err := c.HTTP.Do(q)
	if err != nil {
		return nil, c.Unreachable(ctx, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var e Error
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&e); err != nil || e.Code == "" {
		return nil, problem.New(codeOf(resp.StatusCode), op, "%s answered %s", c.Name, resp.Status)
	}
	return nil, e.Problem()
}

// Unreachable is the error for a process that gave no answer, or an incomplete one.
func (c *Client) Unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return problem.Wrap(context.Cause(ctx), problem.Unavailable, op, "asking %s", c.Name)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return problem.Wrap(err, problem.Unavailable, op, "%s does not answer", c.Name).WithHelp("%s", c.Help)
}
