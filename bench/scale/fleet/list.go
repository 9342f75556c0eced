package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/chromedp/chromedp"

	"showrunner/bench/environment"
	"showrunner/bench/local"
	"showrunner/cloud"
	"showrunner/cloud/localcloud"
	"showrunner/internal/sockpath"
	"showrunner/pipeline"
	"showrunner/server"
)

// clusterSize is how many instances a simulated cluster has, in two versions.
const clusterSize = 50

// list requests the instances of a real control plane with one simulated region:
// through the API, the command line and a browser.
func list(ctx context.Context, s settings) (met bool, err error) {
	data, err := os.MkdirTemp("", "bench-fleet-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(data)
	socket, err := sockpath.Listen(data, localcloud.SocketName(local.Name))
	if err != nil {
		return false, err
	}
	simulated := &http.Server{Handler: simulate(s.simulated), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = simulated.Serve(socket) }() // until it is closed
	defer simulated.Close()
	listen, err := freeAddress()
	if err != nil {
		return false, err
	}
	p, err := local.Spawn(ctx, s.exe, "control", "--data", data, "--listen", listen, "--regions", local.Name, "--aws", "127.0.0.1:0")
	if err != nil {
		return false, err
	}
	defer p.Stop()
	token, err := server.LoadToken(data)
	if err != nil {
		return false, err
	}
	api, size, err := timed(200, func() (int, error) { return get(ctx, "http://"+listen+"/api/v1/clusters", token) })
	if err != nil {
		return false, err
	}
	html, page, err := timed(200, func() (int, error) { return get(ctx, "http://"+listen+"/clusters", token) })
	if err != nil {
		return false, err
	}
	command, _, err := timed(10, func() (int, error) {
		out, err := exec.CommandContext(ctx, s.exe, "clusters", "--data", data).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("%w: %s", err, out)
		}
		return len(out), nil
	})
	if err != nil {
		return false, err
	}
	described, answer, err := describe(ctx, s.exe, data)
	if err != nil {
		return false, err
	}
	met = api.p99 <= mostList
	fmt.Printf("list of %d simulated instances in %d clusters: API p50 %s, p99 %s (%d KiB; budget %s: %s); command p50 %s with its own start; page's HTML p50 %s, p99 %s (%d KiB)\n",
		s.simulated, s.simulated/clusterSize, ms(api.p50), ms(api.p99), size>>10, mostList, verdict(met), ms(command.p50), ms(html.p50), ms(html.p99), page>>10)
	fmt.Printf("DescribeInstances of them all: p50 %s, p99 %s (%d KiB)\n", ms(described.p50), ms(described.p99), answer>>10)
	paint, err := firstPaint(ctx, "http://"+listen, token)
	if errors.Is(err, exec.ErrNotFound) {
		fmt.Println("first paint: chromium is not installed: it is left out")
		return met, nil
	}
	if err != nil {
		return false, err
	}
	painted := paint.p99 <= mostPaint
	fmt.Printf("first paint of the clusters page in a browser: p50 %s, worst %s (budget %s: %s)\n", ms(paint.p50), ms(paint.p99), mostPaint, verdict(painted))
	return met && painted, nil
}

// describe asks for all instances as AWS's clients do.
func describe(ctx context.Context, exe, data string) (spread, int, error) {
	aws, err := environment.AWSOf(ctx, exe, data)
	if err != nil {
		return spread{}, 0, err
	}
	r := environment.AWSRequest{Region: local.Name, Service: "ec2", MediaType: "application/x-www-form-urlencoded", Body: []byte("Action=DescribeInstances&Version=2016-11-15")}
	return timed(100, func() (int, error) {
		size, _, err := aws.Send(ctx, http.DefaultClient, r)
		return size, err
	})
}

type spread struct{ p50, p99 time.Duration }

func timed(n int, f func() (int, error)) (s spread, size int, err error) {
	var took []time.Duration
	for range n {
		began := time.Now()
		if size, err = f(); err != nil {
			return s, 0, err
		}
		took = append(took, time.Since(began))
	}
	return spreadOf(took), size, nil
}

func spreadOf(took []time.Duration) spread {
	slices.Sort(took)
	return spread{took[len(took)/2], took[min(len(took)-1, len(took)*99/100)]}
}

func get(ctx context.Context, url, token string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %.200s", url, res.Status, text)
	}
	return len(text), err
}

