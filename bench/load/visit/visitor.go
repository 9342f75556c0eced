package visit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"showrunner/internal/pause"
)

// visits is the sum of all visitors' results.
type visits struct {
	mu                       sync.Mutex
	paid, requests           int
	notModified, connections int
	versions                 map[string]bool
	files                    map[string][sha256.Size]byte // file name → its content's digest
	failed, mixed            []string
	took                     []time.Duration
	stop                     context.CancelFunc
	visitors                 sync.WaitGroup
}

// visitor is one browser: it keeps the last page, and revalidates it.
type visitor struct {
	*visits
	edge   string
	client *http.Client
	fresh  bool // a new connection for each request
	page   []byte
	tag    string
}

// gather makes n visitors load the site again and again until they leave.
func gather(ctx context.Context, edge string, n int, think time.Duration) *visits {
	ctx, stop := context.WithCancel(ctx)
	all := &visits{versions: map[string]bool{}, files: map[string][sha256.Size]byte{}, stop: stop}
	for i := range n {
		v := &visitor{visits: all, edge: edge, fresh: i%2 == 0, client: &http.Client{Timeout: 30 * time.Second,
			Transport: &http.Transport{DisableKeepAlives: i%2 == 0, DisableCompression: true}}}
		all.visitors.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				v.visit(round%3 == 2)
				_ = pause.For(ctx, think) // the loop ends with its context
			}
		})
	}
	return all
}

func (v *visits) leave() *visits {
	v.stop()
	v.visitors.Wait()
	slices.Sort(v.took)
	return v
}

func (v *visits) quantile(q float64) time.Duration {
	if len(v.took) == 0 {
		return 0
	}
	return v.took[min(len(v.took)-1, int(q*float64(len(v.took))))].Round(100 * time.Microsecond)
}

var (
	versionOf = regexp.MustCompile(`<meta name="version" content="([^"]*)"`)
	refersTo  = regexp.MustCompile(`(?:src|href)="(/[^"]+)"`)
)

// visit loads the page, or revalidates the one it has, and then loads all its
// assets.
func (v *visitor) visit(again bool) {
	began := time.Now()
	header := http.Header{}
	if again && v.tag != "" {
		header.Set("If-None-Match", v.tag)
	}
	status, body, tag, err := v.get("/", header)
	switch {
	case err != nil:
		v.fail("/: %v", err)
		return
	case status == http.StatusNotModified && header.Get("If-None-Match") != "":
		v.mu.Lock()
		v.notModified++
		v.mu.Unlock()
	case status != http.StatusOK:
		v.fail("/: %d", status)
		return
	default:
		v.page, v.tag = body, tag
	}
	found := versionOf.FindSubmatch(v.page)
	if found == nil {
		v.fail("/: a page without a version: %.80q", v.page)
		return
	}
	version := string(found[1])
	program := false
	for _, ref := range refersTo.FindAllSubmatch(v.page, -1) {
		name := string(ref[1])
		status, body, _, err := v.get(name, nil)
		if err != nil || status != http.StatusOK || len(body) == 0 {
			v.fail("%s of %s: %d, %d bytes, %v", name, version, status, len(body), err)
			return
		}
		v.known(name, body)
		if bytes.Contains(body, []byte("version ")) {
			program = true
			if !bytes.Contains(body, []byte(version+".")) {
				v.mix("%s is not the program of %s", name, version)
			}
		}
	}
	if !program {
		v.mix("the page of %s refers to no program that says its version", version)
	}
	v.mu.Lock()
	v.paid++
	v.versions[version] = true
	v.took = append(v.took, time.Since(began))
	v.mu.Unlock()
}

// known compares a file's content with the earlier content under the same name.
func (v *visitor) known(name string, body []byte) {
	sum := sha256.Sum256(body)
	v.mu.Lock()
	before, seen := v.files[name]
	v.files[name] = sum
	v.mu.Unlock()
	if seen && before != sum {
		v.mix("%s is not what it was", name)
	}
}

func (v *visitor) get(path string, header http.Header) (status int, body []byte, tag string, err error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+v.edge+path, nil)
	if err != nil {
		return 0, nil, "", err
	}
	req.Host = site + ".localhost"
	for k, values := range header {
		req.Header[k] = values
	}
	v.mu.Lock()
	v.requests++
	if v.fresh {
		v.connections++
	}
	v.mu.Unlock()
	res, err := v.client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, res.Header.Get("ETag"), err
}

func (v *visits) fail(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed = append(v.failed, fmt.Sprintf(format, args...))
}

func (v *visits) mix(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mixed = append(v.mixed, fmt.Sprintf(format, args...))
}
