// Package site measures, in one run on one machine, what a person waits for:
// a site of many small files deployed to a region and deployed again unchanged,
// beside `aws s3 sync` of the same folder to the same region's S3 endpoint; and
// how long each process takes to start and what memory it holds when idle.
//
//	make build && cd bench && go run ./peers site -showrunner ../bin/showrunner
//
// The budget is on the deployment: what the stage deploy-site does with the
// artifact of a build. What it takes from the folder, reading it into the
// artifact store included, is printed beside it, since that is what the command
// starts from. Each figure is the median of the rounds.
package site

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/bench/command"
	"showrunner/bench/environment"
	"showrunner/cloud"
	"showrunner/cloud/localcloud"
	"showrunner/pipeline"
	"showrunner/server"
)

// The budgets of the design.
const (
	budgetFirst     = 5.0  // times faster than aws s3 sync
	budgetUnchanged = 10.0 // as above
	budgetControl   = 300 * time.Millisecond
	budgetUp        = 1500 * time.Millisecond
	budgetMemory    = 64 << 20 // of control, and of each region
)

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("peers site", flag.ExitOnError)
	exe := command.ProgramFlag(flags)
	files := flags.Int("files", 2000, "small files in the site")
	rounds := flags.Int("rounds", 1, "rounds; medians are reported")
	asJSON := flags.Bool("json", false, "print the figures as JSON")
	check := flags.Bool("check", false, "exit 1 when a budget is missed")
	_ = flags.Parse(args) // the flag set exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	f, err := measure(ctx, *exe, *files, *rounds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(2)
	}
	if *asJSON {
		err = json.NewEncoder(os.Stdout).Encode(f)
	} else {
		f.print(os.Stdout)
	}
	if err != nil || *check && len(f.Missed) > 0 {
		os.Exit(1)
	}
}

// figures are the result; durations are in seconds.
type figures struct {
	Up              float64            `json:"upSeconds"`
	Start           map[string]float64 `json:"startSeconds"`
	Memory          map[string]int64   `json:"idleBytes"`
	Files           int                `json:"files"`
	First           float64            `json:"folderFirstSeconds"`     // from the folder: artifact and deployment
	Unchanged       float64            `json:"folderUnchangedSeconds"` // as above
	FirstDeploy     float64            `json:"firstSeconds"`           // the deployment alone
	UnchangedDeploy float64            `json:"unchangedSeconds"`
	SyncFirst       float64            `json:"awsSyncFirstSeconds,omitempty"`
	SyncUnchanged   float64            `json:"awsSyncUnchangedSeconds,omitempty"`
	RatioFirst      float64            `json:"ratioFirst,omitempty"` // of the deployment
	RatioUnchanged  float64            `json:"ratioUnchanged,omitempty"`
	Missed          []string           `json:"missedBudgets,omitempty"`
}

func measure(ctx context.Context, exe string, files, rounds int) (*figures, error) {
	dir, err := os.MkdirTemp("", "bench-site-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if exe, err = command.Program(ctx, exe, dir); err != nil {
		return nil, err
	}
	f := &figures{Files: files, Start: map[string]float64{}, Memory: map[string]int64{}}
	whole, err := startWhole(ctx, exe, filepath.Join(dir, "data"), f)
	if err != nil {
		return nil, err
	}
	defer whole.stop()
	if err := f.sites(ctx, dir, rounds); err != nil {
		return nil, err
	}
	f.judge()
	return f, nil
}

const region = "us-west-2"

// whole is control, edge and three regions.
type whole struct {
	cancel context.CancelFunc
	result chan error
}

func (w *whole) stop() {
	w.cancel()
	<-w.result
}

