package sites

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

var (
	one = map[string]string{"index.html": "1 app.1111aaaa.js", "app.1111aaaa.js": "js 1", "style.css": "css 1", "same.css": "same", "old.html": "gone soon", "old.css": "old"}
	two = map[string]string{"index.html": "2 app.2222bbbb.js", "app.2222bbbb.js": "js 2", "style.css": "css 2", "same.css": "same"}
)

func TestOnlyChangedFilesAreCopied(t *testing.T) {
	w := newWorld(t)
	a := w.publish("p1", one)
	if a.Uploaded != 6 || a.Unchanged != 0 || a.Deleted != 0 || !a.Current || a.Document != "index.html" {
		t.Errorf("first: %+v", a)
	}
	b := w.publish("p2", two)
	if b.Uploaded != 3 || b.Unchanged != 1 || b.Deleted != 3 || b.Bytes != int64(len("2 app.2222bbbb.js"+"js 2"+"css 2")) {
		t.Errorf("second: %+v", b)
	}
	if c := w.publish("p3", two); c.Uploaded != 0 || c.Unchanged != 4 || c.Bytes != 0 || c.ID == b.ID {
		t.Errorf("the same again: %+v", c)
	}
	// The files of an earlier deployment are not copied again either.
	if d := w.publish("p4", one); d.Uploaded != 5 || d.Bytes != 0 {
		t.Errorf("the first again: %+v", d)
	}
	if got := w.bucket("demo"); !maps.Equal(got, one) {
		t.Errorf("the bucket holds %v", got)
	}
}

func TestADeploymentSaysWhereItsIndexDocumentIs(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct {
		files            []string
		document, nested string
	}{
		{[]string{"index.html", "docs/index.html"}, "index.html", ""},
		{[]string{"dist/deep/index.html", "dist/index.html", "east/index.html", "dist/app.js"}, "", "dist/index.html"},
		{[]string{"app.js", "dist/myindex.html"}, "", ""},
	} {
		files := map[string]string{}
		for _, f := range c.files {
			files[f] = f
		}
		if d := w.publish(fmt.Sprint("p", i), files); d.Document != c.document || d.Nested != c.nested {
			t.Errorf("%v: document %q, nested %q", c.files, d.Document, d.Nested)
		}
	}
}

func TestAKeyNeverActsTwice(t *testing.T) {
	w := newWorld(t)
	a := w.publish("p1", one)
	w.publish("p2", two)
	again := w.publish("p1", one)
	if again.ID != a.ID || again.Current || again.Uploaded != a.Uploaded {
		t.Errorf("the same key again: %+v, first %+v", again, a)
	}
	if _, body := w.get("demo", "/"); body != two["index.html"] {
		t.Errorf("the site shows %q", body)
	}
	x, err := w.sites.Activate(t.Context(), "demo", a.ID, "act1")
	if err != nil || x.ID != a.ID {
		t.Fatal(x, err)
	}
	w.publish("p3", two)
	if x, err = w.sites.Activate(t.Context(), "demo", a.ID, "act1"); err != nil || x.Current {
		t.Errorf("the same activation again: %+v, %v", x, err)
	}
}

func TestLateVisitorsFindTheAssetsOfTheirPage(t *testing.T) {
	w := newWorld(t)
	w.publish("p1", one)
	w.publish("p2", two)
	for path, want := range map[string]int{
		"/app.1111aaaa.js": 200, // assets of a page that a visitor may still have
		"/old.css":         200,
		"/old.html":        404, // removed documents are gone at once
	} {
		if status, _ := w.get("demo", path); status != want {
			t.Errorf("GET %s: %d, want %d", path, status, want)
		}
	}
	if _, body := w.get("demo", "/style.css"); body != "css 2" {
		t.Errorf("an asset that is live is answered as %q", body)
	}
	if got := w.bucket("demo"); !maps.Equal(got, two) {
		t.Errorf("the bucket holds %v", got)
	}
	w.now = w.now.Add(Grace + time.Second)
	for path, want := range map[string]int{"/app.1111aaaa.js": 200, "/old.css": 404} {
		if status, _ := w.get("demo", path); status != want {
			t.Errorf("after the grace, GET %s: %d, want %d", path, status, want)
		}
	}
}

