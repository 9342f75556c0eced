package balancer_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

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
