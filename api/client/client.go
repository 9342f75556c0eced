// Package client speaks to the API from Go. The command line is built on it.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"showrunner/api"
	"showrunner/control"
	"showrunner/control/lastknown"
	"showrunner/problem"
	"showrunner/store/record"
)

// Client speaks to a control plane, or to whichever of several answers. It is
// safe for concurrent use.
type Client struct {
	bases []string
	at    atomic.Int64 // index of the address that answered last
	token string
	http  *http.Client
	// Stale is told of when an answer is that is not of now: the control plane's
	// database is unreachable. It may be nil.
	Stale func(asOf string)
}

// New makes a client for the control plane at base, such as
// http://127.0.0.1:7070, or for several of one database with commas between.
func New(base, token string) *Client {
	c := &Client{token: token, http: &http.Client{
		Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute},
	}}
	for one := range strings.SplitSeq(base, ",") {
		c.bases = append(c.bases, strings.TrimSuffix(strings.TrimSpace(one), "/"))
	}
	return c
}

// Base is the address of the control plane that answered last.
func (c *Client) Base() string { return c.bases[c.at.Load()] }

// Option refines a request.
type Option func(*http.Request)

// IdempotencyKey makes a repeated request have one effect.
func IdempotencyKey(key string) Option {
	return func(r *http.Request) {
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
	}
}

// Refused is a problem that the API answered with, with the findings about a file that it may carry.
type Refused = control.Refused

// Do calls an operation: path is below /api/v1, in (nil for none) is sent as
// JSON, and out (nil for none) is filled from the answer. An answer that is a
// problem becomes a *problem.Error with its code; no answer is unavailable.
func (c *Client) Do(ctx context.Context, method, path string, in, out any, options ...Option) error {
	var content []byte
	contentType := "application/json"
	switch v := in.(type) {
	case nil:
	case []byte:
		content, contentType = v, "application/octet-stream"
	default:
		raw, err := json.Marshal(in)
		if err != nil {
			return problem.Wrap(err, problem.Internal, "api", "encoding the request")
		}
		content = raw
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	res, err := c.send(ctx, method, path, content, contentType, options...)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil || res.StatusCode == http.StatusNoContent {
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // so that the connection can be used again
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return problem.Wrap(err, problem.Unavailable, "api", "reading the answer of %s", c.Base())
	}
	return nil
}

// Stream opens an operation that answers with something that goes on.
func (c *Client) Stream(ctx context.Context, path string, options ...Option) (io.ReadCloser, error) {
	res, err := c.send(ctx, http.MethodGet, path, nil, "", options...)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// send asks the control plane that answered last, and those after it where one
// cannot be reached, or is unreachable and the request may be made twice.
func (c *Client) send(ctx context.Context, method, path string, content []byte, contentType string, options ...Option) (*http.Response, error) {
	first := c.at.Load()
	var failed error
	for i := range int64(len(c.bases)) {
		at := (first + i) % int64(len(c.bases))
		res, again, err := c.sendTo(ctx, c.bases[at], method, path, content, contentType, options...)
		if err == nil || !again {
			c.at.Store(at)
			return res, err
		}
		failed = err
	}
	return nil, failed
}

// sendTo asks one control plane; again says that another may be asked instead.
func (c *Client) sendTo(ctx context.Context, base, method, path string, content []byte, contentType string, options ...Option) (res *http.Response, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, base+"/api/v1"+path, bytes.NewReader(content))
	if err != nil {
		return nil, false, problem.Wrap(err, problem.Invalid, "api", "the address %q", base)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if content != nil {
		req.Header.Set("Content-Type", contentType)
	}
	for _, o := range options {
		o(req)
	}
	repeatable := method == http.MethodGet || req.Header.Get("Idempotency-Key") != ""
	res, err = c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil, false, err
		}
		var op *net.OpError
		unsent := errors.As(err, &op) && op.Op == "dial"
		return nil, unsent || repeatable, problem.Wrap(err, problem.Unavailable, "api", "no control plane answers at %s", base).
			WithHelp("start one with `showrunner up`, or say where it is with --server or --data")
	}
	if res.StatusCode >= 400 {
		defer res.Body.Close()
		return nil, repeatable && res.StatusCode == http.StatusServiceUnavailable, refusal(res)
	}
	if asOf := res.Header.Get(lastknown.AsOfHeader); asOf != "" && c.Stale != nil {
		c.Stale(asOf)
	}
	return res, false, nil
}