func TestPreparedAssetsAreServedBeforeTheyAreLive(t *testing.T) {
	w := newWorld(t)
	w.publish("p1", one)
	prepare := func(key string, files map[string]string, order int64) {
		t.Helper()
		req := driver.PublishRequest{Artifact: w.artifact(files), Order: order}
		req.Config.Site = "demo"
		if _, err := w.sites.Prepare(t.Context(), req, key, func(int, int) {}); err != nil {
			t.Fatal(err)
		}
	}
	later := w.now.UnixNano() + 1000
	prepare("p2", two, later)
	w.close() // the prepared deployment survives a restart
	w.open()
	for path, want := range map[string]string{"/app.2222bbbb.js": "js 2", "/index.html": one["index.html"], "/style.css": "css 1", "/app.1111aaaa.js": "js 1"} {
		if _, body := w.get("demo", path); body != want {
			t.Errorf("prepared, GET %s: %q", path, body)
		}
	}
	if got := w.bucket("demo"); !maps.Equal(got, one) {
		t.Errorf("prepared, the bucket holds %v", got)
	}
	d := w.publish("p2", two, func(r *driver.PublishRequest) { r.Order = later })
	if d.Uploaded != 3 || d.Bytes == 0 || !maps.Equal(w.bucket("demo"), two) {
		t.Errorf("%+v, the bucket holds %v", d, w.bucket("demo"))
	}
	// A prepared deployment that never goes live is removed once something newer
	// is live.
	prepare("never", map[string]string{"index.html": "never", "never.css": "never"}, later+1)
	w.publish("p3", one, func(r *driver.PublishRequest) { r.Order = later + 2 })
	if status, _ := w.get("demo", "/never.css"); status != 404 {
		t.Errorf("an asset that never was live: %d", status)
	}
	for i := range 10 {
		prepare(fmt.Sprint("more", i), map[string]string{"index.html": fmt.Sprint("more", i)}, later+int64(10+i))
	}
	indexes, err := filepath.Glob(filepath.Join(w.dir, "sites", "demo", "indexes", "*"))
	if err != nil || len(indexes) != 2+keptPrepared {
		t.Errorf("%d indexes, %v", len(indexes), err)
	}
}

func TestOnlyKeptDeploymentsTakeRoom(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		files := map[string]string{"index.html": fmt.Sprint(i), fmt.Sprintf("app.%08xa.js", i): fmt.Sprint("js", i)}
		w.publish(fmt.Sprint("p", i), files, func(r *driver.PublishRequest) { r.Config.Keep = 3 })
		w.now = w.now.Add(Grace + time.Minute)
	}
	list, err := w.sites.Deployments("demo")
	if err != nil || len(list) != 3 {
		t.Fatalf("%d kept, %v", len(list), err)
	}
	if !list[0].Current || list[0].Previous != list[1].ID || list[0].Version != "p5" || list[2].Version != "p3" {
		t.Errorf("listed as %+v", list)
	}
	objects, err := filepath.Glob(filepath.Join(w.dir, "sites", "demo", "objects", "*", "*"))
	if err != nil || len(objects) != 6 {
		t.Errorf("%d objects in the region, want 6", len(objects))
	}
	if status, _ := w.get("demo", "/app.00000002a.js"); status != 404 {
		t.Errorf("an asset of a deployment no longer kept: %d", status)
	}
	if _, err := w.sites.Activate(t.Context(), "demo", deploymentID("demo", "p1"), "x"); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("activating what is not kept: %v", err)
	}
}

func TestAnOlderPublishNeverReplacesANewerOne(t *testing.T) {
	w := newWorld(t)
	ordered := func(n int64) func(*driver.PublishRequest) { return func(r *driver.PublishRequest) { r.Order = n } }
	w.publish("new", two, ordered(20))
	if _, err := w.tryPublish("old", one, ordered(10)); problem.CodeOf(err) != problem.Conflict || problem.HelpOf(err) == "" {
		t.Fatalf("an older publish: %v", err)
	}
	if got := w.bucket("demo"); !maps.Equal(got, two) {
		t.Errorf("the bucket holds %v", got)
	}
}

func TestRollbacksNeverReturnToWhatWasRolledBackFrom(t *testing.T) {
	w := newWorld(t)
	ids := map[string]string{}
	for _, v := range []string{"a", "b", "bad"} {
		ids[v] = w.publish(v, map[string]string{"index.html": v}).ID
	}
	turns := 0
	back := func(want string) {
		t.Helper()
		turns++
		list, err := w.sites.Deployments("demo")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(d driver.SiteDeployment) bool { return d.Current })
		if list[i].Previous != ids[want] {
			t.Fatalf("a rollback would return to %q, want %s (%s)", list[i].Previous, want, ids[want])
		}
		if want == "" {
			return
		}
		if d, err := w.sites.Activate(t.Context(), "demo", list[i].Previous, fmt.Sprint("back", turns)); err != nil || !d.Current {
			t.Fatal(d, err)
		}
		if _, body := w.get("demo", "/"); body != want {
			t.Fatalf("the site shows %q, want %q", body, want)
		}
	}
	back("b")
	ids["good"] = w.publish("good", map[string]string{"index.html": "good"}).ID
	back("b") // not "bad", which was live in between
	back("a")
	back("")
}

