package sites

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"showrunner/cloud/driver"
)

type died struct{ step string }

// dieAt runs f and simulates the region's death at the n-th durable step; it says
// whether that step was reached.
func (w *world) dieAt(n int, f func()) (dead bool) {
	w.t.Helper()
	count := 0
	w.sites.crash = func(step string) {
		if count++; count == n {
			panic(died{step})
		}
	}
	defer func() {
		if r := recover(); r != nil {
			if _, ours := r.(died); !ours {
				panic(r)
			}
			dead = true
		}
		w.close()
		w.open()
	}()
	f()
	return false
}

// settled waits for the background work of the start.
func (w *world) settled() {
	w.t.Helper()
	for _, s := range w.sites.sites {
		release, err := s.take(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		release()
	}
}

// show is the content of the given paths for visitors.
func (w *world) show(site string, files map[string]string) map[string]string {
	seen := map[string]string{}
	for name := range files {
		if status, body := w.get(site, "/"+name); status == 200 {
			seen[name] = body
		}
	}
	return seen
}

// After a death at any step, visitors see the complete old content or the
// complete new content. After the restart the bucket matches it, and repeating
// the publish completes it.
func TestACrashAtAnyStepLeavesACompleteSite(t *testing.T) {
	w := newWorld(t)
	for _, before := range []map[string]string{one, nil} { // nil: the first publish dies
		dead := true
		for n := 1; dead; n++ {
			site := fmt.Sprintf("site-%d-%d", len(before), n)
			if before != nil {
				w.publish("p1", before, func(r *driver.PublishRequest) { r.Config.Site = site })
			}
			req := driver.PublishRequest{Artifact: w.artifact(two), Version: "p2"}
			req.Config.Site = site
			publish := func() (driver.SiteDeployment, error) {
				return w.sites.Publish(t.Context(), req, "p2", func(int, int) {})
			}
			if dead = w.dieAt(n, func() { publish() }); !dead && n < 5 {
				t.Fatalf("only %d steps were reached", n-1)
			}
			live := before
			if _, body := w.get(site, "/"); body == two["index.html"] {
				live = two
			}
			if got := w.show(site, live); !maps.Equal(got, live) {
				t.Fatalf("step %d: visitors see %v, which is incomplete", n, got)
			}
			w.settled()
			if got := w.bucket(site); !maps.Equal(got, live) {
				t.Fatalf("step %d: visitors see %v, the bucket holds %v", n, live, got)
			}
			if d, err := publish(); err != nil || d.ID != deploymentID(site, "p2") || !d.Current {
				t.Fatalf("step %d: repeated: %+v, %v", n, d, err)
			}
			if got := w.bucket(site); !maps.Equal(got, two) || !maps.Equal(w.show(site, two), two) {
				t.Fatalf("step %d: repeated, the bucket holds %v", n, got)
			}
		}
	}
}

// For every sequence of operations and crashes, visitors and S3 clients see the
// content that a simple model predicts.
func TestSitesFollowTheirModel(t *testing.T) {
	w := newWorld(t)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		site := fmt.Sprintf("site-%d", round)
		type past struct {
			id    string
			files map[string]string
		}
		var history []past
		live := map[string]string{}
		foreign := map[string]string{}
		publish := func(key string, files map[string]string) {
			req := driver.PublishRequest{Artifact: w.artifact(files)}
			req.Config.Site, req.Config.Keep = site, 100
			d, err := w.sites.Publish(t.Context(), req, key, func(int, int) {})
			if err != nil {
				rt.Fatal(err)
			}
			history = append(history, past{d.ID, files})
			live = files
			for name := range files {
				delete(foreign, name)
			}
		}
		draw := func() map[string]string {
			files := map[string]string{"index.html": rapid.StringMatching("[a-c]{1,3}").Draw(rt, "index")}
			for _, name := range []string{"a.html", "b.txt", "c/d.html", "c/e.json"} {
				if rapid.Bool().Draw(rt, name) {
					files[name] = rapid.StringMatching("[a-c]{1,2}").Draw(rt, "content of "+name)
				}
			}
			return files
		}
		publish("first", draw())
		for i := range rapid.IntRange(1, 8).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				publish(fmt.Sprint("p", i), draw())
			case 1:
				p := history[rapid.IntRange(0, len(history)-1).Draw(rt, "which")]
				if _, err := w.sites.Activate(t.Context(), site, p.id, fmt.Sprint("a", i)); err != nil {
					rt.Fatal(err)
				}
				live = p.files
				for name := range live {
					delete(foreign, name)
				}
			case 2: // an S3 client puts
				name := rapid.SampledFrom([]string{"a.html", "f.html"}).Draw(rt, "foreign")
				w.s3Put(site, name, fmt.Sprint("foreign ", i))
				foreign[name] = fmt.Sprint("foreign ", i)
			case 3: // an S3 client deletes
				name := rapid.SampledFrom([]string{"a.html", "f.html"}).Draw(rt, "deleted")
				w.s3Delete(site, name)
				foreign[name] = ""
			}
			want := maps.Clone(live)
			for name, text := range foreign {
				if want[name] = text; text == "" {
					delete(want, name)
				}
			}
			if got := w.bucket(site); !maps.Equal(got, want) {
				rt.Fatalf("the bucket holds %v, want %v", got, want)
			}
			for _, name := range []string{"index.html", "a.html", "b.txt", "c/d.html", "c/e.json", "f.html"} {
				resp, body := w.ask("GET", site+".localhost", "/"+name)
				if text, is := want[name]; is != (resp.StatusCode == 200) || is && body != text {
					rt.Fatalf("GET /%s: %d %q, want %q", name, resp.StatusCode, body, text)
				}
			}
		}
	})
}
