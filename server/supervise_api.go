package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"showrunner/internal/sockpath"
	"showrunner/problem"
)

// upSocket is the supervisor's socket, for package sockpath.
const upSocket = "up"

// stopBody asks for a process to be taken down on purpose.
type stopBody struct {
	Reason string `json:"reason"`
	Kill   bool   `json:"kill"` // without asking it first: an outage
	Outage        // empty: until it is brought up
}

// Outage is a fault by which a process is down for a time.
type Outage struct {
	Fault string    `json:"fault,omitempty"` // names it
	Until time.Time `json:"until,omitzero"`  // the supervisor ends it then
}

// listen serves the supervisor's own interface: who runs, and taking regions
// down and up again on purpose.
func (s *supervisor) listen() (closeAPI func(), err error) {
	l, err := sockpath.Listen(s.options.Data, upSocket)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/processes", func(w http.ResponseWriter, _ *http.Request) {
		list := make([]Event, 0, len(s.children))
		for _, c := range s.children {
			list = append(list, c.event())
		}
		json.NewEncoder(w).Encode(list) // the client may have gone away
	})
	mux.HandleFunc("POST /v1/processes/{name}/stop", s.act(func(c *child, b stopBody) error { return c.take(b) }))
	mux.HandleFunc("POST /v1/processes/{name}/start", s.act(func(c *child, b stopBody) error { return c.bring(b.Fault) }))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l) // it ends with Close
	return func() { server.Close() }, nil
}

func (s *supervisor) act(do func(*child, stopBody) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body stopBody
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&body)
		if err == nil {
			var c *child
			if c, err = s.child(r.PathValue("name")); err == nil {
				err = do(c, body)
			}
		}
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(http.StatusConflict)
		json.NewEncoder(w).Encode(refusal{problem.CodeOf(err), err.Error()}) // as above
	}
}

type refusal struct {
	Code    problem.Code `json:"code"`
	Message string       `json:"message"`
}

// Supervisor is a client of the supervisor of a data folder.
type Supervisor struct{ http *http.Client }

// NewSupervisor makes a client. It does not connect: there may be no supervisor.
func NewSupervisor(data string) (*Supervisor, error) {
	path, err := sockpath.Path(data, upSocket)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "supervisor", "data folder %s", data)
	}
	return &Supervisor{http: sockpath.Client(path)}, nil
}

// Processes lists what the supervisor runs. Errors: unavailable without one.
func (s *Supervisor) Processes(ctx context.Context) ([]Event, error) {
	var list []Event
	return list, s.call(ctx, http.MethodGet, "/v1/processes", nil, &list)
}

// TakeDown takes a region down on purpose until BringUp, also across restarts
// of the supervisor; with kill as an outage does, without asking. It returns
// when everything in the region has ended.
func (s *Supervisor) TakeDown(ctx context.Context, region, reason string, kill bool) error {
	return s.call(ctx, http.MethodPost, "/v1/processes/region-"+region+"/stop", stopBody{Reason: reason, Kill: kill}, nil)
}

// BringUp ends a TakeDown. It does not wait for the region to serve.
func (s *Supervisor) BringUp(ctx context.Context, region string) error {
	return s.call(ctx, http.MethodPost, "/v1/processes/region-"+region+"/start", stopBody{}, nil)
}

// BeginOutage implements localcloud.Outages.
func (s *Supervisor) BeginOutage(ctx context.Context, region, fault string, until time.Time) error {
	return s.call(ctx, http.MethodPost, "/v1/processes/region-"+region+"/stop", stopBody{Reason: "fault " + fault, Kill: true, Outage: Outage{fault, until}}, nil)
}

// EndOutage implements localcloud.Outages.
func (s *Supervisor) EndOutage(ctx context.Context, region, fault string) error {
	return s.call(ctx, http.MethodPost, "/v1/processes/region-"+region+"/start", stopBody{Outage: Outage{Fault: fault}}, nil)
}

// Outage implements localcloud.Outages.
func (s *Supervisor) Outage(ctx context.Context, region string) (fault string, began, until time.Time, err error) {
	list, err := s.Processes(ctx)
	for _, e := range list {
		if e.Process == "region-"+region && e.Outage != nil {
			return e.Outage.Fault, e.Since, e.Outage.Until, nil
		}
	}
	return "", began, until, err
}

func (s *Supervisor) call(ctx context.Context, method, path string, body, to any) error {
	const op = "supervisor"
	data, err := json.Marshal(body)
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the request")
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://up"+path, bytes.NewReader(data))
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the request")
	}
	resp, err := s.http.Do(r)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "no supervisor answers").WithHelp("regions are supervised by: showrunner up")
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		var e refusal
		if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&e); err != nil {
			return problem.New(problem.Internal, op, "the supervisor answered %s", resp.Status)
		}
		return problem.New(e.Code, op, "%s", e.Message)
	}
	if to == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(to); err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "reading the answer")
	}
	return nil
}
