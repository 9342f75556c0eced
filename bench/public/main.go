// Command public delivers a real public service from its own source by every
// strategy, and rolls it back, under load: the versions of a Go module, as the
// module proxy has them, become the commits of a bare Git repository; the
// pipeline fetches, builds and deploys each into three regions.
//
//	go build -o bin/showrunner ./cmd/showrunner && go run ./bench/public -showrunner bin/showrunner
//
// The source is used as it is published, its licence with it, and nothing of it
// is part of this repository. It fails when a request that may be repeated
// fails, when a region does not serve what was delivered, or when something is
// left behind.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"showrunner/bench/world"
)

const cluster = "httpbin"

// releases are what is delivered, in this order; the first has nothing before it.
var releases = []struct{ strategy, version string }{
	{"red-black", "v2.22.0"}, {"none", "v2.22.1"}, {"highlander", "v2.23.1"}, {"red-black", "v2.24.0"}, {"rolling", "v2.25.0"}, {"canary", "v2.26.0"},
}

var strategies = map[string]string{
	"none": "none: {}", "highlander": "highlander: {}", "red-black": "red-black: { scaleDownDelay: 1s }",
	"rolling": "rolling: { pause: 500ms, scaleDownDelay: 1s }", "canary": "canary: { steps: [5, 25, 50], pause: 1s, scaleDownDelay: 1s, judge: { maxErrorRate: 0.05 } }",
}

func main() {
	exe := flag.String("showrunner", "bin/showrunner", "the program to try")
	module := flag.String("module", "github.com/mccutchen/go-httpbin/v2", "the module of the service")
	rate := flag.Int("rate", 500, "requests a second that may be repeated")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	wrong, err := run(ctx, *exe, *module, *rate)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench/public:", err)
		os.Exit(2)
	case wrong > 0:
		fmt.Println("NOT KEPT:", wrong, "things wrong")
		os.Exit(1)
	}
	fmt.Println("KEPT: every strategy delivered, every rollback returned, no repeatable request failed, nothing left")
}

func run(ctx context.Context, exe, module string, rate int) (wrong int, err error) {
	dir, err := os.MkdirTemp("", "public-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	w, err := world.Start(ctx, exe, dir)
	if err != nil {
		return 0, err
	}
	d := &delivery{World: w, rate: rate, commits: map[string]string{}}
	err = d.all(ctx, module)
	w.Stop()
	if err != nil {
		return d.wrong, err
	}
	d.check(world.Until(ctx, 5*time.Second, "everything has ended", func() error {
		if list := w.Processes(); len(list) > 0 {
			return fmt.Errorf("%v", list)
		}
		return nil
	}))
	return d.wrong, nil
}

// source puts a version of the module into the work tree, as it was published.
func source(ctx context.Context, module, version, tree string) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	cmd.Dir = os.TempDir() // outside any module
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go mod download %s@%s: %w: %s", module, version, err, out)
	}
	var at struct{ Dir string }
	if err := json.Unmarshal(out, &at); err != nil {
		return err
	}
	entries, err := os.ReadDir(tree)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != ".git" {
			if err := os.RemoveAll(filepath.Join(tree, e.Name())); err != nil {
				return err
			}
		}
	}
	if _, err := os.Stat(filepath.Join(at.Dir, "LICENSE")); err != nil {
		return fmt.Errorf("%s@%s: %w", module, version, err)
	}
	return filepath.WalkDir(at.Dir, func(path string, e fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(at.Dir, path)
		if err != nil || relErr != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(tree, rel), 0o755) // the module cache's own folders are read-only
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(tree, rel), text, 0o644)
	})
}

func pipelines(repository string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "application: %s\npipelines:\n", cluster)
	for name, text := range strategies {
		fmt.Fprintf(&b, `  %s:
    stages:
      source: { git: { url: %q, branch: main } }
      build:
        needs: [source]
        build:
          env: { CGO_ENABLED: "0", GOFLAGS: -mod=mod }
          inline: |
            version: 0.2
            phases: { build: { commands: [ "go build -trimpath -o service ./cmd/go-httpbin" ] } }
            artifacts: { files: [ service, LICENSE ] }
      service:
        needs: [build]
        deploy:
          cluster: %s
          artifact: build
          command: [./service]
          health: { path: /status/200, interval: 500ms }
          capacity: { min: 2, desired: 2, max: 6 }
          strategy: { %s }
          waves: [ { regions: [%s], bake: 500ms }, { regions: [%s] } ]
`, name, repository, cluster, text, world.Regions()[0], strings.Join(world.Regions()[1:], ", "))
	}
	return b.String()
}
