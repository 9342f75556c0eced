package server

import (
	"context"
	"io"
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
	if err := stopServing(s, func() {}, 0, 10*time.Millisecond, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	<-left
}

// When a control plane stops, a request under way is answered, and a stream, which
// ends with its context alone, does not hold the stop up.
func TestRequestsFinishAndStreamsEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived, stopping := make(chan string, 2), make(chan struct{})
	requests, endRequests := context.WithCancel(t.Context())
	s := &http.Server{BaseContext: func(net.Listener) context.Context { return requests }, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		if r.URL.Path == "/stream" {
			<-r.Context().Done()
			return
		}
		<-stopping
		if r.Context().Err() != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.WriteString(w, "answered")
	})}
	s.RegisterOnShutdown(func() { close(stopping) })
	go s.Serve(l)
	page := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + l.Addr().String() + "/page")
		if err != nil {
			page <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		page <- res.Status + " " + string(body)
	}()
	go http.Get("http://" + l.Addr().String() + "/stream")
	<-arrived
	<-arrived
	began := time.Now()
	if err := stopServing(s, endRequests, time.Second, time.Minute, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	if got := <-page; got != "200 OK answered" {
		t.Errorf("the page was answered with %s", got)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the stop took %s", took)
	}
}
