// Package awstest is a client of the endpoint for tests of its services: requests
// are signed and go over HTTP, answers are what a client of AWS sees.
package awstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"showrunner/awsapi"
	"showrunner/awsapi/wire"
)

// Region is what requests are signed for.
const Region = "us-west-2"

// Client speaks to an endpoint that serves until the test ends.
type Client struct {
	t      *testing.T
	url    string
	server *awsapi.Server
}

// New serves the services and returns a client.
func New(t *testing.T, services ...wire.Service) *Client {
	t.Helper()
	return Opened(t, nil, services...)
}

// Opened is New for an endpoint that answers some requests without a signature.
func Opened(t *testing.T, open func(*http.Request) http.Handler, services ...wire.Service) *Client {
	t.Helper()
	keys, err := awsapi.NewKeys("AKIATEST", "secret")
	if err != nil {
		t.Fatal(err)
	}
	server, err := awsapi.New(awsapi.Config{Keys: keys, Regions: []string{Region}, Services: services, Open: open, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	return &Client{t: t, url: s.URL, server: server}
}

// request is a request of a JSON service with its body and the name that it is signed
// with. It is not signed yet.
func (c *Client) request(service, operation string, in map[string]any) (r *http.Request, body []byte, name string) {
	c.t.Helper()
	m, err := wire.Load(service)
	if err != nil {
		c.t.Fatal(err)
	}
	if body, err = json.Marshal(in); err != nil {
		c.t.Fatal(err)
	}
	if r, err = http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+"/", bytes.NewReader(body)); err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-"+m.Metadata.JSONVersion)
	r.Header.Set("X-Amz-Target", m.Metadata.TargetPrefix+"."+operation)
	return r, body, m.SigningName()
}

// sign signs a request with the client's key.
func (c *Client) sign(r *http.Request, body []byte, name string) {
	c.t.Helper()
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(c.t.Context(), aws.Credentials{AccessKeyID: "AKIATEST", SecretAccessKey: "secret"}, r, hex.EncodeToString(sum[:]), name, Region, time.Now()); err != nil {
		c.t.Fatal(err)
	}
}

// Try calls an operation of a JSON service and returns its answer, or the code and
// message of its error.
func (c *Client) Try(service, operation string, in map[string]any) (answer map[string]any, code, message string) {
	c.t.Helper()
	r, body, name := c.request(service, operation, in)
	c.sign(r, body, name)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			c.t.Fatalf("%s answered %s", operation, text)
		}
	}
	if res.StatusCode < 300 {
		return answer, "", ""
	}
	code, _ = answer["__type"].(string)
	for _, name := range []string{"message", "Message"} {
		if m, ok := answer[name].(string); ok {
			message = m
		}
	}
	return nil, code, message
}

// Ask calls an operation of a query or ec2 service with the members of a form, and
// returns its answer as text, or the code and message of its error.
func (c *Client) Ask(service, operation string, form ...string) (body, code, message string) {
	c.t.Helper()
	m, err := wire.Load(service)
	if err != nil {
		c.t.Fatal(err)
	}
	values := url.Values{"Action": {operation}, "Version": {m.Metadata.APIVersion}}
	for i := 0; i+1 < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	text := values.Encode()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+"/", strings.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.sign(r, []byte(text), m.SigningName())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if res.StatusCode < 300 {
		return string(raw), "", ""
	}
	return "", Between(string(raw), "<Code>", "</Code>"), html.UnescapeString(Between(string(raw), "<Message>", "</Message>"))
}

// Inside calls an operation as another service does, and returns the members that a
// client would read, or the error's code and message under Error.
func (c *Client) Inside(service, operation string, in map[string]any) map[string]any {
	c.t.Helper()
	out, err := c.server.Call(c.t.Context(), wire.Call{Region: Region, Caller: "arn:aws:iam::" + awsapi.Account + ":root"}, service, operation, in)
	var e *wire.Error
	if errors.As(err, &e) {
		return map[string]any{"Error": map[string]any{"Code": e.Code, "Message": e.Message}}
	}
	if err != nil {
		c.t.Fatalf("%s.%s(%v): %v", service, operation, in, err)
	}
	return out
}

// Get is Ask for an operation that has to succeed.
func (c *Client) Get(service, operation string, form ...string) string {
	c.t.Helper()
	body, code, message := c.Ask(service, operation, form...)
	if code != "" {
		c.t.Fatalf("%s.%s(%v): %s: %s", service, operation, form, code, message)
	}
	return body
}

// Between is the text between two others, empty when they are not there.
func Between(text, from, to string) string {
	_, after, found := strings.Cut(text, from)
	if !found {
		return ""
	}
	out, _, _ := strings.Cut(after, to)
	return out
}

// All are the texts between two others, each time they come.
func All(text, from, to string) []string {
	var out []string
	for {
		_, after, found := strings.Cut(text, from)
		if !found {
			return out
		}
		var one string
		one, text, _ = strings.Cut(after, to)
		out = append(out, one)
	}
}

// Call is Try for an operation that has to succeed.
func (c *Client) Call(service, operation string, in map[string]any) map[string]any {
	c.t.Helper()
	answer, code, message := c.Try(service, operation, in)
	if code != "" {
		c.t.Fatalf("%s.%s(%v): %s: %s", service, operation, in, code, message)
	}
	return answer
}

// Refused checks that an operation is refused with a code and a message.
func (c *Client) Refused(service, operation string, in map[string]any, code, message string) {
	c.t.Helper()
	answer, got, text := c.Try(service, operation, in)
	if got != code || text != message {
		c.t.Errorf("%s.%s(%v): %v %s: %s\nwant %s: %s", service, operation, in, answer, got, text, code, message)
	}
}

// Answer is what a request to a service of REST was answered with.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Object is the body as members.
func (a Answer) Object() map[string]any {
	var out map[string]any
	_ = json.Unmarshal([]byte(a.Body), &out) // what is no object has no members
	return out
}

// REST sends a signed request to a service that is found by its path; header is names
// and values, in turn.
func (c *Client) REST(service, method, path, body string, header ...string) Answer {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	c.sign(r, []byte(body), service)
	return c.Do(r)
}

// Do sends a request as it is; its host may be any that the endpoint answers for.
func (c *Client) Do(r *http.Request) Answer {
	c.t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return Answer{res.StatusCode, res.Header, string(text)}
}

// URL is where the endpoint is.
func (c *Client) URL() string { return c.url }

// Server is the endpoint itself.
func (c *Client) Server() *awsapi.Server { return c.server }
