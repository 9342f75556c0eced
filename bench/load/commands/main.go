// Package commands exercises every command for what runs from outside: the built
// program as `showrunner up` runs it, its command line, and what the fleet is
// seen to do afterwards. Each line is one command with what it had to show.
//
//	make build && cd bench && go run ./load commands -showrunner ../bin/showrunner
package commands

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"showrunner/bench/command"
	"showrunner/bench/world"
	"showrunner/cloud"
)

const cluster = "fleet"

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("load commands", flag.ExitOnError)
	exe := command.ProgramFlag(flags)
	verbose := flags.Bool("v", false, "print what each command said")
	_ = flags.Parse(args) // it exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := run(ctx, *exe, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "commands:", err)
		os.Exit(2)
	}
	word := "KEPT"
	if s.wrong > 0 {
		word = "NOT KEPT"
	}
	fmt.Printf("%s: %d commands, %d things wrong\n", word, s.commands, s.wrong)
	if s.wrong > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, exe string, verbose bool) (*session, error) {
	dir, err := os.MkdirTemp("", "commands-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	w, err := world.Start(ctx, exe, dir)
	if err != nil {
		return nil, err
	}
	s := &session{World: w, verbose: verbose}
	err = s.all(ctx)
	w.Stop()
	if err == nil {
		err = world.Until(ctx, 5*time.Second, "everything has ended", func() error {
			if list := w.Processes(); len(list) > 0 {
				return fmt.Errorf("%v", list)
			}
			return nil
		})
	}
	return s, err
}

// session is a person at a terminal who looks at what the commands did.
type session struct {
	*world.World
	verbose         bool
	commands, wrong int
	repository      world.Repository
}

func (s *session) fail(format string, args ...any) {
	s.wrong++
	fmt.Printf("  WRONG: "+format+"\n", args...)
}

// say runs a command that has to end with an exit code and to hold every text.
func (s *session) say(ctx context.Context, command string, exit int, texts ...string) string {
	s.commands++
	said, err := s.CLI(ctx, strings.Fields(command)...)
	all := said.Out + said.Err
	first, _, _ := strings.Cut(strings.TrimSpace(all), "\n")
	fmt.Printf("%-3d %-62s %.110s\n", said.Exit, command, first)
	if s.verbose {
		fmt.Println(all)
	}
	if err != nil {
		s.fail("%v", err)
	}
	if said.Exit != exit {
		s.fail("exit %d, not %d: %s", said.Exit, exit, all)
	}
	for _, text := range texts {
		if !strings.Contains(all, text) {
			s.fail("it does not say %q: %s", text, all)
		}
	}
	return said.Out
}

// see waits until the fleet is as it has to be.
func (s *session) see(ctx context.Context, what string, ok func([]cloud.ServerGroup) error) {
	if err := world.Until(ctx, 30*time.Second, what, func() error { return ok(s.Groups(ctx, cluster)) }); err != nil {
		s.fail("%v", err)
	}
}

// deliver commits a version and delivers it; it answers with the commit.
func (s *session) deliver(ctx context.Context, version, pipeline string) string {
	commit, err := s.repository.Commit(ctx, "version", version)
	if err != nil {
		s.fail("%v", err)
		return ""
	}
	s.say(ctx, "run "+cluster+"/"+pipeline+" --watch", 0, commit)
	return commit
}

func (s *session) all(ctx context.Context) error {
	var err error
	if s.repository, err = world.NewRepository(ctx, filepath.Join(s.Dir, "repository")); err != nil {
		return err
	}
	if err := world.Service(ctx, s.repository.Dir); err != nil {
		return err
	}
	if err := s.Apply(ctx, pipelines(s.repository.Dir, time.Now().UTC())); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		do   func(context.Context)
	}{{"deliver", s.delivering}, {"capacity", s.capacity}, {"instances", s.instances}, {"traffic", s.traffic}, {"rollback", s.rollback}, {"drift", s.drift}, {"gates", s.gates}} {
		fmt.Println("--", part.name)
		part.do(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// pipelines has one that deploys at any time, one in a window that is closed
// now in its own zone, and one that waits for people.
func pipelines(repository string, now time.Time) string {
	deploy := fmt.Sprintf(`deploy:
          cluster: %s
          artifact: source
          command: [./service]
          health: { path: /healthz, interval: 300ms }
          capacity: { min: 1, desired: 2, max: 5 }
          strategy: { red-black: { keep: 2, scaleDownDelay: 0s } }
          drain: 2s
          stopTimeout: 2s`, cluster)
	// Kathmandu is at +5:45: a window that is read in any other zone would be another.
	zone, err := time.LoadLocation("Asia/Kathmandu")
	if err != nil {
		zone = time.UTC
	}
	from, to := now.In(zone).Add(2*time.Hour).Format("15:04"), now.In(zone).Add(3*time.Hour).Format("15:04")
	return fmt.Sprintf(`application: %[1]s
pipelines:
  release:
    stages:
      source: { git: { url: %[2]q, branch: main } }
      service:
        needs: [source]
        %[3]s
  windowed:
    stages:
      source: { git: { url: %[2]q, branch: main } }
      service:
        needs: [source]
        windows: [ { from: %[4]q, to: %[5]q, zone: Asia/Kathmandu } ]
        %[3]s
  asked:
    stages:
      self: { approval: { instructions: Look., forbidSelf: true } }
  one:
    stages:
      yes: { approval: { instructions: Look once. } }
`, cluster, repository, deploy, from, to)
}
