package server

import (
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// A request that does not end does not make the stop of a control plane a failure.
func TestARequestThatDoesNotEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived, left := make(chan struct{}), make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done() // until it is cut off
		close(left)
	})}
	go s.Serve(l)
	go http.Get("http://" + l.Addr().String())
	<-arrived
	if err := stopServing(s, 10*time.Millisecond, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	<-left
}
