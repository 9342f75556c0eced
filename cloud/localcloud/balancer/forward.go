package balancer

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/cloud/localcloud/balancer/upstream"
	"showrunner/cloud/localcloud/internal/replay"
)

// forward answers a request that is one HTTP/1.1 exchange with a target.
func (b *Balancer) forward(w http.ResponseWriter, r *http.Request, c *cluster) {
	request := upstream.Request{Request: r, Trusted: true, Inform: func(status int, header http.Header) { inform(w, status, header) }}
	if upstream.Streamed(r) || r.Body != nil && len(r.Header["Expect"]) > 0 {
		control := http.NewResponseController(w)
		if r.ProtoMajor == 1 {
			_ = control.EnableFullDuplex() // the server's own writer has it
		}
		request.Interrupt = func() { _ = control.SetReadDeadline(time.Unix(1, 0)) } // of a connection that is closed: nothing reads
	}
	var current atomic.Pointer[flight]
	defer context.AfterFunc(r.Context(), func() {
		if f := current.Load(); f != nil {
			f.cancel.Abort(r.Context().Err())
		}
	})()
	res, err := b.carry(r, c.config.Name, c.timing(), nil, new(flight), func(r *http.Request, f *flight, body *replay.Body) (*http.Response, bool, error) {
		request := request
		request.Request, request.Body, request.Cancel, request.Written = r, body, &f.cancel, f.written
		if f.done != nil { // hedged: it is called off by its context
			request.Inform = nil
		} else {
			current.Store(f)
		}
		if err := r.Context().Err(); err != nil {
			f.cancel.Abort(err)
		}
		res, err := f.target.pool.Send(request)
		return res, wasSent(err), err
	})
	if err != nil {
		b.failed(w, r, err)
		return
	}
	defer res.Body.Close()
	if c.config.Sticky {
		stick(res)
	}
	h := w.Header()
	passHeader(h, res.Header)
	upstream.KeepLength(h, res.StatusCode)
	if r.ProtoMajor == 1 && !upstream.Taken(res) {
		// The rest of the body may never be read, and must not be taken for the next request.
		h["Connection"] = []string{"close"}
	}
	announced := announce(h, res.Trailer)
	w.WriteHeader(res.StatusCode)
	if err := pass(w, res); err != nil {
		panic(http.ErrAbortHandler) // the client must see that the answer is not whole
	}
	passTrailer(w, res.Trailer, announced)
}

// inform passes an answer of the kind 1xx on.
func inform(w http.ResponseWriter, status int, header http.Header) {
	h := w.Header()
	passHeader(h, header)
	w.WriteHeader(status)
	clear(h)
}

// passHeader copies what is not about the connection to the target alone.
func passHeader(to, from http.Header) {
	if listed := from["Connection"]; len(listed) > 0 {
		for _, list := range listed {
			for name := range strings.SplitSeq(list, ",") {
				from.Del(strings.TrimSpace(name))
			}
		}
	}
	for name, values := range from {
		if !upstream.HopByHop(name) {
			to[name] = values
		}
	}
	if _, said := to["Content-Type"]; !said {
		to["Content-Type"] = nil // nobody guesses
	}
}

// announce names the trailers that the target announced.
func announce(h, trailer http.Header) int {
	for name := range trailer {
		h.Add("Trailer", name)
	}
	return len(trailer)
}

// passTrailer sends the trailers, those that were not announced too.
func passTrailer(w http.ResponseWriter, trailer http.Header, announced int) {
	h := w.Header()
	if len(trailer) != announced {
		_ = http.NewResponseController(w).Flush() // a short body would get a length otherwise, and no trailers
	}
	for name, values := range trailer {
		if len(trailer) != announced {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

// pieces are what answers are copied in.
var pieces = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// pass copies the answer's body, and sends on at once what has come whenever
// more may take its time. Errors are of either side.
func pass(w http.ResponseWriter, res *http.Response) error {
	if res.Body == http.NoBody {
		return nil
	}
	piece := pieces.Get().(*[32 << 10]byte)
	defer pieces.Put(piece)
	var control *http.ResponseController
	for {
		n, err := res.Body.Read(piece[:])
		if n > 0 {
			if _, err := w.Write(piece[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !upstream.Pending(res) {
			continue
		}
		if control == nil {
			control = http.NewResponseController(w)
		}
		if err := control.Flush(); err != nil {
			return err
		}
	}
}
