package fleet

import "net/http"

// Client speaks to one region's Fleet through its Handler.
type Client struct {
	region string
	http   *http.Client
	base   string
}

// NewClient returns a client for a region whose Handler is reached through
// client at base, such as "http://region".
func NewClient(region string, client *http.Client, base string) *Client {
	return &Client{region: region, http: client, base: base}
}
