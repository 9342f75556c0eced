package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/cloud"
	"showrunner/examples"
	"showrunner/internal/loadtest"
	"showrunner/problem"
	"showrunner/server"
)

func newDemoCommand(a *app) *cobra.Command {
	var o upOptions
	var site string
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start everything, deliver the example application, keep it running",
		Long: `Demo shows the whole loop on this machine; nothing else is spoken to.

  1. It starts the control plane, the edge and three local regions (see up).
  2. It lays the example application out in a Git repository of its own, in the
     data folder: storefront, a website and a Go service (with --site npm the site
     of the article, which npm builds). Its application is called demo, so that a
     storefront of your own stays apart from it.
  3. It applies its showrunner.yaml and runs it: build, website in two waves of
     regions, service as a canary. A first build takes up to a minute.
  4. It keeps everything running under a small load, and says what happens: edit a
     file there and commit, roll back, kill an instance or a region's process.

Ctrl-C stops everything. The next start goes on where it was: nothing is delivered
again, a rollback stays. To begin anew, remove the data folder.

It needs git, and go (or npm with --site npm). Default addresses that are taken
are replaced by free ones; other commands find it by its data folder.`,
		Example: "  showrunner demo\n  showrunner demo --site npm\n  showrunner demo --data /tmp/try --listen 127.0.0.1:7171 --edge 127.0.0.1:8181",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.newDemo(site)
			if err != nil {
				return err
			}
			a.say("Starting the control plane, the edge and %d regions; data in %s", len(o.regions), a.data)
			if err := a.freePorts(cmd, &o); err != nil {
				return err
			}
			if o.aws, err = server.CheckAWS(o.aws); err != nil {
				return usage("%v", err)
			}
			delivered := errors.New("delivered")
			err = a.up(cmd.Context(), o, func(ctx context.Context) error {
				return d.show(ctx, o, once, delivered)
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

// show delivers the example unless that was done at an earlier start, and then
// tells what happens until ctx ends. With once it ends by answering delivered.
func (d *demo) show(ctx context.Context, o upOptions, once bool, delivered error) error {
	c := d.a.connect()
	position, err := d.a.logEnd(ctx, c)
	if err != nil {
		return err
	}
	err = d.deliver(ctx, c, o)
	switch {
	case once && err != nil:
		return err
	case once:
		return delivered
	case ctx.Err() != nil:
		return ctx.Err()
	case exitCode(err) == exitFailed, exitCode(err) == exitRolledBack:
		d.a.say("The delivery failed, for the reason above. Everything keeps running: mend it and commit.")
	case err != nil:
		return err
	}
	d.next(ctx, c, o)
	var work sync.WaitGroup
	work.Go(func() { d.load(ctx, o) })
	work.Go(func() { d.a.tell(ctx, c, position, d.reported) })
	work.Go(func() { d.a.tellFleet(ctx, c) })
	work.Wait()
	return nil
}

// demo is the delivery of one example.
type demo struct {
	a       *app
	name    string   // of the example
	folder  string   // its repository
	site    string   // what its file calls them, once it is read
	address []string // of the site and the service
	// reported is the run that has been watched, which is not told of again.
	reported string
}

func (a *app) newDemo(site string) (*demo, error) {
	d := &demo{a: a}
	switch site {
	case "storefront":
		d.name = examples.Storefront
		if _, err := exec.LookPath("go"); err != nil {
			return nil, problem.New(problem.Precondition, "demo", "the example's service is built with Go, and no go command is there").
				WithHelp("install Go, or try `showrunner demo --site npm` with Node")
		}
	case "npm":
		d.name = examples.NPM
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
	back := "  then go back: showrunner rollback --site " + d.site + "\n"
	if d.earlier(ctx, c) {
		back = "  showrunner rollback --site " + d.site + "\n"
	}
	fmt.Fprintf(d.a.Err, `  %s%s   (pages; this link signs you in once)
%s
Try next:
  edit a file in %s and commit it: it arrives by itself
%s  showrunner executions list
  Ctrl-C stops everything; `+"`showrunner demo`"+` goes on where it was
`, c.Base(), link.Path, d.a.awsText(o), d.folder, back)
	if flag := d.a.dataFlag(); flag != "" {
		fmt.Fprintf(d.a.Err, "  (add%s to these commands)\n", flag)
	}
	fmt.Fprintln(d.a.Err, "\nWhat happens from now on is told here.")
}

// earlier tells whether the example's site has a deployment to go back to.
func (d *demo) earlier(ctx context.Context, c *client.Client) bool {
	var deployments []cloud.SiteDeployment
	if err := c.Do(ctx, http.MethodGet, "/sites/"+seg(d.site)+"/deployments", nil, &deployments); err != nil {
		return false
	}
	return slices.ContainsFunc(deployments, func(d cloud.SiteDeployment) bool { return d.Current && d.Previous != "" })
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
