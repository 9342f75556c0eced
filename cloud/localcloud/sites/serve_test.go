package sites

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

var page = map[string]string{
	"index.html":               "<h1>home</h1>",
	"docs/index.html":          "<h1>docs</h1>",
	"404.html":                 "<h1>lost</h1>",
	"assets/app.3f9a1c2b.js":   "console.log('hashed')",
	"assets/app.js":            "console.log('plain, and long enough to be worth it')",
	"assets/app.js.br":         "BROTLI",
	"assets/app.js.gz":         "GZIP",
	"data.json":                `{"a":1}`,
	"noextension":              "?",
	"a file with spaces.txt":   "spaces",
	"ümlaut/größe.css":         "body{}",
	"assets/logo-BxK3f9Zq.svg": "<svg/>",
}

func served(t *testing.T) *world {
	w := newWorld(t)
	w.publish("p1", page, func(r *driver.PublishRequest) {
		r.Config.Error = "404.html"
		r.Config.CacheControl = []pipeline.CacheRule{{Files: "*.json", Value: "max-age=60"}, {Files: "**", Value: ""}}[:1]
	})
	return w
}

func TestPagesAreServedWithTheirAttributes(t *testing.T) {
	w := served(t)
	for path, want := range map[string][3]string{ // body, type, caching
		"/":                                {"<h1>home</h1>", "text/html; charset=utf-8", cacheNever},
		"/index.html":                      {"<h1>home</h1>", "text/html; charset=utf-8", cacheNever},
		"/?q=1":                            {"<h1>home</h1>", "text/html; charset=utf-8", cacheNever},
		"/docs/":                           {"<h1>docs</h1>", "text/html; charset=utf-8", cacheNever},
		"/assets/app.3f9a1c2b.js":          {"console.log('hashed')", "text/javascript; charset=utf-8", cacheForever},
		"/assets/logo-BxK3f9Zq.svg":        {"<svg/>", "image/svg+xml; charset=utf-8", cacheForever},
		"/data.json":                       {`{"a":1}`, "application/json; charset=utf-8", "max-age=60"},
		"/noextension":                     {"?", "application/octet-stream", cacheNever},
		"/a%20file%20with%20spaces.txt":    {"spaces", "text/plain; charset=utf-8", cacheNever},
		"/%C3%BCmlaut/gr%C3%B6%C3%9Fe.css": {"body{}", "text/css; charset=utf-8", cacheNever},
	} {
		resp, body := w.ask("GET", "demo.localhost:8080", path)
		h := resp.Header
		if resp.StatusCode != 200 || body != want[0] || h.Get("Content-Type") != want[1] || h.Get("Cache-Control") != want[2] {
			t.Errorf("GET %s: %d %q %q %q", path, resp.StatusCode, body, h.Get("Content-Type"), h.Get("Cache-Control"))
		}
		if h.Get("ETag") == "" || h.Get("Last-Modified") == "" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get(HeaderDeployment) == "" {
			t.Errorf("GET %s: headers %v", path, h)
		}
		head, none := w.ask("HEAD", "DEMO.localhost.", path)
		if head.StatusCode != 200 || none != "" || head.ContentLength != int64(len(body)) || head.Header.Get("ETag") != h.Get("ETag") {
			t.Errorf("HEAD %s: %d, length %d", path, head.StatusCode, head.ContentLength)
		}
	}
}

