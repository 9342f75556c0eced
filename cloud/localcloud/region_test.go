package localcloud_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"showrunner/artifact"
	"showrunner/cloud"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud"
	"showrunner/cloud/localcloud/sites"
	"showrunner/internal/ready"
	"showrunner/pipeline"
	"showrunner/problem"
)

// The client implements every ability of drivers.
var (
	_ driver.Cloud        = (*localcloud.Client)(nil)
	_ driver.Capacity     = (*localcloud.Client)(nil)
	_ driver.Terminator   = (*localcloud.Client)(nil)
	_ driver.Counter      = (*localcloud.Client)(nil)
	_ driver.Sites        = (*localcloud.Client)(nil)
	_ driver.Watcher      = (*localcloud.Client)(nil)
	_ driver.Logs         = (*localcloud.Client)(nil)
	_ driver.Standby      = (*localcloud.Client)(nil)
	_ driver.Protection   = (*localcloud.Client)(nil)
	_ driver.HealthSetter = (*localcloud.Client)(nil)
	_ driver.Suspender    = (*localcloud.Client)(nil)
	_ driver.SiteReverter = (*localcloud.Client)(nil)
	_ driver.SiteProber   = (*localcloud.Client)(nil)
	_ driver.SitePreparer = (*localcloud.Client)(nil)
	_ driver.SiteLister   = (*localcloud.Client)(nil)
)

