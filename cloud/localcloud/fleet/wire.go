package fleet

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// What travels between Client and Handler. Durations are nanoseconds, errors
// problems with their code.
type (
	createBody struct {
		Key  string                 `json:"key"`
		Spec driver.ServerGroupSpec `json:"spec"`
	}
	resizeBody struct {
		Key      string            `json:"key"`
		Capacity pipeline.Capacity `json:"capacity"`
		Guard    driver.Guard      `json:"guard"`
	}
	weightsBody struct {
		Key     string             `json:"key"`
		Weights map[string]float64 `json:"weights"`
		Guard   driver.Guard       `json:"guard"`
	}
	destroyBody struct {
		Key   string       `json:"key"`
		Guard driver.Guard `json:"guard"`
	}
	terminateBody struct {
		Key     string                  `json:"key"`
		Options driver.TerminateOptions `json:"options"`
	}
	hookBody struct {
		Key    string            `json:"key"`
		Answer driver.HookAnswer `json:"answer"`
	}
	switchBody struct { // standby, protection, health, zone outage
		Key string `json:"key"`
		On  bool   `json:"on"`
	}
	processesBody struct {
		Key       string   `json:"key"`
		Processes []string `json:"processes"`
	}
	errorBody struct {
		Code       problem.Code  `json:"code"`
		Op         string        `json:"op,omitempty"`
		Message    string        `json:"message"`
		Help       string        `json:"help,omitempty"`
		RetryAfter time.Duration `json:"retryAfter,omitempty"`
	}
)

// bodyLimit bounds a request: a spec with a large environment is far below it.
const bodyLimit = 4 << 20

func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return problem.Wrap(err, problem.Invalid, "fleet.request", "the request's body")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller is gone: nobody to tell
}

func writeError(w http.ResponseWriter, err error) {
	body := errorBody{Code: problem.CodeOf(err), Message: err.Error(), Help: problem.HelpOf(err)}
	if p, ok := problem.Of(err); ok {
		body.RetryAfter = p.RetryAfter
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(body.Code))
	_ = json.NewEncoder(w).Encode(body)
}

func readError(resp *http.Response) error {
	var body errorBody
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&body); err != nil || body.Code == "" {
		code := problem.Internal
		if resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusServiceUnavailable {
			code = problem.Unavailable
		}
		return problem.New(code, "fleet.call", "the region answered %s", resp.Status)
	}
	return &problem.Error{Code: body.Code, Message: body.Message, Help: body.Help, RetryAfter: body.RetryAfter}
}

func statusOf(code problem.Code) int {
	switch code {
	case problem.Invalid:
		return http.StatusBadRequest
	case problem.NotFound:
		return http.StatusNotFound
	case problem.Conflict:
		return http.StatusConflict
	case problem.Denied:
		return http.StatusForbidden
	case problem.Precondition:
		return http.StatusPreconditionFailed
	case problem.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
