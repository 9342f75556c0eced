// Package httpcheck makes an HTTP request, and says whether its answer is as expected.
// It owns which answers are, and in what words another one is described. It refuses to
// know why somebody asks.
package httpcheck

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Request is a request, and the answers that are as expected.
type Request struct {
	Method string // default GET
	URL    string
	Header map[string]string // Host sets the host that is asked for
	Body   string
	Status []int         // that are as expected; default 200 to 399
	Within time.Duration // the time to the answer's head
}

// Ask makes a request and says why its answer is not as expected, "" when it is. A nil
// client is http.DefaultClient.
func Ask(ctx context.Context, client *http.Client, q Request) string {
	ctx, cancel := context.WithTimeout(ctx, q.Within)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, cmp.Or(q.Method, http.MethodGet), q.URL, strings.NewReader(q.Body))
	if err != nil {
		return err.Error()
	}
	for name, value := range q.Header {
		r.Header.Set(name, value)
		if strings.EqualFold(name, "Host") {
			r.Host = value
		}
	}
	res, err := cmp.Or(client, http.DefaultClient).Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Sprintf("no answer within %s", q.Within)
		}
		return err.Error()
	}
	res.Body.Close()
	if ok := res.StatusCode >= 200 && res.StatusCode < 400; len(q.Status) == 0 && ok || slices.Contains(q.Status, res.StatusCode) {
		return ""
	}
	return "it answers " + res.Status
}