// startWhole starts all processes, and records the duration and the memory of
// each process a moment later.
func startWhole(ctx context.Context, exe, data string, f *figures) (*whole, error) {
	listen, edge, err := environment.FreePorts()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &whole{cancel: cancel, result: make(chan error, 1)}
	events := make(chan server.Event, 100)
	began := time.Now()
	o := server.Options{Data: data, Exe: exe, Processes: server.Processes(data, listen, edge, []string{region, "us-east-1", "eu-west-1"}, nil)}
	o.Report = func(e server.Event) {
		select {
		case events <- e:
		default: // only the start is measured
		}
	}
	go func() { w.result <- server.Supervise(ctx, o) }()
	pids := map[string]int{}
	for len(pids) < len(o.Processes) {
		select {
		case e := <-events:
			if e.State == server.Ready {
				pids[e.Process], f.Start[e.Process] = e.PID, e.Took.Seconds()
			}
		case err := <-w.result:
			cancel()
			return nil, fmt.Errorf("showrunner did not start: %w", err)
		}
	}
	f.Up = time.Since(began).Seconds()
	select { // the memory that only the start needed has been released by then
	case <-time.After(3 * time.Second):
	case <-ctx.Done():
	}
	for name, pid := range pids {
		if f.Memory[name], err = resident(pid); err != nil {
			w.stop()
			return nil, err
		}
	}
	return w, nil
}

// resident is the resident memory of a process, private and shared, in bytes.
func resident(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
	return kb << 10, err
}

// sites measures deployments.
func (f *figures) sites(ctx context.Context, dir string, rounds int) error {
	data := filepath.Join(dir, "data")
	client, err := localcloud.NewClient(localcloud.ClientConfig{Regions: []localcloud.Endpoint{{Region: region, Data: data}}})
	if err != nil {
		return err
	}
	defer client.Close()
	store, err := artifact.Open(filepath.Join(data, "artifacts"))
	if err != nil {
		return err
	}
	aws, err := newAWS(ctx, client, data)
	if err != nil {
		return err
	}
	took := map[string][]float64{}
	for round := range rounds {
		site := fmt.Sprint("bench-", round)
		folder := filepath.Join(dir, site)
		if err := writeSite(folder, f.Files, uint64(round)); err != nil {
			return err
		}
		for _, what := range []string{"first", "unchanged"} {
			key := site + what
			if err := timed(took, what, func() error { return publish(ctx, client, store, folder, site, key, took, what) }); err != nil {
				return err
			}
		}
		if aws == nil {
			continue
		}
		if err := aws.run("s3", "mb", "s3://"+site+"-aws"); err != nil {
			return err
		}
		for _, what := range []string{"aws first", "aws unchanged"} {
			if err := timed(took, what, func() error { return aws.run("s3", "sync", "--only-show-errors", folder, "s3://"+site+"-aws/") }); err != nil {
				return err
			}
		}
	}
	f.First, f.Unchanged = median(took["first"]), median(took["unchanged"])
	f.FirstDeploy, f.UnchangedDeploy = median(took["deploy first"]), median(took["deploy unchanged"])
	if aws != nil {
		f.SyncFirst, f.SyncUnchanged = median(took["aws first"]), median(took["aws unchanged"])
		f.RatioFirst, f.RatioUnchanged = f.SyncFirst/f.FirstDeploy, f.SyncUnchanged/f.UnchangedDeploy
	}
	return nil
}

func timed(took map[string][]float64, what string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	took[what] = append(took[what], time.Since(began).Seconds())
	return nil
}

func publish(ctx context.Context, client *localcloud.Client, store *artifact.Store, folder, site, key string, took map[string][]float64, what string) error {
	ref, _, err := store.PutDir(ctx, folder, nil)
	if err != nil {
		return err
	}
	request := cloud.PublishRequest{Config: pipeline.DeploySite{Site: site}, Artifact: ref, Version: key}
	return timed(took, "deploy "+what, func() error {
		_, err := client.Publish(ctx, region, request, key, func(int, int) {})
		return err
	})
}