func TestRevertUndoesOneDeploymentAndNothingNewer(t *testing.T) {
	w := newWorld(t)
	a := w.publish("a", one)
	b := w.publish("b", two)
	if d, err := w.sites.Revert(t.Context(), "demo", b.ID, "r1"); err != nil || d.ID != a.ID || !d.Current {
		t.Fatal(d, err)
	}
	if got := w.bucket("demo"); !maps.Equal(got, one) {
		t.Errorf("the bucket holds %v", got)
	}
	c := w.publish("c", two)
	if d, err := w.sites.Revert(t.Context(), "demo", b.ID, "r2"); err != nil || d.ID != c.ID {
		t.Errorf("reverting what is not live: %+v, %v", d, err)
	}
	if _, body := w.get("demo", "/"); body != two["index.html"] {
		t.Errorf("the site shows %q", body)
	}
	only := w.publish("only", one, func(r *driver.PublishRequest) { r.Config.Site = "single" })
	if d, err := w.sites.Revert(t.Context(), "single", only.ID, "r"); err != nil || d.ID != only.ID {
		t.Errorf("reverting the only one: %+v, %v", d, err)
	}
}

func TestPartsOfASiteAreIndependent(t *testing.T) {
	w := newWorld(t)
	w.publish("root", map[string]string{"index.html": "root", "a.css": "a"})
	in := func(prefix string) func(*driver.PublishRequest) {
		return func(r *driver.PublishRequest) { r.Config.Prefix = prefix }
	}
	d := w.publish("docs1", map[string]string{"index.html": "docs", "b.css": "b"}, in("/docs/"))
	if d.Prefix != "docs" || d.Document != "docs/index.html" {
		t.Errorf("%+v", d)
	}
	w.publish("zip", map[string]string{"x": "y"}, func(r *driver.PublishRequest) { r.Config.Archive = "all.zip" })
	w.publish("root2", map[string]string{"index.html": "root 2"})
	w.publish("docs2", map[string]string{"index.html": "docs 2"}, in("docs"))
	got := w.bucket("demo")
	if zip := got["all.zip"]; len(zip) < 4 || zip[:2] != "PK" {
		t.Errorf("the archive begins with %q", zip)
	}
	delete(got, "all.zip")
	if want := map[string]string{"index.html": "root 2", "docs/index.html": "docs 2"}; !maps.Equal(got, want) {
		t.Errorf("the bucket holds %v", got)
	}
	if _, err := w.sites.Activate(t.Context(), "demo", d.ID, "back"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/": "root 2", "/docs/": "docs", "/docs/b.css": "b"} {
		if _, body := w.get("demo", path); body != want {
			t.Errorf("GET %s: %q", path, body)
		}
	}
	list, err := w.sites.Deployments("demo")
	if err != nil {
		t.Fatal(err)
	}
	current := 0
	for _, d := range list {
		if d.Current {
			current++
		}
	}
	if current != 3 {
		t.Errorf("%d parts are live, want 3", current)
	}
}

func TestRefusedPublishes(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*driver.PublishRequest){
		"a bad name":        func(r *driver.PublishRequest) { r.Config.Site = "../x" },
		"an upper-case one": func(r *driver.PublishRequest) { r.Config.Site = "Demo" },
		"a bad archive":     func(r *driver.PublishRequest) { r.Config.Archive = "../../x.zip" },
	} {
		if _, err := w.tryPublish("p "+name, one, change); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.tryPublish("empty", nil); problem.CodeOf(err) != problem.Invalid || problem.HelpOf(err) == "" {
		t.Errorf("an empty artifact: %v", err)
	}
	if _, err := w.tryPublish("gone", nil, func(r *driver.PublishRequest) {
		r.Artifact = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	}); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("an artifact that is not there: %v", err)
	}
	if w.sites.Has("demo") {
		t.Error("refused requests created a site")
	}
}

