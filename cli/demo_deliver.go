package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/control"
	"showrunner/examples"
	"showrunner/execution"
	"showrunner/problem"
)

// deliver hands the example's pipeline file over and has it delivered, unless it
// was at an earlier start: then what runs goes on, and stays as it is.
func (d *demo) deliver(ctx context.Context, c *client.Client, o upOptions) error {
	commit, err := d.repository(ctx)
	if err != nil {
		return err
	}
	file := filepath.Join(d.folder, "showrunner.yaml")
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var applied control.Applied
	if err := c.Do(ctx, http.MethodPost, "/apply", api.ApplyRequest{Name: file, Source: string(source), Base: d.folder}, &applied); err != nil {
		return err
	}
	if err := d.addresses(ctx, c, applied.Application); err != nil {
		return err
	}
	newest, live, err := d.runs(ctx, c, applied.Application)
	switch {
	case err != nil:
		return err
	case newest != nil && !newest.Status.Complete():
		d.reported = newest.ID
		d.a.say("\ngoing on with %s/%s #%d, which was under way", newest.Application, newest.Pipeline, newest.Number)
		return d.a.watch(ctx, c, newest.ID, watchOptions{})
	case live:
		d.a.say("\n%s was delivered before, and goes on where it was; its newest run:", applied.Application)
		d.a.say("  %s/%s #%d  %s  %s  %s", newest.Application, newest.Pipeline, newest.Number, d.a.standing(newest.Look()), ago(newest.Created), clean(revisionNote(newest)))
		return nil
	}
	var started api.Started
	err = c.Do(ctx, http.MethodPost, "/applications/"+seg(applied.Application)+"/pipelines/release/executions",
		control.RunRequest{Trigger: map[string]string{"message": "showrunner demo"}}, &started, client.IdempotencyKey("demo/"+commit+"/"+rand.Text()))
	if err != nil {
		return err
	}
	d.reported = started.Execution.ID
	d.a.say("\ndelivering %s, the example %s at %.7s, into %s; the first build takes up to a minute", applied.Application, d.name, commit, strings.Join(o.regions, ", "))
	return d.a.watch(ctx, c, started.Execution.ID, watchOptions{})
}

// addresses reads the names of the example's site and service from what was applied: its
// folder may be of an earlier version, and people edit it.
func (d *demo) addresses(ctx context.Context, c *client.Client, application string) error {
	var app control.Application
	if err := c.Do(ctx, http.MethodGet, "/applications/"+seg(application), nil, &app); err != nil {
		return err
	}
	d.site, d.address = "", nil
	for _, p := range app.Pipelines {
		for _, st := range p.Stages {
			var with struct{ Site, Cluster string }
			if json.Unmarshal(st.With, &with) != nil || with.Site+with.Cluster == "" || slices.Contains(d.address, with.Site+with.Cluster) {
				continue
			}
			if d.address = append(d.address, with.Site+with.Cluster); d.site == "" {
				d.site = with.Site
			}
		}
	}
	return nil
}

// demoName is what the application of the demo is called, in place of the example's name.
const demoName = "demo"

var exampleNames = regexp.MustCompile(`(?m)^(application:|\s*site:|\s*cluster:)( +)` + examples.Storefront)

// rename gives the example's application, site and cluster the demo's name, so that it
// stays apart from a copy of the example that somebody delivers under its own.
func (d *demo) rename() error {
	file := filepath.Join(d.folder, "showrunner.yaml")
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, exampleNames.ReplaceAll(source, []byte("${1}${2}"+demoName)), 0o644)
}

// runs are the newest run of the application, nil without any, and whether a
// release has ever succeeded.
func (d *demo) runs(ctx context.Context, c *client.Client, application string) (newest *execution.Execution, live bool, err error) {
	var page, succeeded execution.Page
	if err := c.Do(ctx, http.MethodGet, "/executions"+query("application", application, "limit", "1"), nil, &page); err != nil {
		return nil, false, err
	}
	if len(page.Executions) == 0 {
		return nil, false, nil
	}
	err = c.Do(ctx, http.MethodGet, "/executions"+query("application", application, "pipeline", "release", "status", string(execution.Succeeded), "limit", "1"), nil, &succeeded)
	return &page.Executions[0], len(succeeded.Executions) > 0, err
}

func revisionNote(e *execution.Execution) string {
	if e.Revision == nil {
		return ""
	}
	return revisionText(e.Revision, e.By)
}

// repository lays the example out, once, in a Git repository, and returns its commit.
func (d *demo) repository(ctx context.Context) (string, error) {
	if _, err := os.Stat(filepath.Join(d.folder, ".git")); errors.Is(err, fs.ErrNotExist) {
		if err := examples.Copy(d.name, d.folder); err != nil {
			return "", err
		}
		if err := d.rename(); err != nil {
			return "", err
		}
		for _, args := range [][]string{
			{"init", "--quiet", "--initial-branch=main"},
			{"add", "--all"},
			{"-c", "user.name=Showrunner demo", "-c", "user.email=demo@localhost", "commit", "--quiet", "--message=The example application"},
		} {
			if _, err := d.git(ctx, args...); err != nil {
				return "", err
			}
		}
	}
	return d.git(ctx, "rev-parse", "HEAD")
}

func (d *demo) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", d.folder}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", problem.Wrap(err, problem.Precondition, "demo", "git %s: %s", args[0], strings.TrimSpace(string(out))).
			WithHelp("remove %s and start the demo again", d.folder)
	}
	return strings.TrimSpace(string(out)), nil
}