// The test binary also runs as region processes, since one process can run only
// one region.
func TestMain(m *testing.M) {
	if os.Getenv("REGION_TEST") == "" {
		os.Exit(m.Run())
	}
	var config localcloud.RegionConfig
	if err := json.Unmarshal([]byte(os.Getenv("REGION_TEST")), &config); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	config.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	config.Ready = func(m ready.Message) {
		if err := ready.Notify(m); err != nil {
			panic(err)
		}
	}
	if err := localcloud.RunRegion(ctx, config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// process is a region process.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	said ready.Message
	end  func(os.Signal) error
}

// start starts a region and returns once it says that it is ready, or has ended.
func start(t *testing.T, config localcloud.RegionConfig) (*process, error) {
	t.Helper()
	spec, err := json.Marshal(map[string]any{"Name": config.Name, "Data": config.Data, "Control": config.Control, "Token": config.Token})
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	var stderr strings.Builder
	p.cmd.Stderr = &stderr
	p.cmd.ExtraFiles = []*os.File{w}
	p.cmd.Env = append(os.Environ(), "REGION_TEST="+string(spec), ready.Env+"=3")
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	wait := sync.OnceValue(p.cmd.Wait)
	p.end = func(s os.Signal) error {
		p.cmd.Process.Signal(s) // the process may have ended
		return wait()
	}
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	if err := json.NewDecoder(r).Decode(&p.said); err != nil {
		p.end(syscall.SIGKILL)
		return nil, fmt.Errorf("the region ended: %s", stderr.String())
	}
	return p, nil
}

func mustStart(t *testing.T, config localcloud.RegionConfig) *process {
	t.Helper()
	p, err := start(t, config)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func client(t *testing.T, endpoints ...localcloud.Endpoint) *localcloud.Client {
	t.Helper()
	c, err := localcloud.NewClient(localcloud.ClientConfig{Regions: endpoints, Edge: "127.0.0.1:8080"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func put(t *testing.T, data string, files map[string]string) artifact.Ref {
	t.Helper()
	store, err := artifact.Open(filepath.Join(data, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ref, _, err := store.PutDir(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func visit(t *testing.T, address, site, path string) (int, string, string) {
	t.Helper()
	r, err := http.NewRequest("GET", "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = site + ".localhost"
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header.Get(sites.HeaderDeployment)
}

func TestARegionThatIsKilledGoesOnWhereItWas(t *testing.T) {
	data := t.TempDir()
	config := localcloud.RegionConfig{Name: "us-west-2", Data: data}
	p := mustStart(t, config)
	c := client(t, localcloud.Endpoint{Region: "us-west-2", Data: data}, localcloud.Endpoint{Region: "us-east-1", Data: data})

	var lines int
	d, err := c.Publish(t.Context(), "us-west-2", cloud.PublishRequest{
		Config: pipeline.DeploySite{Site: "shop"}, Artifact: put(t, data, map[string]string{"index.html": "v1"}), Version: "v1",
	}, "k1", func(int, int) { lines++ })
	if err != nil || !d.Current || d.Uploaded != 1 || lines == 0 {
		t.Fatalf("%+v, %d lines, %v", d, lines, err)
	}
	if err := c.ProbeSite(t.Context(), "us-west-2", d); err != nil {
		t.Error(err)
	}
	if err := p.end(syscall.SIGKILL); err == nil {
		t.Fatal("the region was not killed")
	}
	if err := c.ProbeSite(t.Context(), "us-west-2", d); problem.CodeOf(err) != problem.Unavailable {
		t.Errorf("probing a dead region: %v", err)
	}

	again := mustStart(t, config)
	if fmt.Sprint(again.said) != fmt.Sprint(p.said) {
		t.Errorf("listens on %v, before on %v", again.said, p.said)
	}
	if status, body, id := visit(t, again.said.Listens["http"], "shop", "/"); status != 200 || body != "v1" || id != d.ID {
		t.Errorf("the site answers %d %q of %s", status, body, id)
	}
	same, err := c.Publish(t.Context(), "us-west-2", cloud.PublishRequest{
		Config: pipeline.DeploySite{Site: "shop"}, Artifact: d.Artifact, Version: "v1",
	}, "k1", func(int, int) {})
	if err != nil || same.ID != d.ID {
		t.Errorf("the same key after the restart: %+v, %v", same, err)
	}
	list, err := c.Regions(t.Context())
	if err != nil || len(list) != 2 || !list[0].Healthy || list[1].Healthy || list[0].Address != p.said.Listens["http"] || len(list[1].Zones) != 3 {
		t.Errorf("regions %+v, %v", list, err)
	}
	if err := again.end(syscall.SIGTERM); err != nil {
		t.Errorf("asked to end, the region ended with %v", err)
	}
}

func TestRegionsOfOneNameDoNotClash(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	first := mustStart(t, localcloud.RegionConfig{Name: "us-west-2", Data: a})
	second := mustStart(t, localcloud.RegionConfig{Name: "us-west-2", Data: b})
	if first.said.Listens["http"] == second.said.Listens["http"] || first.said.Listens["s3"] == second.said.Listens["s3"] {
		t.Errorf("both listen on %v and %v", first.said, second.said)
	}
	if _, err := start(t, localcloud.RegionConfig{Name: "us-west-2", Data: a}); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second region on one folder: %v", err)
	}
	// A remembered port that is taken is replaced by another.
	first.end(syscall.SIGKILL)
	ports := filepath.Join(a, "regions", "us-west-2", "ports.json")
	taken := fmt.Sprintf(`{"front":%q,"s3":%q}`, second.said.Listens["http"], second.said.Listens["s3"])
	if err := os.WriteFile(ports, []byte(taken), 0o600); err != nil {
		t.Fatal(err)
	}
	moved := mustStart(t, localcloud.RegionConfig{Name: "us-west-2", Data: a})
	if moved.said.Listens["http"] == second.said.Listens["http"] || moved.said.Listens["s3"] == second.said.Listens["s3"] {
		t.Errorf("two regions listen on %v", moved.said)
	}
}

func TestControlOverTCPNeedsTheToken(t *testing.T) {
	data := t.TempDir()
	p := mustStart(t, localcloud.RegionConfig{Name: "far-1", Data: data, Control: "127.0.0.1:0", Token: "s3cret"})
	url := "http://" + p.said.Listens["control"]
	for token, want := range map[string]problem.Code{"s3cret": "", "wrong": problem.Denied, "": problem.Denied} {
		_, err := client(t, localcloud.Endpoint{Region: "far-1", URL: url, Token: token}).Info(t.Context(), "far-1")
		if problem.CodeOf(err) != want {
			t.Errorf("token %q: %v", token, err)
		}
	}
}

func TestUnknownRegionsAndSites(t *testing.T) {
	data := t.TempDir()
	mustStart(t, localcloud.RegionConfig{Name: "us-west-2", Data: data})
	c := client(t, localcloud.Endpoint{Region: "us-west-2", Data: data})
	_, err := c.SiteDeployments(t.Context(), "mars", "shop")
	if problem.CodeOf(err) != problem.NotFound || !strings.Contains(problem.HelpOf(err), "us-west-2") {
		t.Errorf("an unknown region: %v", err)
	}
	for name, call := range map[string]func() error{
		"activate": func() error { _, err := c.Activate(t.Context(), "us-west-2", "shop", "d-1", "k"); return err },
		"revert":   func() error { _, err := c.Revert(t.Context(), "us-west-2", "shop", "d-1", "k"); return err },
		"publish": func() error {
			ref := artifact.Ref("sha256:" + strings.Repeat("0", 64))
			req := cloud.PublishRequest{Config: pipeline.DeploySite{Site: "shop"}, Artifact: ref}
			_, err := c.Publish(t.Context(), "us-west-2", req, "k", func(int, int) {})
			return err
		},
	} {
		if err := call(); problem.CodeOf(err) != problem.NotFound {
			t.Errorf("%s of an unknown site: %v", name, err)
		}
	}
	if got := c.SiteURL("shop"); got != "http://shop.localhost:8080/" {
		t.Errorf("SiteURL = %q", got)
	}
}
