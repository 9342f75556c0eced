package proxytest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// underscores sends fields whose names some programs take for others: those that only
// a proxy may write do not arrive, the others do.
func underscores(t *testing.T, open Open) {
	address := open(t, NewInstance(t).Address)
	mistaken := []string{"X_Forwarded_For", "x-forwarded_for", "X_Forwarded-Proto", "X_FORWARDED_HOST", "X_Forwarded_Port", "Transfer_Encoding", "Content_Length",
		"X_Showrunner_Edge_Key", "Proxy_Authorization"}
	passed := []string{"X_Api_Key", "User_Id", "_", "Content_Type"}
	over := func(t *testing.T, protocols *http.Protocols) {
		transport := &http.Transport{Protocols: protocols}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/?mode=fields", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = Host
		for _, name := range append(mistaken, passed...) {
			r.Header[name] = []string{"said-by-" + name}
		}
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", res.Status, err)
		}
		for _, name := range mistaken {
			if strings.Contains(string(text), "said-by-"+name+"\r\n") {
				t.Errorf("%s arrives:\n%s", name, text)
			}
		}
		for _, name := range passed {
			if !strings.Contains(string(text), fmt.Sprintf("said-by-%s\r\n", name)) {
				t.Errorf("%s does not arrive:\n%s", name, text)
			}
		}
	}
	one, two := new(http.Protocols), new(http.Protocols)
	one.SetHTTP1(true)
	two.SetUnencryptedHTTP2(true)
	t.Run("HTTP1", func(t *testing.T) { over(t, one) })
	t.Run("HTTP2", func(t *testing.T) { over(t, two) })
}
