// Package visit delivers a real Node site again and again while people visit it:
// a site as Vite's own template makes it, fetched by npm, becomes a Git
// repository; each commit changes one line; `npm ci` and `npm run build` make it,
// and three regions serve it. In the middle one region's process is killed.
//
//	make build && cd bench && go run ./load visit -showrunner ../bin/showrunner
//
// Every visitor fetches the page and everything that it refers to. A visit fails
// when anything is not answered; it is mixed when the program that it gets is not
// the page's own version, or a file is not what its name stood for before. The
// site is used as it is published, and nothing of it is part of this repository.
package visit

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"showrunner/bench/command"
	"showrunner/bench/environment"
)

const site = "vite"

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("load visit", flag.ExitOnError)
	exe := command.ProgramFlag(flags)
	deliveries := flags.Int("deliveries", 20, "commits that are delivered under traffic")
	visitors := flags.Int("visitors", 8, "visitors at a time")
	think := flags.Duration("think", 25*time.Millisecond, "between two visits of a visitor, so that the builds get their share of the machine")
	template := flags.String("template", "react", "of create-vite")
	_ = flags.Parse(args) // the flag set exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	wrong, err := run(ctx, *exe, *template, *deliveries, *visitors, *think)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "visit:", err)
		os.Exit(2)
	case len(wrong) > 0:
		fmt.Println("NOT KEPT:", strings.Join(wrong, "; "))
		os.Exit(1)
	}
	fmt.Println("KEPT: no visit failed, no page was mixed, and only what changed was uploaded")
}

func run(ctx context.Context, exe, template string, deliveries, visitors int, think time.Duration) (wrong []string, err error) {
	dir, err := os.MkdirTemp("", "visit-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	repository, err := scaffold(ctx, dir, template)
	if err != nil {
		return nil, err
	}
	w, err := environment.Start(ctx, exe, dir)
	if err != nil {
		return nil, err
	}
	defer w.Stop()
	if err := w.Apply(ctx, pipeline(repository.Dir)); err != nil {
		return nil, err
	}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}

	first, err := deliver(ctx, w, repository, "v0")
	if err != nil {
		return nil, err
	}
	same, err := deliver(ctx, w, repository, "")
	if err != nil {
		return nil, err
	}
	total := first.Uploaded + first.Unchanged
	fmt.Printf("first delivery: %d objects uploaded, %s; the same commit again: %d uploaded, %d unchanged, %s\n", first.Uploaded, first.took, same.Uploaded, same.Unchanged, same.took)
	check(same.Uploaded == 0 && same.Unchanged == total, "the same commit uploaded %d of %d objects", same.Uploaded, total)

	crowd := gather(ctx, w.Edge, visitors, think)
	killed := make(chan error, 1)
	for n := 1; n <= deliveries; n++ {
		if n == deliveries/2+1 {
			go func() { killed <- w.Kill(ctx, "region-"+environment.Regions()[1]) }()
		}
		d, err := deliver(ctx, w, repository, fmt.Sprintf("v%d", n))
		if err != nil {
			return nil, err
		}
		fmt.Printf("delivery %2d: %d uploaded, %d unchanged, %d removed, %s\n", n, d.Uploaded, d.Unchanged, d.Deleted, d.took)
		// Changes the page and the file that holds the version; the rest stays
		// the same.
		check(d.Uploaded == 2 && d.Unchanged == total-2, "delivery %d uploaded %d of %d objects, not the 2 that changed", n, d.Uploaded, total)
	}
	if deliveries > 0 {
		if err := <-killed; err != nil {
			return nil, err
		}
	}
	said, err := w.CLI(ctx, "rollback", "--site", site)
	if err != nil {
		return nil, err
	}
	check(said.Exit == 0, "the rollback ended with %d: %s", said.Exit, said.Err)
	v := crowd.leave()
	fmt.Printf("%d visits by %d visitors, %d requests (%d not modified, %d on a new connection), %d versions seen, one region killed, one rollback\n",
		v.paid, visitors, v.requests, v.notModified, v.connections, len(v.versions))
	fmt.Printf("failed %d, mixed %d; a visit took p50 %s, p99 %s, at most %s\n", len(v.failed), len(v.mixed), v.quantile(0.5), v.quantile(0.99), v.quantile(1))
	check(len(v.failed) == 0, "%d visits failed: %s", len(v.failed), some(v.failed))
	check(len(v.mixed) == 0, "%d pages were mixed: %s", len(v.mixed), some(v.mixed))
	check(len(v.versions) > deliveries/2, "only %d versions were seen", len(v.versions))
	return wrong, nil
}

