// Command pictures makes the pictures of README and docs from the gallery's canned data,
// in a Chromium of this machine:
//
//	go run ./web/gallery/pictures    (or: make pictures)
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"showrunner/web/gallery"
)

// picture is one picture: the page it is of, as it is seen.
type picture struct {
	name, path, scheme string
	width, height      int64
}

// pictures are those that README.md and docs/console.md show.
var pictures = []picture{
	{"overview", "/", "light", 1280, 800},
	{"run", "/executions/running", "light", 1280, 1000},
	{"clusters", "/clusters", "dark", 1280, 800},
	{"editor", "/applications/storefront/file?compare=repository", "dark", 1280, 900},
}

// most bounds the whole work; a browser starts slowly on a busy machine.
const most = 5 * time.Minute

func main() {
	out := flag.String("out", "docs", "folder that the pictures are written into")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	err := take(ctx, *out)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func take(ctx context.Context, out string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: gallery.Handler(gallery.Full, time.Now, gallery.NewEvents()), ReadHeaderTimeout: 10 * time.Second}
	defer server.Close()
	go server.Serve(l) //nolint:errcheck // it ends with Close, and a page that is not served fails below
	browser, err := findBrowser()
	if err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.DisableGPU)
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	for _, p := range pictures {
		raw, err := p.take(ctx, "http://"+l.Addr().String())
		if err != nil {
			return fmt.Errorf("%s: %w", p.path, err)
		}
		file := filepath.Join(out, p.name+".png")
		if err := os.WriteFile(file, raw, 0o644); err != nil {
			return err
		}
		fmt.Println(file)
	}
	return nil
}

func findBrowser() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium is in the PATH: install the package chromium")
}

func (p picture) take(ctx context.Context, address string) ([]byte, error) {
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: p.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		return nil, err
	}
	err := chromedp.Do(ctx, chromedp.EmulateViewport(p.width, p.height), chromedp.Navigate(address+p.path), chromedp.WaitReady(chromedp.CSS("main h1")))
	if err != nil {
		return nil, err
	}
	for live := false; !live; { // a page shows that it is live a moment after it is there
		if live, err = chromedp.Run(ctx, chromedp.Evaluate[bool](`new Promise(done => requestAnimationFrame(() => { const s = document.getElementById("stream"); done(!s || s.dataset.state === "live") }))`, chromedp.EvalAwaitPromise)); err != nil {
			return nil, err
		}
	}
	return chromedp.Run(ctx, chromedp.CaptureScreenshot())
}
