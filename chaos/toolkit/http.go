package toolkit

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"showrunner/chaos/document"
)

// maxBody is how much of an answer is kept.
const maxBody = 8 << 20

type httpCall struct {
	url, method    string
	headers        map[string]any
	arguments      any
	timeout        any
	expectedStatus any
	insecure       bool
}

func (r *reader) httpProvider(m map[string]any, place string) provider {
	p := httpCall{url: r.text(m, place, "url"), method: "GET", headers: r.object(m, place, "headers"),
		arguments: m["arguments"], timeout: m["timeout"], expectedStatus: m["expected_status"]}
	if method, _ := m["method"].(string); method != "" {
		p.method = strings.ToUpper(method)
	}
	if verify, given := m["verify_tls"].(bool); given {
		p.insecure = !verify
	}
	if !variable.MatchString(p.url) && p.url != "" {
		if u, err := url.Parse(p.url); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			r.problem(document.Member(place, "url"), "such as http://127.0.0.1:8080/healthz", "%q is no address", p.url)
		}
	}
	if pair, ok := p.timeout.([]any); ok { // to connect, and to read
		if len(pair) != 2 {
			r.problem(document.Member(place, "timeout"), "", "timeout is a number of seconds, or two: to connect, and to read")
			return p
		}
		connect, _ := number(pair[0])
		read, _ := number(pair[1])
		p.timeout = connect + read
	}
	return p
}

func (p httpCall) call(ctx context.Context, run *runner, extra map[string]any) (any, error) {
	request, err := p.request(run.values, extra)
	if err != nil {
		return nil, err
	}
	ctx, stop := within(ctx, run.values.substitute(p.timeout))
	defer stop()
	client := run.client
	if p.insecure {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // the file asks for it
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	answer, err := client.Do(request.WithContext(ctx))
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, errors.New("no answer within the time that the activity gives")
		}
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	headers := map[string]any{}
	for k := range answer.Header {
		headers[k] = strings.Join(answer.Header.Values(k), ", ")
	}
	out := map[string]any{"status": answer.StatusCode, "headers": headers, "body": string(body)}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		var v any
		if json.Unmarshal(body, &v) == nil {
			out["body"] = whole(v)
		}
	}
	return out, expected(run.values.substitute(p.expectedStatus), answer.StatusCode)
}

// expected holds a status against the one, or the several, that the file expects.
func expected(want any, status int) error {
	list, ok := want.([]any)
	if want == nil {
		return nil
	} else if !ok {
		list = []any{want}
	}
	for _, w := range list {
		if same(w, status) {
			return nil
		}
	}
	return fmt.Errorf("the status is %d, not %s", status, short(want))
}

// request is the request: arguments are the query of a GET, and a form, or JSON by its
// content type, with every other method.
func (p httpCall) request(v values, extra map[string]any) (*http.Request, error) {
	u, err := url.Parse(v.text(p.url))
	if err != nil {
		return nil, err
	}
	headers := http.Header{}
	for k, x := range p.headers {
		headers.Set(k, v.text(plain(x)))
	}
	arguments := merged(v.substitute(p.arguments), extra)
	var body io.Reader
	switch m, isObject := arguments.(map[string]any); {
	case arguments == nil:
	case p.method == http.MethodGet && isObject:
		q := u.Query()
		for k, vs := range form(m) {
			q[k] = vs
		}
		u.RawQuery = q.Encode()
	case strings.HasPrefix(headers.Get("Content-Type"), "application/json"):
		text, ok := arguments.(string)
		if !ok {
			encoded, err := json.Marshal(arguments)
			if err != nil {
				return nil, err
			}
			text = string(encoded)
		}
		body = strings.NewReader(text)
	case isObject:
		body = strings.NewReader(form(m).Encode())
		if headers.Get("Content-Type") == "" {
			headers.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	default:
		body = bytes.NewReader([]byte(plain(arguments)))
	}
	request, err := http.NewRequest(p.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if host := headers.Get("Host"); host != "" {
		request.Host = host
	}
	request.Header = headers
	return request, nil
}

// form is an object as fields; a list repeats its field.
func form(m map[string]any) url.Values {
	q := url.Values{}
	for k, x := range m {
		if list, ok := x.([]any); ok {
			for _, one := range list {
				q.Add(k, plain(one))
			}
			continue
		}
		if x != nil {
			q.Set(k, plain(x))
		}
	}
	return q
}

func (httpCall) configured(output any) any { return targeted(output, "body") }