func refusal(res *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	var p api.Problem
	if json.Unmarshal(raw, &p) != nil || p.Detail == "" {
		code := problem.Internal
		if res.StatusCode < 500 {
			code = problem.Invalid
		}
		return problem.New(code, "api", "%s: %s", res.Status, strings.TrimSpace(string(raw[:min(len(raw), 500)])))
	}
	if p.Code == "" { // of another server, such as a proxy in front of the control plane
		p.Code = string(problem.Invalid)
	}
	e := problem.New(problem.Code(p.Code), p.Op, "%s", p.Detail)
	e.Help, e.RetryAfter, e.Busy = p.Help, time.Duration(p.RetryAfter)*time.Second, res.StatusCode == http.StatusTooManyRequests
	if len(p.Diagnostics) > 0 {
		return &Refused{Problem: e, Diagnostics: p.Diagnostics}
	}
	return e
}

// Event is one message of the event stream.
type Event struct {
	record.Event
	Reset bool // events were removed before this position: take a fresh picture
}

// Follow calls f for every event after position from, in order, and opens the
// stream again where it broke off. It returns when f answers with an error,
// when ctx ends, or when the control plane has not answered for patience.
func (c *Client) Follow(ctx context.Context, from int64, filter record.Filter, patience time.Duration, f func(Event) error) error {
	lost := time.Time{}
	for {
		err := c.follow(ctx, &from, filter, func(e Event) error {
			lost = time.Time{}
			return f(e)
		})
		var stop stopped
		if errors.As(err, &stop) {
			return stop.err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && problem.CodeOf(err) != problem.Unavailable && problem.CodeOf(err) != problem.Internal {
			return err
		}
		now := time.Now()
		if lost.IsZero() {
			lost = now
		}
		if now.Sub(lost) > patience {
			return problem.Wrap(err, problem.Unavailable, "api", "the control plane has not answered for %s", patience).
				WithHelp("what runs goes on; look again with `showrunner executions list`")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// stopped carries the caller's own wish to end out of the loop.
type stopped struct{ err error }

func (s stopped) Error() string { return fmt.Sprint(s.err) }

func (c *Client) follow(ctx context.Context, from *int64, filter record.Filter, f func(Event) error) error {
	q := url.Values{"from": {strconv.FormatInt(*from, 10)}}
	for k, v := range map[string]string{"application": filter.Application, "pipeline": filter.Pipeline, "execution": filter.Execution} {
		if v != "" {
			q.Set(k, v)
		}
	}
	for _, t := range filter.Types {
		q.Add("type", t)
	}
	stream, err := c.Stream(ctx, "/events/stream?"+q.Encode())
	if err != nil {
		return err
	}
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	lines.Buffer(make([]byte, 64<<10), 16<<20)
	var id, name, data string
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "event: "):
			name = line[7:]
		case strings.HasPrefix(line, "data: "):
			data = line[6:]
		case line == "" && data != "":
			position, err := strconv.ParseInt(id, 10, 64)
			if err != nil {
				return problem.Wrap(err, problem.Internal, "api", "the stream's position %q", id)
			}
			e := Event{Reset: name == "reset"}
			if err := json.Unmarshal([]byte(data), &e.Event); err != nil {
				return problem.Wrap(err, problem.Internal, "api", "an event of the stream")
			}
			e.Position, *from = position, position
			if err := f(e); err != nil {
				return stopped{err}
			}
			data = ""
		}
	}
	return lines.Err()
}