// firstPaint loads the page in a new browser, five times.
func firstPaint(ctx context.Context, base, token string) (s spread, err error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return s, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/sign-in-links", nil)
	if err != nil {
		return s, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	var link struct {
		Path string `json:"path"`
	}
	if err := json.NewDecoder(res.Body).Decode(&link); err != nil {
		return s, err
	}
	profile, err := os.MkdirTemp("", "bench-browser-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(profile)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.DisableGPU)
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(base+link.Path)); err != nil {
		return s, err
	}
	// The link's page goes to the overview by itself, and aborts any other
	// navigation meanwhile.
	if err := eventually("the link did not lead to the overview", func() (bool, error) {
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`location.pathname == "/" && document.readyState == "complete"`))
		return err == nil && there, ctx.Err() // between two pages there is nothing to query
	}); err != nil {
		return s, err
	}
	var took []time.Duration
	for range 5 {
		if err := chromedp.Do(ctx, chromedp.Navigate(base+"/clusters")); err != nil {
			return s, err
		}
		at, err := painted(ctx)
		if err != nil {
			return s, err
		}
		took = append(took, at)
	}
	return spreadOf(took), nil
}

// painted waits for the first paint and returns its time since the start of the
// navigation.
func painted(ctx context.Context) (at time.Duration, err error) {
	err = eventually("the browser painted nothing", func() (bool, error) {
		took, err := chromedp.Run(ctx, chromedp.Evaluate[float64](`performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1`))
		at = time.Duration(took * float64(time.Millisecond))
		return took >= 0, err
	})
	return at, err
}

// eventually repeats act until it returns true.
func eventually(orElse string, ask func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		if so, err := ask(); so || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-limit:
			return errors.New(orElse)
		}
	}
}

// simulate is a region that only claims to have instances.
func simulate(n int) http.Handler {
	now := time.Now()
	var groups []cloud.ServerGroup
	for c := range n / clusterSize {
		name := fmt.Sprintf("app%02d-prod", c)
		for v, size := range []int{clusterSize - clusterSize/5, clusterSize / 5} {
			g := cloud.ServerGroup{Name: fmt.Sprintf("%s-v%03d", name, v), Region: local.Name, Weight: 50, Created: now.Add(-time.Hour),
				Capacity: pipeline.Capacity{Min: size, Desired: size, Max: size},
				Spec:     cloud.ServerGroupSpec{Cluster: name, Version: fmt.Sprintf("1.%d", v), Workload: cloud.Workload{Process: &cloud.Process{Command: []string{"./service"}}}}}
			g.Spec.Capacity = g.Capacity
			for i := range size {
				g.Instances = append(g.Instances, cloud.Instance{ID: fmt.Sprintf("i-%02d%d%05x", c, v, i), ServerGroup: g.Name, Version: g.Spec.Version, Region: local.Name,
					Zone: local.Name + string(rune('a'+i%3)), Address: fmt.Sprintf("127.1.%d.%d:8000", c, i), PID: 100000 + i, Lifecycle: cloud.InService, Healthy: true,
					Launched: now.Add(-time.Hour), ServingSince: now.Add(-time.Hour), CPU: 0.01, Memory: 10 << 20})
			}
			groups = append(groups, g)
		}
	}
	region := cloud.Region{Name: local.Name, Zones: []string{local.Name + "a", local.Name + "b", local.Name + "c"}, Healthy: true, Since: now, Address: "127.0.0.1:1"}
	say := func(v func(*http.Request) any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(v(r)) // the client has disconnected when this fails
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/region", say(func(*http.Request) any { return localcloud.Info{Region: region, Started: now} }))
	mux.HandleFunc("GET /fleet/region", say(func(*http.Request) any { return []cloud.Region{region} }))
	mux.HandleFunc("GET /fleet/zones", say(func(*http.Request) any { return map[string]bool{} }))
	mux.HandleFunc("GET /fleet/server-groups", say(func(r *http.Request) any {
		cluster := r.URL.Query().Get("cluster")
		return slices.DeleteFunc(slices.Clone(groups), func(g cloud.ServerGroup) bool { return cluster != "" && g.Spec.Cluster != cluster })
	}))
	mux.HandleFunc("GET /fleet/ended", say(func(*http.Request) any { return []cloud.Instance{} }))
	mux.HandleFunc("GET /fleet/counts", say(func(*http.Request) any { return []cloud.Counts{} }))
	mux.HandleFunc("GET /fleet/changes", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }) // nothing changes
	return mux
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
