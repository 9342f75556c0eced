package balancer_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/cloud/localcloud/balancer"
)

// Clients that are silent in the middle of their requests hold no place that
// others wait for.
func TestSilentClientsHoldNoPlace(t *testing.T) {
	for name, rest := range map[string]string{
		"small":   "Content-Length: 100\r\n\r\nx",
		"large":   "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 70_000),
		"chunks":  "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
		"waiting": "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, address := start(t, balancer.Config{})
			cluster := shop(handler(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				io.WriteString(w, "served")
			}))
			cluster.MaxInFlight = 2
			b.SetCluster(cluster)
			for range 2 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\n"+rest)
			}
			for range 4 { // longer than anybody waits for a place would be 503
				if status, body, _ := ask(t, http.MethodGet, address, ""); status != http.StatusOK || body != "served" {
					t.Errorf("%d %s", status, body)
				}
			}
		})
	}
}

// Neither do clients that send the rest of their requests byte by byte, whatever they
// have sent before, in HTTP/1 and HTTP/2.
func TestTrickledBodiesHoldNoPlace(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, address string) io.Writer{
		"a large body": func(t *testing.T, address string) io.Writer {
			return begun(t, address, "Content-Length: 1000000\r\n\r\n"+strings.Repeat("x", 70_000))
		},
		"a length that is short of small": func(t *testing.T, address string) io.Writer {
			return begun(t, address, "Content-Length: 66000\r\n\r\n"+strings.Repeat("x", 65_000))
		},
		"chunks": func(t *testing.T, address string) io.Writer {
			return &chunks{begun(t, address, "Transfer-Encoding: chunked\r\n\r\n")}
		},
		"many chunks": func(t *testing.T, address string) io.Writer {
			return &chunks{begun(t, address, "Transfer-Encoding: chunked\r\n\r\n11170\r\n"+strings.Repeat("x", 70_000)+"\r\n")}
		},
		"an expectation": func(t *testing.T, address string) io.Writer {
			return begun(t, address, "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n")
		},
		"HTTP/2": func(t *testing.T, address string) io.Writer { return stream(t, address, "") },
		"HTTP/2, a large body": func(t *testing.T, address string) io.Writer {
			return stream(t, address, strings.Repeat("x", 70_000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, address := start(t, balancer.Config{})
			cluster := shop(handler(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				io.WriteString(w, "served")
			}))
			cluster.MaxInFlight = 2
			b.SetCluster(cluster)
			ctx, stop := context.WithCancel(t.Context())
			var trickling sync.WaitGroup
			defer trickling.Wait()
			defer stop()
			for range 4 {
				to := begin(t, address)
				trickling.Go(func() {
					tick := time.NewTicker(100 * time.Millisecond)
					defer tick.Stop()
					for {
						select {
						case <-tick.C:
							if _, err := to.Write([]byte("x")); err != nil {
								return // it was given up
							}
						case <-ctx.Done():
							return
						}
					}
				})
			}
			for range 4 {
				if status, body, _ := ask(t, http.MethodGet, address, ""); status != http.StatusOK || body != "served" {
					t.Errorf("%d %s", status, body)
				}
			}
		})
	}
}

// begun is a connection on which a request has begun.
func begun(t *testing.T, address, rest string) io.Writer {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\n"+rest); err != nil {
		t.Fatal(err)
	}
	return c
}

// chunks writes what it is given in chunks.
type chunks struct{ io.Writer }

func (c *chunks) Write(p []byte) (int, error) {
	if _, err := fmt.Fprintf(c.Writer, "%x\r\n%s\r\n", len(p), p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// stream is the body of a request of HTTP/2, which begins with some of it.
func stream(t *testing.T, address, first string) io.Writer {
	transport := &http.Transport{Protocols: cleartext()}
	t.Cleanup(transport.CloseIdleConnections)
	body, to := io.Pipe()
	t.Cleanup(func() { to.Close() })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "shop.localhost"
	go func() {
		res, err := transport.RoundTrip(r)
		if err == nil {
			res.Body.Close()
		}
		body.CloseWithError(io.ErrClosedPipe) // it was given up
	}()
	if _, err := io.WriteString(to, first); err != nil {
		t.Fatal(err)
	}
	return to
}

// Neither do clients that do not read their answers.
func TestClientsThatDoNotReadHoldNoPlace(t *testing.T) {
	b, address := start(t, balancer.Config{})
	large := make([]byte, 64<<20) // far beyond what the system keeps for who does not read
	cluster := shop(handler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			w.Write(large)
			return
		}
		io.WriteString(w, "served")
	}))
	cluster.MaxInFlight = 2
	b.SetCluster(cluster)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /large HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	transport := &http.Transport{Protocols: cleartext()}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/large", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "shop.localhost"
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for range 4 {
		if status, body, _ := ask(t, http.MethodGet, address, ""); status != http.StatusOK || body != "served" {
			t.Errorf("%d %s", status, body)
		}
	}
}
