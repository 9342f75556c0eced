package source

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"showrunner/canary"
	"showrunner/problem"
)

// mostBytes bounds an answer, and mostTime how long it may take.
const (
	mostBytes = 16 << 20
	mostTime  = 10 * time.Second
)

// Prometheus is a server that answers Prometheus's query API.
type Prometheus struct {
	URL    string // without /api/v1
	Token  string // sent as Bearer; empty: none
	Client *http.Client
}

// NewClient is a client for sources. It follows no redirect: the token would reach a host
// that it was not meant for.
func NewClient() *http.Client {
	return &http.Client{Timeout: mostTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// matrix is the answer to a range query.
type matrix struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
	Data      struct {
		Type   string `json:"resultType"`
		Result []struct {
			Values [][2]any `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

// Range implements canary.Source.
func (p *Prometheus) Range(ctx context.Context, query string, start, end time.Time, step time.Duration) ([][]canary.Point, error) {
	const op = "metrics.query"
	seconds := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	form := url.Values{"query": {query}, "start": {seconds(start)}, "end": {seconds(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(p.URL, "/")+"/api/v1/query_range", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, op, "the address of the metrics' source")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "showrunner")
	if p.Token != "" {
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(p.Token))
	}
	res, err := p.Client.Do(r)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "the metrics' source does not answer")
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostBytes+1))
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "reading the metrics' source")
	}
	if len(body) > mostBytes {
		return nil, problem.New(problem.Invalid, op, "the answer of the metrics' source has more than %d bytes", mostBytes)
	}
	var answer matrix
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, problem.New(problem.Unavailable, op, "the metrics' source answered %s, and not what Prometheus answers", res.Status)
	}
	if answer.Status != "success" || res.StatusCode != http.StatusOK {
		code := problem.Unavailable
		if answer.ErrorType == "bad_data" {
			code = problem.Invalid
		}
		return nil, problem.New(code, op, "the metrics' source answered %s: %.300s", res.Status, answer.Error)
	}
	if answer.Data.Type != "matrix" {
		return nil, problem.New(problem.Invalid, op, "the metrics' source answered a %.20q, not a matrix", answer.Data.Type)
	}
	return answer.points()
}

func (m matrix) points() ([][]canary.Point, error) {
	series := make([][]canary.Point, 0, len(m.Data.Result))
	for _, one := range m.Data.Result {
		points := make([]canary.Point, 0, len(one.Values))
		for _, pair := range one.Values {
			at, isNumber := pair[0].(float64)
			text, isText := pair[1].(string)
			v, err := strconv.ParseFloat(text, 64)
			if !isNumber || !isText || err != nil {
				return nil, problem.New(problem.Unavailable, "metrics.query", "the metrics' source answered %v as a point", pair)
			}
			points = append(points, canary.Point{At: time.UnixMilli(int64(at*1000 + 0.5)), Value: v})
		}
		series = append(series, points)
	}
	return series, nil
}
