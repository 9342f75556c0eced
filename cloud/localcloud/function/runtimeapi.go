package function

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// MostPayload is the greatest payload of a request and of its answer, in bytes.
const MostPayload = 6291556

// api is what an environment's process asks: the Lambda Runtime API.
func (e *environment) api() http.Handler {
	const base = "/2018-06-01/runtime/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"invocation/next", e.next)
	mux.HandleFunc("POST "+base+"invocation/{id}/response", func(w http.ResponseWriter, q *http.Request) { e.answered(w, q, false) })
	mux.HandleFunc("POST "+base+"invocation/{id}/error", func(w http.ResponseWriter, q *http.Request) { e.answered(w, q, true) })
	mux.HandleFunc("POST "+base+"init/error", e.initFailed)
	return mux
}

// call tells who waits that the runtime has called.
func (e *environment) call() {
	select {
	case e.calls <- struct{}{}:
	default:
	}
}

// next gives the runtime its next request, once there is one.
func (e *environment) next(w http.ResponseWriter, q *http.Request) {
	e.mu.Lock()
	e.waits = true
	e.mu.Unlock()
	e.call()
	var v *invocation
	select {
	case v = <-e.give:
	case <-q.Context().Done():
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", v.ID)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(v.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", v.ARN)
	h.Set("Lambda-Runtime-Trace-Id", v.Trace)
	if v.ClientContext != "" {
		h.Set("Lambda-Runtime-Client-Context", v.ClientContext)
	}
	body := v.body()
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a process that has ended is noticed by its end
}

// accept answers a report of the runtime.
func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`+"\n")
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorType": kind, "errorMessage": message})
}

// answered takes the answer to a request, or its failure.
func (e *environment) answered(w http.ResponseWriter, q *http.Request, failed bool) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, q.Body, MostPayload))
	var long *http.MaxBytesError
	tooLong := errors.As(err, &long)
	if err != nil && !tooLong {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the body ended too early")
		return
	}
	if kind := q.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" { // of an answer that was streamed
		failed, payload = true, failureOf(kind, q.Trailer.Get("Lambda-Runtime-Function-Error-Body")).payload
	}
	a := &answer{payload, failed}
	if tooLong {
		a = failureOf("Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MostPayload))
	}
	e.mu.Lock()
	known := e.now != nil && e.now.ID == q.PathValue("id") && e.answer == nil
	if known {
		e.answer = a
	}
	e.mu.Unlock()
	switch {
	case !known:
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
	case tooLong:
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", MostPayload))
	default:
		accept(w)
	}
	e.call()
}

// initFailed takes the failure of the start.
func (e *environment) initFailed(w http.ResponseWriter, q *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, q.Body, MostPayload))
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the body cannot be read")
		return
	}
	e.mu.Lock()
	if !e.waits && e.now == nil {
		e.failure = &answer{payload, true}
	}
	e.mu.Unlock()
	accept(w)
	e.call()
}