// writeSite makes files of 0.5 to 8 kB, different in every round.
func writeSite(dir string, n int, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("assets/%02d/file-%04d.txt", i%25, i))
		if i == 0 {
			name = filepath.Join(dir, "index.html")
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		text := make([]byte, 512+r.IntN(7*1024+512))
		for j := range text {
			text[j] = byte('a' + r.IntN(26))
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// awsCommand is the peer's command.
type awsCommand struct {
	ctx      context.Context
	exe      string
	endpoint string
	env      []string
}

// newAWS returns nil where the command is not installed; the comparison is then
// left out, with a message.
func newAWS(ctx context.Context, client *localcloud.Client, data string) (*awsCommand, error) {
	exe, err := exec.LookPath("aws")
	if err != nil {
		fmt.Fprintln(os.Stderr, "site: the aws command is not installed; nothing to compare with")
		return nil, nil
	}
	info, err := client.Info(ctx, region)
	if err != nil {
		return nil, err
	}
	env := append(os.Environ(), "AWS_SHARED_CREDENTIALS_FILE="+localcloud.CredentialsFile(data), "AWS_CONFIG_FILE="+os.DevNull,
		"AWS_DEFAULT_REGION="+region, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=")
	env = slices.DeleteFunc(env, func(e string) bool {
		return strings.HasPrefix(e, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(e, "AWS_SECRET_ACCESS_KEY=") || strings.HasPrefix(e, "AWS_PROFILE=")
	})
	return &awsCommand{ctx: ctx, exe: exe, endpoint: info.S3, env: env}, nil
}

func (c *awsCommand) run(args ...string) error {
	cmd := exec.CommandContext(c.ctx, c.exe, append([]string{"--endpoint-url", c.endpoint}, args...)...)
	cmd.Env = c.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("aws %s: %w: %s", strings.Join(args, " "), err, out.Bytes())
	}
	return nil
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// judge compares the figures with the budgets.
func (f *figures) judge() {
	miss := func(missed bool, format string, args ...any) {
		if missed {
			f.Missed = append(f.Missed, fmt.Sprintf(format, args...))
		}
	}
	miss(f.Up > budgetUp.Seconds(), "the whole was ready after %.2f s, budget %s", f.Up, budgetUp)
	miss(f.Start["control"] > budgetControl.Seconds(), "control was ready after %.2f s, budget %s", f.Start["control"], budgetControl)
	for name, bytes := range f.Memory {
		miss(name != "edge" && bytes > budgetMemory, "%s holds %d MB, budget %d MB", name, bytes>>20, budgetMemory>>20)
	}
	if f.SyncFirst > 0 {
		miss(f.RatioFirst < budgetFirst, "a first deployment is %.1f times as fast as aws s3 sync, budget %.0f", f.RatioFirst, budgetFirst)
		miss(f.RatioUnchanged < budgetUnchanged, "an unchanged one is %.1f times as fast, budget %.0f", f.RatioUnchanged, budgetUnchanged)
	}
}

func (f *figures) print(w io.Writer) {
	fmt.Fprintf(w, "whole up ready        %8.3f s\n", f.Up)
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range f.Start {
			if !yield(n) {
				return
			}
		}
	}) {
		fmt.Fprintf(w, "  %-20s %7.3f s   idle %5.1f MB\n", name, f.Start[name], float64(f.Memory[name])/(1<<20))
	}
	fmt.Fprintf(w, "site of %d files\n", f.Files)
	row := func(what string, deploy, folder, sync, ratio float64) {
		fmt.Fprintf(w, "  %-10s deployment %8.3f s   aws s3 sync %8.3f s   ratio %6.1f   (from the folder %.3f s, ratio %.1f)\n",
			what, deploy, sync, ratio, folder, sync/folder)
	}
	row("first", f.FirstDeploy, f.First, f.SyncFirst, f.RatioFirst)
	row("unchanged", f.UnchangedDeploy, f.Unchanged, f.SyncUnchanged, f.RatioUnchanged)
	for _, m := range f.Missed {
		fmt.Fprintln(w, "MISSED:", m)
	}
}
