package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"showrunner/problem"
	"showrunner/server"
)

// defaultRegions are the local regions that there are unless others are asked for.
var defaultRegions = []string{"us-west-2", "us-east-1", "eu-west-1"}

// upOptions are the addresses of a whole.
type upOptions struct {
	passEnv      []string // names of variables that regions and instances have of ours
	listen, edge string
	aws          string // empty: no AWS-compatible endpoint
	regions      []string
	database     string
	keeps        []string // flags of the control plane alone that were given
}

func (o *upOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:7070", "the control plane's address: API and pages")
	f.StringVar(&o.edge, "edge", "127.0.0.1:8080", "the edge's address: sites and services")
	f.StringVar(&o.aws, "aws", server.DefaultAWS, "the AWS-compatible endpoint's address, or the next free port after it; off for none")
	f.StringSliceVar(&o.regions, "regions", slices.Clone(defaultRegions), "local regions, the nearest first")
	f.StringSliceVar(&o.passEnv, "pass-env", nil, "names of variables of this shell that regions and their instances have too (default: PATH, LANG, LC_ALL and TZ alone)")
	f.StringVar(&o.database, "database", "", "PostgreSQL URL for the control plane's state (default: SQLite in the data folder)")
}

func newUpCommand(a *app) *cobra.Command {
	var o upOptions
	keeps := pflag.NewFlagSet("keeps", pflag.ContinueOnError)
	keepFlags(keeps, &server.ControlConfig{})
	var reach server.ControlConfig
	reachFlags(keeps, &reach)
	placeFlags(keeps, &server.ControlConfig{})
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the control plane, the edge and the local regions",
		Long: `Up starts everything on this machine as separate processes, and starts again
what dies: the control plane (API and pages), the edge (one address for sites and
services) and the local regions. It runs until it is interrupted, and then stops
everything in order. Killing the control plane never touches traffic.`,
		Example: "  showrunner up\n  showrunner up --data /tmp/try --listen 127.0.0.1:7171 --edge 127.0.0.1:8181",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			keeps.VisitAll(func(f *pflag.Flag) {
				switch list, several := f.Value.(pflag.SliceValue); {
				case several && f.Changed:
					o.keeps = append(o.keeps, "--"+f.Name+"="+strings.Join(list.GetSlice(), ","))
				case f.Changed:
					o.keeps = append(o.keeps, "--"+f.Name+"="+f.Value.String())
				}
			})
			if o.listen, err = fixedPort(o.listen); err == nil {
				o.edge, err = fixedPort(o.edge)
			}
			if err == nil {
				o.aws, err = server.CheckAWS(o.aws)
			}
			if err != nil {
				return usage("%v", err)
			}
			if _, err := server.CheckURL(reach.URL); err != nil {
				return err
			}
			return a.up(cmd.Context(), o, func(context.Context) error {
				a.upText(o)
				return nil
			})
		},
	}
	o.flags(cmd)
	cmd.Flags().AddFlagSet(keeps)
	return cmd
}

func (a *app) upText(o upOptions) {
	fmt.Fprintf(a.Err, `
Showrunner is up.
  pages     http://%[1]s   (sign in with the link of: showrunner%[2]s open)
  sites     http://SITE.%[3]s   services http://CLUSTER.%[3]s
%[4]s  next      showrunner%[2]s apply -f showrunner.yaml && showrunner%[2]s run APP/PIPELINE --watch
  stop      Ctrl-C
`, o.listen, a.dataFlag(), atLocalhost(o.edge), a.awsText(o))
}

// awsText says how clients of AWS use the endpoint; nothing when there is none.
func (a *app) awsText(o upOptions) string {
	if o.aws == "" {
		return ""
	}
	address, err := server.AWSAddress(a.data)
	if err != nil {
		return ""
	}
	taken := ""
	if address != o.aws && !strings.HasSuffix(o.aws, ":0") {
		taken = fmt.Sprintf(", since %s was taken", o.aws)
	}
	flag := a.dataFlag()
	return fmt.Sprintf("  AWS       eval \"$(showrunner%s aws env)\"   or: showrunner%s aws -- s3 ls   (http://%s%s)\n", flag, flag, address, taken)
}

// up supervises the whole until ctx ends; ready is called once when everything
// has become ready, and its error ends the whole.
func (a *app) up(ctx context.Context, o upOptions, ready func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	processes := server.Processes(a.data, o.listen, o.edge, o.regions, o.passEnv)
	processes[0].Args = append(processes[0].Args, o.keeps...)
	if o.aws != "" {
		processes[0].Args = append(processes[0].Args, "--aws", o.aws)
	}
	if o.database != "" {
		// In the environment, since it may hold a password and arguments can be seen by all.
		processes[0].Env = append(processes[0].Env, "SHOWRUNNER_DATABASE="+o.database)
	}
	waiting := map[string]bool{}
	for _, p := range processes {
		waiting[p.Name] = true
	}
	print := server.PrintEvents(a.Err)
	var once sync.Once
	var readyErr error
	var work sync.WaitGroup
	level := slog.LevelWarn
	before := func() error { return errors.Join(o.portsFree(), server.ForgetAWS(a.data)) }
	options := server.Options{Data: a.data, Processes: processes, Before: before,
		Log: slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: level})),
		Report: func(e server.Event) {
			print(e)
			if e.State == server.Ready || e.State == server.Stopped {
				delete(waiting, e.Process)
			}
			if len(waiting) == 0 {
				once.Do(func() {
					work.Go(func() {
						if readyErr = ready(ctx); readyErr != nil {
							stop()
						}
					})
				})
			}
		}}
	if a.verbose {
		options.Echo = a.Err
	}
	err := server.Supervise(ctx, options)
	stop()
	work.Wait()
	if readyErr != nil {
		return readyErr
	}
	return err
}

// portsFree refuses addresses that cannot be listened on, all of them at once,
// before anything is started.
func (o upOptions) portsFree() error {
	var taken []string
	for _, f := range []struct{ flag, address string }{{"--listen", o.listen}, {"--edge", o.edge}} {
		l, err := net.Listen("tcp", f.address)
		if err == nil {
			l.Close()
			continue
		}
		why := err.Error()
		var reason syscall.Errno
		if errors.As(err, &reason) {
			why = reason.Error()
		}
		taken = append(taken, fmt.Sprintf("%s %s (%s)", f.flag, f.address, why))
	}
	if len(taken) == 0 {
		return nil
	}
	return problem.New(problem.Conflict, "up", "cannot listen at %s", strings.Join(taken, " and ")).
		WithHelp("give another address, or port 0 for a free one: --listen 127.0.0.1:0 --edge 127.0.0.1:0")
}

// atLocalhost is the edge's address with the name that browsers resolve to this machine.
func atLocalhost(address string) string {
	_, port := splitHostPort(address)
	return "localhost:" + port
}

// fixedPort takes a free port in the place of port 0: other processes are told
// the address before its owner listens, and it stays over restarts.
func fixedPort(address string) (string, error) {
	if _, port := splitHostPort(address); port != "0" {
		return address, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func splitHostPort(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, "80"
	}
	return host, port
}
