package localcloud

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"showrunner/problem"
)

// call asks the region and decodes its answer into to, unless that is nil.
func (r *regionClient) call(ctx context.Context, method, path string, body, to any) error {
	resp, err := r.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if to == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(to); err != nil {
		return r.away(err)
	}
	return nil
}

// open asks the region and leaves the answer's body to the caller.
func (r *regionClient) open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, problem.Wrap(err, problem.Internal, "localcloud.call", "writing a request to %s", r.endpoint.Region)
		}
		in = bytes.NewReader(data)
	}
	q, err := http.NewRequestWithContext(ctx, method, r.base+path, in)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "localcloud.call", "writing a request to %s", r.endpoint.Region)
	}
	resp, err := r.http.Do(q)
	if err != nil {
		if ctx.Err() != nil {
			return nil, problem.Wrap(context.Cause(ctx), problem.Unavailable, "localcloud.call", "asking region %s", r.endpoint.Region)
		}
		return nil, r.away(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var e wireError
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&e); err != nil || e.Code == "" {
		return nil, problem.New(problem.Internal, "localcloud.call", "region %s answered %s", r.endpoint.Region, resp.Status)
	}
	return nil, e.problem()
}

// away is the error of a region that does not answer, or stopped in the middle.
func (r *regionClient) away(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return problem.Wrap(err, problem.Unavailable, "localcloud.call", "region %s does not answer", r.endpoint.Region).
		WithHelp("it may be starting again or taken down on purpose; see: showrunner regions")
}