func TestFoldersRedirectToTheirIndex(t *testing.T) {
	w := served(t)
	resp, _ := w.ask("GET", "demo.localhost", "/docs?x=1&y=2")
	if resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != "/docs/?x=1&y=2" {
		t.Errorf("%d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	for _, path := range []string{"/assets", "//docs", "//evil.example/docs"} { // no such folder index, and no such key
		if resp, _ := w.ask("GET", "demo.localhost", path); resp.StatusCode != 404 {
			t.Errorf("GET %s: %d to %q", path, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
}

func TestConditionsAndRanges(t *testing.T) {
	w := served(t)
	first, whole := w.ask("GET", "demo.localhost", "/assets/app.js")
	tag, modified := first.Header.Get("ETag"), first.Header.Get("Last-Modified")
	for _, c := range []struct {
		header []string
		status int
		body   string
		ranged string
	}{
		{[]string{"If-None-Match", tag}, 304, "", ""},
		{[]string{"If-None-Match", `"other", ` + tag}, 304, "", ""},
		{[]string{"If-None-Match", `"other"`}, 200, whole, ""},
		{[]string{"If-Modified-Since", modified}, 304, "", ""},
		{[]string{"If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT"}, 200, whole, ""},
		{[]string{"If-Match", `"other"`}, 412, "", ""},
		{[]string{"Range", "bytes=0-6"}, 206, whole[:7], "bytes 0-6/52"},
		{[]string{"Range", "bytes=-5"}, 206, whole[len(whole)-5:], "bytes 47-51/52"},
		{[]string{"Range", "bytes=45-"}, 206, whole[45:], "bytes 45-51/52"},
		{[]string{"Range", "bytes=0-6", "If-Range", tag}, 206, whole[:7], "bytes 0-6/52"},
		{[]string{"Range", "bytes=0-6", "If-Range", `"other"`}, 200, whole, ""},
		{[]string{"Range", "bytes=99-"}, 416, "", "bytes */52"},
	} {
		resp, body := w.ask("GET", "demo.localhost", "/assets/app.js", c.header...)
		if c.status == 416 {
			body = ""
		}
		if resp.StatusCode != c.status || body != c.body || resp.Header.Get("Content-Range") != c.ranged {
			t.Errorf("%v: %d %q %q", c.header, resp.StatusCode, body, resp.Header.Get("Content-Range"))
		}
		if c.status == 304 && (resp.Header.Get("ETag") != tag || resp.Header.Get("Cache-Control") == "") {
			t.Errorf("%v: 304 with %v", c.header, resp.Header)
		}
	}
}

func TestStoredCompressionIsNegotiated(t *testing.T) {
	w := served(t)
	tags := map[string]string{}
	for accept, want := range map[string][2]string{
		"br, gzip":         {"br", "BROTLI"},
		"gzip, deflate":    {"gzip", "GZIP"},
		"gzip;q=1, br;q=0": {"gzip", "GZIP"},
		"*":                {"br", "BROTLI"},
		"identity":         {"", page["assets/app.js"]},
		"br;q=0, *;q=0":    {"", page["assets/app.js"]},
		"BR ; q=0.5":       {"br", "BROTLI"},
		"gzip;q=nonsense":  {"", page["assets/app.js"]},
	} {
		resp, body := w.ask("GET", "demo.localhost", "/assets/app.js", "Accept-Encoding", accept)
		h := resp.Header
		if h.Get("Content-Encoding") != want[0] || body != want[1] || h.Get("Vary") != "Accept-Encoding" || resp.ContentLength != int64(len(body)) {
			t.Errorf("%q: encoding %q, body %q, headers %v", accept, h.Get("Content-Encoding"), body, h)
		}
		if h.Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%q: type %q", accept, h.Get("Content-Type"))
		}
		if old := tags[want[0]]; old != "" && old != h.Get("ETag") {
			t.Errorf("%q: the ETag changes", accept)
		}
		tags[want[0]] = h.Get("ETag")
	}
	if tags["br"] == tags["gzip"] || tags["br"] == tags[""] {
		t.Errorf("forms share an ETag: %v", tags)
	}
	if resp, _ := w.ask("GET", "demo.localhost", "/index.html", "Accept-Encoding", "br"); resp.Header.Get("Vary") != "" {
		t.Error("Vary on what has one form only")
	}
	// A condition on one form is answered with that form.
	resp, _ := w.ask("GET", "demo.localhost", "/assets/app.js", "Accept-Encoding", "br", "If-None-Match", tags["br"])
	if resp.StatusCode != 304 {
		t.Errorf("the compressed form's ETag: %d", resp.StatusCode)
	}
}

func TestMissingPages(t *testing.T) {
	w := served(t)
	for _, path := range []string{"/nothing", "/docs/nothing.html", "/../index.html/x", "/%2e%2e/%2e%2e/state.json", "/..%2f..%2fstate.json",
		"/docs/../../sites/demo/state.json", "/assets/app.js/", "/index.html%00", "/.sgwtmp/x", "/./docs/"} {
		resp, body := w.ask("GET", "demo.localhost", path)
		if resp.StatusCode != 404 || body != page["404.html"] || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("GET %s: %d %q", path, resp.StatusCode, body)
		}
		if resp.Header.Get("ETag") != "" || resp.Header.Get("Cache-Control") != cacheNever {
			t.Errorf("GET %s: headers %v", path, resp.Header)
		}
		if head, body := w.ask("HEAD", "demo.localhost", path); head.StatusCode != 404 || body != "" {
			t.Errorf("HEAD %s: %d %q", path, head.StatusCode, body)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		if resp, _ := w.ask(method, "demo.localhost", "/"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, resp.StatusCode)
		}
	}
	for _, host := range []string{"other.localhost", "demo.example.com", "", "..", "demo.localhost.localhost"} {
		if resp, _ := w.ask("GET", host, "/"); resp.StatusCode != 404 || resp.Header.Get(HeaderUnknownHost) != "1" {
			t.Errorf("host %q: %d %v", host, resp.StatusCode, resp.Header)
		}
	}
	if resp, _ := w.ask("GET", "demo.localhost", "/nothing"); resp.Header.Get(HeaderUnknownHost) != "" {
		t.Error("a missing page looks like an unknown host")
	}
}

func TestLargeObjectsAreStreamed(t *testing.T) {
	w := newWorld(t)
	big := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	w.publish("p1", map[string]string{"index.html": "x", "big.bin": big})
	resp, body := w.ask("GET", "demo.localhost", "/big.bin", "Range", "bytes=1048576-3145727")
	if resp.StatusCode != 206 || !bytes.Equal([]byte(body), []byte(big[1048576:3145728])) {
		t.Errorf("%d, %d bytes", resp.StatusCode, len(body))
	}
}

func TestNamesWithHashes(t *testing.T) {
	for name, want := range map[string]bool{
		"app.3f9a1c2b.js": true, "main.1a2b3c4d.chunk.css": true, "assets/index-BxK3f9Zq.css": true, "chunk-5DQMZ7VN.js": true,
		"logo.5d5d9eefa31e5e13a6610d9fa7a283bb.svg": true, "_next/static/chunks/main.js": true, "_app/immutable/start.js": true,
		"app.3f9a1c2b.js.br": true, "assets/index-D_4xQ-z9.js": true,
		"app.js": false, "jquery-3.7.1.min.js": false, "my-Component.js": false, "app-settings.js": false, "file-version2.js": false,
		"photo-20240101.jpg": false, "bootstrap.bundle.min.js": false, "jquery-migrate.js": false, "index.html": false,
		"page-BxK3f9Zq.html": false, "report-BxK3f9Zq.pdf": false, "IMG-20231105.jpg": false, "sw.js": false, "deadbeef.js": false,
	} {
		if got := isHashed(name); got != want {
			t.Errorf("isHashed(%q) = %v", name, got)
		}
	}
}

func FuzzAcceptEncoding(f *testing.F) {
	f.Add("gzip;q=0.5, br")
	f.Fuzz(func(t *testing.T, s string) {
		accepts := acceptEncoding([]string{s})
		if accepts("br") && !strings.Contains(strings.ToLower(s), "br") && !strings.Contains(s, "*") {
			t.Errorf("%q accepts br", s)
		}
	})
}

func FuzzPaths(f *testing.F) {
	w := startWorld(f, false)
	w.publish("p1", page)
	f.Add("/docs/%2e%2e/index.html")
	f.Fuzz(func(t *testing.T, path string) {
		r, err := http.NewRequest("GET", "http://demo.localhost/"+path, nil)
		if err != nil {
			t.Skip()
		}
		resp, body := ask(t, w.sites, "GET", "demo.localhost", r.URL.RequestURI())
		if resp.StatusCode != 200 {
			return
		}
		for _, known := range page {
			if body == known {
				return
			}
		}
		t.Errorf("GET %q answers %q, which is no object of the site", path, body)
	})
}
