package lastknown

import (
	"net/http"
	"strconv"
	"time"
)

// AsOfHeader says of when an answer is that the memory gave.
const AsOfHeader = "Showrunner-As-Of"

// Mark tells of answers from the memory in headers: of when they are, their age
// in seconds, and the warning that HTTP has for it.
func Mark(next http.Handler, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(Track(r.Context()))
		next.ServeHTTP(&marker{ResponseWriter: w, request: r, now: now}, r)
	})
}

type marker struct {
	http.ResponseWriter
	request *http.Request
	now     func() time.Time
	began   bool
}

// Unwrap lets http.ResponseController find what can flush.
func (m *marker) Unwrap() http.ResponseWriter { return m.ResponseWriter }

func (m *marker) mark(status int) {
	if m.began {
		return
	}
	m.began = true
	if at, old := AsOf(m.request.Context()); old && status < http.StatusBadRequest {
		h := m.Header()
		h.Set(AsOfHeader, at.UTC().Format(time.RFC3339))
		h.Set("Age", strconv.Itoa(int(m.now().Sub(at).Seconds())))
		h.Set("Warning", `110 - "Response is Stale"`)
	}
}

// WriteHeader implements http.ResponseWriter.
func (m *marker) WriteHeader(status int) {
	m.mark(status)
	m.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (m *marker) Write(b []byte) (int, error) {
	m.mark(http.StatusOK)
	return m.ResponseWriter.Write(b)
}