func some(list []string) string { return strings.Join(list[:min(3, len(list))], ", ") }

// scaffold makes the site's repository with a fixed major version of Vite. The
// newest version's dependencies are not always available, and `npm ci` then
// refuses the lock file.
func scaffold(ctx context.Context, dir, template string) (environment.Repository, error) {
	for _, c := range [][]string{{"npm", "create", "--yes", "vite@7", site, "--", "--template", template, "--no-interactive"},
		{"npm", "install", "--package-lock-only", "--no-audit", "--no-fund", "--prefix", site}} {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return environment.Repository{}, fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	folder := filepath.Join(dir, site)
	entries, err := filepath.Glob(filepath.Join(folder, "src", "main.*"))
	if err != nil || len(entries) != 1 {
		return environment.Repository{}, fmt.Errorf("the template has no src/main: %v", err)
	}
	// The version, from one line of one file, appears in the page and in its
	// script.
	if err := edit(entries[0], func(s string) string { return s + "\nconsole.log('version ' + import.meta.env.VITE_VERSION + '.')\n" }); err != nil {
		return environment.Repository{}, err
	}
	if err := edit(filepath.Join(folder, "index.html"), func(s string) string {
		return strings.Replace(s, "</head>", "  <meta name=\"version\" content=\"%VITE_VERSION%\" />\n  </head>", 1)
	}); err != nil {
		return environment.Repository{}, err
	}
	if err := os.WriteFile(filepath.Join(folder, "buildspec.yml"), []byte(`version: 0.2
env:
  variables: { npm_config_prefer_offline: "true", npm_config_audit: "false", npm_config_fund: "false" }
phases:
  install: { commands: [ npm ci ] }
  build: { commands: [ npm run build ] }
artifacts:
  base-directory: dist
  files: [ '**/*' ]
`), 0o644); err != nil {
		return environment.Repository{}, err
	}
	return environment.NewRepository(ctx, folder)
}

func edit(name string, change func(string) string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text := change(string(raw))
	if text == string(raw) {
		return fmt.Errorf("%s is not as expected", name)
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

func pipeline(repository string) string {
	return fmt.Sprintf(`application: %s
pipelines:
  release:
    stages:
      source: { git: { url: %q, branch: main } }
      build: { needs: [source], build: {} }
      site:
        needs: [build]
        deploy-site:
          site: %s
          artifact: build
          waves: [ { regions: [%s] }, { regions: [%s] } ]
`, site, repository, site, environment.Regions()[0], strings.Join(environment.Regions()[1:], ", "))
}

// delivered is the result of one run in the region where most work was done.
type delivered struct {
	Uploaded, Unchanged, Deleted int
	took                         time.Duration
}

// deliver commits a version, "" for none, and runs the pipeline to its end.
func deliver(ctx context.Context, w *environment.World, r environment.Repository, version string) (d delivered, err error) {
	if version != "" {
		if _, err := r.Commit(ctx, ".env", "VITE_VERSION="+version+"\n"); err != nil {
			return d, err
		}
	}
	began := time.Now()
	said, err := w.CLI(ctx, "run", site+"/release", "--watch")
	if err != nil {
		return d, err
	}
	if said.Exit != 0 {
		return d, fmt.Errorf("the run ended with %d: %s%s", said.Exit, said.Out, said.Err)
	}
	d.took = time.Since(began).Round(10 * time.Millisecond)
	var e struct {
		Stages []struct {
			Name    string
			Outputs delivered
		}
	}
	if err := w.Read(ctx, &e, "executions", "show", site+"/release"); err != nil {
		return d, err
	}
	for _, s := range e.Stages {
		if s.Name == "site" {
			took := d.took
			d = s.Outputs
			d.took = took
			return d, nil
		}
	}
	return d, fmt.Errorf("the run has no stage site")
}
