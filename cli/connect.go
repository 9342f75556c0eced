package cli

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"showrunner/api/client"
)

const defaultServer = "http://127.0.0.1:7070"

// AddressFile is where a control plane writes its own address, in the data folder.
const addressFile = "control.addr"

// connect makes the client for the control plane that the flags mean.
func (a *app) connect() *client.Client {
	server := a.server
	if server == "" {
		if raw, err := os.ReadFile(filepath.Join(a.data, addressFile)); err == nil {
			server = "http://" + strings.TrimSpace(string(raw))
		}
	}
	if server == "" {
		server = defaultServer
	}
	several := strings.Split(server, ",")
	for i, one := range several {
		if one = strings.TrimSpace(one); !strings.Contains(one, "://") {
			one = "http://" + one
		}
		several[i] = one
	}
	server = strings.Join(several, ",")
	token := a.token
	if token == "" {
		if raw, err := os.ReadFile(filepath.Join(a.data, "token")); err == nil {
			token = strings.TrimSpace(string(raw))
		}
	}
	c := client.New(server, token)
	c.Stale = func(asOf string) { a.say("the database of the control plane is unreachable: this is as of %s", asOf) }
	return c
}

// seg is one segment of an API path.
func seg(s string) string { return url.PathEscape(s) }

// query makes "?k=v&…" from pairs, leaving out empty values.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Add(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}
