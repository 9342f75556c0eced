package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"showrunner/cloud/localcloud/internal/process"
	"showrunner/pipeline"
)

// probeBody is how many bytes of an answer are kept as evidence.
const probeBody = 256

// probe is one instance's health check, with the defaults filled in.
type probe struct {
	pipeline.Health
	address string
	program process.Program // the settings of a command probe, except its command and output
	runner  *process.System
	client  *http.Client
}

// newProbeClient is shared by all probes. Every check has its own connection: an
// open connection could still answer for a program that accepts no new ones.
// Redirects are not followed, because 300 to 399 is a valid answer.
func newProbeClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// withHealthDefaults fills in the defaults that the pipeline language documents.
func withHealthDefaults(h pipeline.Health) pipeline.Health {
	set := func(d *pipeline.Duration, to time.Duration) {
		if *d <= 0 {
			*d = pipeline.Duration(to)
		}
	}
	set(&h.Interval, time.Second)
	set(&h.Timeout, time.Second)
	set(&h.Grace, 30*time.Second)
	if h.Healthy <= 0 {
		h.Healthy = 1
	}
	if h.Unhealthy <= 0 {
		h.Unhealthy = 3
	}
	return h
}

// check runs the check once. The detail describes the answer, as evidence.
func (p *probe) check(ctx context.Context) (detail string, err error) {
	timeout := time.Duration(p.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	switch {
	case len(p.Command) > 0:
		detail, err = p.run(ctx)
	case p.Path != "":
		detail, err = p.get(ctx)
	default:
		detail, err = p.dial(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return strings.TrimSuffix(detail+": "+cause(err), ": "), err
	}
	return detail, nil
}

func (p *probe) get(ctx context.Context) (string, error) {
	detail := "GET " + p.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/"+strings.TrimPrefix(p.Path, "/"), nil)
	if err != nil {
		return detail, err
	}
	req.Header.Set("User-Agent", "showrunner-health")
	resp, err := p.client.Do(req)
	if err != nil {
		return detail, err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, probeBody))
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		text := strings.TrimSpace(strings.ToValidUTF8(string(body), "\uFFFD"))
		return detail, errors.New(strings.TrimSpace(resp.Status + " " + text))
	}
	return detail + ": " + resp.Status, nil
}

func (p *probe) dial(ctx context.Context) (string, error) {
	detail := "TCP " + p.address
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return detail, err
	}
	conn.Close()
	return detail + ": connected", nil
}

func (p *probe) run(ctx context.Context) (string, error) {
	detail := strings.Join(p.Command, " ")
	job := p.program
	job.Command = p.Command
	said, end, err := p.runner.Run(ctx, job, io.Discard)
	if err != nil {
		return detail, err
	}
	if end.Code != 0 {
		return detail, errors.New(strings.TrimSpace(end.How() + " " + said))
	}
	return detail + ": exit code 0", nil
}

// cause returns the last error of a chain of network errors, since every link of
// the chain repeats the addresses.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		if errors.Is(err, syscall.ECONNREFUSED) && op.Addr != nil {
			return "connection refused at " + op.Addr.String()
		}
		return op.Op + ": " + op.Err.Error()
	}
	if errors.Is(err, io.EOF) {
		return "the connection was closed without an answer"
	}
	return err.Error()
}
