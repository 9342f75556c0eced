package fleet

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"showrunner/cloud/localcloud/rpc"
	"showrunner/problem"
)

// maxWait bounds one wait for a change; a Client then waits again.
const maxWait = 30 * time.Second

// FaultsPath is where faults are injected and undone: also while a fault cuts the
// rest of the control interface off.
const FaultsPath = "/fleet/faults"

// Handler serves the fleet's operations to a Client, under /fleet/. It trusts its
// callers: the listener decides who can reach it.
func (f *Fleet) Handler() http.Handler {
	mux := http.NewServeMux()
	region := f.config.Region
	mux.HandleFunc("GET /fleet/region", func(w http.ResponseWriter, r *http.Request) {
		answer(w)(f.Regions(r.Context()))
	})
	mux.HandleFunc("GET /fleet/server-groups", func(w http.ResponseWriter, r *http.Request) {
		answer(w)(f.ServerGroups(r.Context(), region, r.URL.Query().Get("cluster")))
	})
	mux.HandleFunc("POST /fleet/server-groups", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b createBody) (any, error) { return f.CreateServerGroup(r.Context(), region, b.Spec, b.Key) })
	})
	mux.HandleFunc("POST /fleet/server-groups/{name}/spec", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b amendBody) (any, error) {
			return nil, f.Amend(r.Context(), region, r.PathValue("name"), b.Spec, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/server-groups/{name}/capacity", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b resizeBody) (any, error) {
			return nil, f.Resize(r.Context(), region, r.PathValue("name"), b.Capacity, b.Guard, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/clusters/{name}/weights", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b weightsBody) (any, error) {
			return nil, f.SetWeights(r.Context(), region, r.PathValue("name"), b.Weights, b.Guard, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/server-groups/{name}/destroy", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b destroyBody) (any, error) {
			return nil, f.Destroy(r.Context(), region, r.PathValue("name"), b.Guard, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/server-groups/{name}/suspend", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b processesBody) (any, error) {
			return nil, f.Suspend(r.Context(), region, r.PathValue("name"), b.Processes, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/server-groups/{name}/resume", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b processesBody) (any, error) {
			return nil, f.Resume(r.Context(), region, r.PathValue("name"), b.Processes, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/load-balancers", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b balancerBody) (any, error) {
			return nil, f.SetLoadBalancer(r.Context(), region, b.Balancer, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/load-balancers/{name}/remove", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b destroyBody) (any, error) {
			return nil, f.RemoveLoadBalancer(r.Context(), region, r.PathValue("name"), b.Key)
		})
	})
	f.handleInstances(mux)
	mux.HandleFunc("GET /fleet/counts", func(w http.ResponseWriter, r *http.Request) {
		answer(w)(f.Counts(r.Context(), region, r.URL.Query().Get("cluster")))
	})
	mux.HandleFunc("GET /fleet/ended", func(w http.ResponseWriter, r *http.Request) {
		answer(w)(f.EndedInstances(r.Context(), region))
	})
	mux.HandleFunc("GET /fleet/changes", f.serveChanges)
	mux.HandleFunc("GET "+FaultsPath, func(w http.ResponseWriter, r *http.Request) {
		answer(w)(f.ActiveFaults(r.Context(), region))
	})
	mux.HandleFunc("POST "+FaultsPath, func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b faultBody) (any, error) { return nil, f.Inject(r.Context(), region, b.Fault, b.Key) })
	})
	mux.HandleFunc("POST "+FaultsPath+"/{id}/undo", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b destroyBody) (any, error) { return nil, f.Undo(r.Context(), region, r.PathValue("id"), b.Key) })
	})
	mux.HandleFunc("GET /fleet/zones", func(w http.ResponseWriter, r *http.Request) {
		answer(w)(f.Zones(r.Context(), region))
	})
	mux.HandleFunc("POST /fleet/zones/{name}/outage", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b switchBody) (any, error) {
			return nil, f.SetZone(r.Context(), region, r.PathValue("name"), b.On, b.Key)
		})
	})
	return mux
}

func (f *Fleet) handleInstances(mux *http.ServeMux) {
	region := f.config.Region
	mux.HandleFunc("POST /fleet/instances/{id}/terminate", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b terminateBody) (any, error) {
			return nil, f.Terminate(r.Context(), region, r.PathValue("id"), b.Options, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/instances/{id}/standby", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b switchBody) (any, error) {
			return nil, f.SetStandby(r.Context(), region, r.PathValue("id"), b.On, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/instances/{id}/protection", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b switchBody) (any, error) {
			return nil, f.SetProtection(r.Context(), region, r.PathValue("id"), b.On, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/instances/{id}/health", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b switchBody) (any, error) {
			return nil, f.SetHealth(r.Context(), region, r.PathValue("id"), b.On, b.Key)
		})
	})
	mux.HandleFunc("POST /fleet/instances/{id}/hook", func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, func(b hookBody) (any, error) {
			return nil, f.AnswerHook(r.Context(), region, r.PathValue("id"), b.Answer, b.Key)
		})
	})
	mux.HandleFunc("GET /fleet/instances/{id}/log", func(w http.ResponseWriter, r *http.Request) {
		out := &flusher{w: w, control: http.NewResponseController(w)}
		follow := r.URL.Query().Get("follow") == "true"
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		stop := context.AfterFunc(f.ctx, cancel)
		defer stop()
		err := f.InstanceLog(ctx, region, r.PathValue("id"), follow, out)
		if err != nil && !out.written {
			rpc.Fail(w, err)
		}
	})
}

// flusher sends written data at once, since a person may be watching.
type flusher struct {
	w       http.ResponseWriter
	control *http.ResponseController
	written bool
}

func (f *flusher) Write(p []byte) (int, error) {
	if !f.written {
		f.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		f.w.Header().Set("X-Content-Type-Options", "nosniff")
		f.written = true
	}
	n, err := f.w.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

func (f *Fleet) serveChanges(w http.ResponseWriter, r *http.Request) {
	revision, err := strconv.ParseUint(r.URL.Query().Get("revision"), 10, 64)
	if err != nil {
		rpc.Fail(w, problem.Wrap(err, problem.Invalid, "fleet.wait", "the revision"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxWait)
	defer cancel()
	now, err := f.WaitChanges(ctx, f.config.Region, revision)
	if errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil {
		err = nil // nothing has changed
	}
	answer(w)(now, err)
}

// handle decodes a request's body, carries out the request and answers.
func handle[B any](w http.ResponseWriter, r *http.Request, do func(B) (any, error)) {
	var body B
	if err := rpc.Read(w, r, &body); err != nil {
		rpc.Fail(w, err)
		return
	}
	answer(w)(do(body))
}

func answer(w http.ResponseWriter) func(any, error) {
	return func(v any, err error) { rpc.Answer(w, v, err) }
}
