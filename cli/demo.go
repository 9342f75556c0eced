package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/control"
	"showrunner/examples"
	"showrunner/internal/loadtest"
	"showrunner/problem"
)

func newDemoCommand(a *app) *cobra.Command {
	var o upOptions
	var site string
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start everything, deliver the example application, keep it running",
		Long: `Demo starts everything (see up), lays the example application out in a Git
repository of its own, delivers it into three local regions, and keeps it running
under a small load. Edit a file there and commit: the change arrives by itself.

--site npm delivers the site of the article instead, which npm builds.`,
		Example: "  showrunner demo\n  showrunner demo --site npm",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.newDemo(site)
			if err != nil {
				return err
			}
			if err := a.freePorts(cmd, &o); err != nil {
				return err
			}
			delivered := errors.New("delivered")
			err = a.up(cmd.Context(), o, func(ctx context.Context) error {
				if err := d.deliver(ctx, o); err != nil {
					return err
				}
				if once {
					return delivered
				}
				d.load(ctx, o)
				return nil
			})
			if errors.Is(err, delivered) || err != nil && cmd.Context().Err() != nil {
				return nil
			}
			return err
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&site, "site", "storefront", "what to deliver: storefront, or npm for the article's site")
	cmd.Flags().BoolVar(&once, "once", false, "stop everything once it is delivered")
	return cmd
}

// demo is the delivery of one example.
type demo struct {
	a       *app
	name    string // of the example
	folder  string // its repository
	address []string
}

func (a *app) newDemo(site string) (*demo, error) {
	d := &demo{a: a}
	switch site {
	case "storefront":
		d.name, d.address = examples.Storefront, []string{"storefront", "storefront-prod"}
		if _, err := exec.LookPath("go"); err != nil {
			return nil, problem.New(problem.Precondition, "demo", "the example's service is built with Go, and no go command is there").
				WithHelp("install Go, or try `showrunner demo --site npm` with Node")
		}
	case "npm":
		d.name, d.address = examples.NPM, []string{"netflix-demo"}
		if _, err := exec.LookPath("npm"); err != nil {
			return nil, problem.New(problem.Precondition, "demo", "this site is built with npm, and no npm command is there").
				WithHelp("install Node, or try `showrunner demo`")
		}
	default:
		return nil, usage("unknown site %q", site).WithHelp("storefront or npm")
	}
	if _, err := exec.LookPath("git"); err != nil {
		return nil, problem.New(problem.Precondition, "demo", "no git command is there").WithHelp("install git")
	}
	d.folder = filepath.Join(a.data, "demo", d.name)
	return d, nil
}

// freePorts replaces default addresses that are taken; those asked for by name stay.
func (a *app) freePorts(cmd *cobra.Command, o *upOptions) error {
	for _, f := range []struct {
		name    string
		address *string
	}{{"listen", &o.listen}, {"edge", &o.edge}} {
		l, err := net.Listen("tcp", *f.address)
		if err == nil {
			l.Close()
			continue
		}
		if cmd.Flags().Changed(f.name) {
			return problem.Wrap(err, problem.Conflict, "demo", "--%s", f.name).WithHelp("choose another address")
		}
		l, err = net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return problem.Wrap(err, problem.Unavailable, "demo", "finding a free port")
		}
		a.say("%s is taken; using %s", *f.address, l.Addr())
		*f.address = l.Addr().String()
		l.Close()
	}
	return nil
}

// deliver makes the repository, hands its pipeline file over, and watches the run.
func (d *demo) deliver(ctx context.Context, o upOptions) error {
	commit, err := d.repository(ctx)
	if err != nil {
		return err
	}
	c := d.a.connect()
	file := filepath.Join(d.folder, "showrunner.yaml")
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var applied control.Applied
	if err := c.Do(ctx, http.MethodPost, "/apply", api.ApplyRequest{Name: file, Source: string(source), Base: d.folder}, &applied); err != nil {
		return err
	}
	var started api.Started
	err = c.Do(ctx, http.MethodPost, "/applications/"+seg(applied.Application)+"/pipelines/release/executions",
		control.RunRequest{Trigger: map[string]string{"message": "showrunner demo"}}, &started, client.IdempotencyKey("demo/"+commit))
	if err != nil {
		return err
	}
	d.a.say("\ndelivering %s at %.7s into %s", d.name, commit, strings.Join(o.regions, ", "))
	if err := d.a.watch(ctx, c, started.Execution.ID, watchOptions{}); err != nil {
		return err
	}
	d.next(ctx, c, o)
	return nil
}

// repository lays the example out, once, in a Git repository, and returns its commit.
func (d *demo) repository(ctx context.Context) (string, error) {
	if _, err := os.Stat(filepath.Join(d.folder, ".git")); errors.Is(err, fs.ErrNotExist) {
		if err := examples.Copy(d.name, d.folder); err != nil {
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

// next says where to look and what to try.
func (d *demo) next(ctx context.Context, c *client.Client, o upOptions) {
	var link api.SignInLink
	if err := c.Do(ctx, http.MethodPost, "/sign-in-links", nil, &link); err != nil {
		d.a.say("no sign-in link: %v", err)
	}
	fmt.Fprintln(d.a.Err)
	for _, host := range d.address {
		fmt.Fprintf(d.a.Err, "  http://%s.%s/\n", host, atLocalhost(o.edge))
	}
	fmt.Fprintf(d.a.Err, `  %s%s   (pages; this link signs you in once)

Try next:
  edit a file in %s and commit it: it arrives by itself
  showrunner executions list
  showrunner rollback --site %s
  Ctrl-C stops everything; `+"`showrunner demo`"+` goes on where it was
`, c.Base(), link.Path, d.folder, d.address[0])
	if flag := d.a.dataFlag(); flag != "" {
		fmt.Fprintf(d.a.Err, "  (add%s to these commands)\n", flag)
	}
}

// dataFlag is what other commands need to find this data folder; empty for the default one.
func (a *app) dataFlag() string {
	if a.data == defaultData(a.Getenv) || a.Getenv("SHOWRUNNER_DATA") != "" {
		return ""
	}
	return " --data " + a.data
}

// demoRate is the load that the demo leaves running, in requests a second.
const demoRate = 10

// load asks for the example's pages until ctx ends, so that the pages have something to show.
func (d *demo) load(ctx context.Context, o upOptions) {
	targets := make([]loadtest.Target, 0, len(d.address))
	for _, host := range d.address {
		targets = append(targets, loadtest.Target{URL: "http://" + o.edge + "/", Host: host + ".localhost"})
	}
	for ctx.Err() == nil {
		loadtest.Attack(ctx, demoRate, time.Minute, targets)
	}
}
