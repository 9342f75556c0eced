package localcloud

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"os"
	"sync"
	"time"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/injection"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/cloud/localcloud/rpc"
	"showrunner/problem"
)

// Info describes a region.
type Info struct {
	driver.Region
	PID         int                     `json:"pid"`
	Started     time.Time               `json:"started"`
	Credentials objectstore.Credentials `json:"credentials"` // of its object storage
	EdgeKey     string                  `json:"edgeKey"`     // authenticates the edge to the region's load balancer, which then trusts the edge's statements about clients
	// EdgeFaults are what the edge does to the requests that it sends to this region;
	// Callers says whether it tells the region from where each one came.
	EdgeFaults []injection.Fault `json:"edgeFaults,omitempty"`
	Callers    bool              `json:"callers,omitempty"`
}

// publishBody is the request for one site deployment.
type publishBody struct {
	driver.PublishRequest
	Key string `json:"key"`
}

// activateBody is the request to return to an earlier deployment, or to undo one.
type activateBody struct {
	Deployment string `json:"deployment"`
	Key        string `json:"key"`
}

// publishLine is one line of the answer to a publish: progress, and finally the
// deployment or the error.
type publishLine struct {
	Done       int                    `json:"done,omitempty"`
	Total      int                    `json:"total,omitempty"`
	Deployment *driver.SiteDeployment `json:"deployment,omitempty"`
	Error      *rpc.Error             `json:"error,omitempty"`
}

// api is the region's control interface.
func (r *region) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/region", answer(func(*http.Request) (any, error) { return r.info(), nil }))
	mux.HandleFunc("GET /v1/sites", answer(func(*http.Request) (any, error) { return r.sites.List(), nil }))
	mux.HandleFunc("GET /v1/sites/{site}/deployments", answer(func(q *http.Request) (any, error) {
		return r.sites.Deployments(q.PathValue("site"))
	}))
	mux.HandleFunc("GET /v1/sites/{site}/changes", answer(func(q *http.Request) (any, error) {
		return r.sites.Changes(q.PathValue("site"))
	}))
	mux.HandleFunc("POST /v1/sites/{site}/prepare", r.publish(r.sites.Prepare))
	mux.HandleFunc("POST /v1/sites/{site}/publish", r.publish(r.sites.Publish))
	mux.HandleFunc("POST /v1/sites/{site}/activate", answer(func(q *http.Request) (any, error) {
		return act(q, r.sites.Activate)
	}))
	mux.HandleFunc("POST /v1/sites/{site}/revert", answer(func(q *http.Request) (any, error) {
		return act(q, r.sites.Revert)
	}))
	mux.Handle("GET "+metricsPath, r.metrics())
	mux.Handle("/fleet/", r.fleet.Handler())
	mux.Handle("/functions/", r.functions.Handler())
	return mux
}

func (r *region) info() Info {
	faults, callers := r.fleet.EdgeFaults()
	return Info{
		Region: driver.Region{
			Name: r.config.Name, Zones: r.config.Zones, Healthy: true, Since: r.started,
			Address: r.front.Addr().String(), S3: r.objects.Endpoint(),
		},
		PID: os.Getpid(), Started: r.started, Credentials: r.objects.Credentials(), EdgeKey: r.edgeKey, EdgeFaults: faults, Callers: callers,
	}
}

func act(q *http.Request, do func(ctx context.Context, site, deployment, key string) (driver.SiteDeployment, error)) (any, error) {
	var body activateBody
	if err := rpc.Read(nil, q, &body); err != nil {
		return nil, err
	}
	return do(q.Context(), q.PathValue("site"), body.Deployment, body.Key)
}

// progressEvery is how often a publish reports its progress.
const progressEvery = 100 * time.Millisecond

type publishFunc func(ctx context.Context, req driver.PublishRequest, key string, progress func(done, total int)) (driver.SiteDeployment, error)

// publish streams its answer: progress lines, and the result at the end.
func (r *region) publish(do publishFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) { r.streamPublish(w, q, do) }
}

func (r *region) streamPublish(w http.ResponseWriter, q *http.Request, do publishFunc) {
	var body publishBody
	err := rpc.Read(nil, q, &body)
	if err == nil && body.Config.Site != q.PathValue("site") {
		err = problem.New(problem.Invalid, "region.publish", "the path names site %q, the body %q", q.PathValue("site"), body.Config.Site)
	}
	if err != nil {
		rpc.Fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	var mu sync.Mutex
	var last time.Time
	write := func(line publishLine) {
		// A client that has disconnected ends the request's context, which ends
		// the publish.
		if out.Encode(line) == nil {
			flush.Flush()
		}
	}
	d, err := do(q.Context(), body.PublishRequest, body.Key, func(done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if now := r.config.Now(); done == total || now.Sub(last) >= progressEvery {
			last = now
			write(publishLine{Done: done, Total: total})
		}
	})
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		write(publishLine{Error: rpc.NewError(err)})
		return
	}
	write(publishLine{Deployment: &d})
}

// answer makes a handler from a function that returns the answer.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		rpc.Answer(w, v, err)
	}
}

// requireToken protects the interface where other machines can reach it.
func requireToken(token string, next http.Handler) http.Handler {
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			_ = json.NewEncoder(w).Encode(&rpc.Error{Code: problem.Denied, Message: "the control interface of this region requires its token"}) // the client may have disconnected
			return
		}
		next.ServeHTTP(w, r)
	})
}