func TestLinksBecomeWhatTheyStandFor(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "real"), 0o755),
		os.WriteFile(filepath.Join(dir, "index.html"), []byte("home"), 0o644),
		os.WriteFile(filepath.Join(dir, "real", "a.txt"), []byte("a"), 0o644),
		os.Symlink("index.html", filepath.Join(dir, "start.html")),
		os.Symlink("real", filepath.Join(dir, "linked")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ref, _, err := w.artifacts.PutDir(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.publish("p", nil, func(r *driver.PublishRequest) { r.Artifact = ref })
	want := map[string]string{"index.html": "home", "start.html": "home", "real/a.txt": "a", "linked/a.txt": "a"}
	if got := w.bucket("demo"); !maps.Equal(got, want) {
		t.Errorf("the bucket holds %v", got)
	}
}

func TestConcurrentPublishesTakeTurns(t *testing.T) {
	w := newWorld(t)
	refs := make([]driver.PublishRequest, 8)
	for i := range refs {
		refs[i].Config.Site = "demo"
		refs[i].Artifact = w.artifact(map[string]string{"index.html": fmt.Sprint(i), "v.css": fmt.Sprint(i)})
	}
	var all sync.WaitGroup
	for i, req := range refs {
		all.Go(func() {
			if _, err := w.sites.Publish(context.Background(), req, fmt.Sprint("k", i), func(int, int) {}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	_, a := w.get("demo", "/")
	_, b := w.get("demo", "/v.css")
	bucket := w.bucket("demo")
	if a != b || bucket["index.html"] != a || bucket["v.css"] != a {
		t.Errorf("page of %s, asset of %s, bucket %v", a, b, bucket)
	}
}

// Where the file system has no attributes, the result is the same.
func TestWithoutFileAttributes(t *testing.T) {
	w := startWorld(t, true)
	w.publish("p1", one)
	w.publish("p2", two)
	if got := w.bucket("demo"); !maps.Equal(got, two) {
		t.Errorf("the bucket holds %v", got)
	}
	o, err := w.objects.OpenObject("demo", "index.html")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	resp, body := w.ask("GET", "demo.localhost", "/")
	if body != two["index.html"] || o.ETag != resp.Header.Get("ETag") || o.ContentType != "text/html; charset=utf-8" {
		t.Errorf("served %q with %v, stored %+v", body, resp.Header, o.Attributes)
	}
	w.close()
	w.open()
	if _, body := w.get("demo", "/"); body != two["index.html"] {
		t.Errorf("after a restart: %q", body)
	}
}

// Changes of a deployment's objects by S3 clients are listed, and undone by
// activating the deployment again. Objects that clients add belong to them.
func TestChangesByHand(t *testing.T) {
	for _, sidecar := range []bool{false, true} {
		t.Run(fmt.Sprint("sidecar=", sidecar), func(t *testing.T) {
			w := startWorld(t, sidecar)
			files := map[string]string{"index.html": "home", "app.js": "1", "style.css": "a{}", "gone.txt": "here"}
			d := w.publish("one", files)
			if _, err := w.sites.Changes("nothing"); problem.CodeOf(err) != problem.NotFound {
				t.Errorf("a site that is none: %v", err)
			}
			changes := func() (told []string) {
				list, err := w.sites.Changes("demo")
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range list {
					if c.Deployment != d.ID {
						t.Errorf("%+v is not of %s", c, d.ID)
					}
					told = append(told, c.Key+" "+c.Change)
				}
				return told
			}
			if got := changes(); got != nil {
				t.Errorf("untouched: %v", got)
			}
			w.s3Put("demo", "index.html", "defaced")
			w.s3Put("demo", "upload.html", "a visitor's")
			w.s3Delete("demo", "app.js")
			// Changes past the storage, as a person with a shell makes them.
			if err := os.Remove(filepath.Join(w.dir, "s3", "buckets", "demo", "gone.txt")); err != nil {
				t.Fatal(err)
			}
			if got := changes(); !slices.Equal(got, []string{"app.js removed", "gone.txt removed", "index.html replaced"}) {
				t.Errorf("changed: %v", got)
			}
			if _, err := w.sites.Activate(t.Context(), "demo", d.ID, "again"); err != nil {
				t.Fatal(err)
			}
			if got := changes(); got != nil {
				t.Errorf("activated again: %v", got)
			}
			files["upload.html"] = "a visitor's"
			if got := w.bucket("demo"); !maps.Equal(got, files) {
				t.Errorf("the bucket has %v", got)
			}
			if code, body := w.get("demo", "/"); code != 200 || body != "home" {
				t.Errorf("visitors get %d %q", code, body)
			}
		})
	}
}
