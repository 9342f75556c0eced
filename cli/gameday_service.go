package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/chaos/gameday"
	"showrunner/control"
	"showrunner/examples"
	"showrunner/execution"
	"showrunner/internal/loadtest"
	"showrunner/internal/pause"
	"showrunner/problem"
)

// gamedayName is the application and the cluster of a game day.
const gamedayName = "gameday"

// gamedayFile is its pipeline: the example's service, larger, and by canary.
const gamedayFile = `application: gameday
chaos: { enabled: true, duringRollouts: true, meanTimeBetweenKillsInWorkDays: 1000 } # ended on demand alone
pipelines:
  release:
    concurrency: queue
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: { spec: buildspec.yml } }
      service:
        needs: [build]
        deploy:
          cluster: gameday
          artifact: build.service
          command: [./storefront]
          health: { path: /healthz, interval: 500ms }
          capacity: { min: 2, desired: 4, max: 8 }
          strategy: { canary: { steps: [25], pause: 3s, judge: { maxErrorRate: 0.05 } } }
          waves:
            - { regions: [FIRST] }
            - { regions: [OTHERS] }
`

// gamedayService is the environment of a game day: a service in every local region,
// changed through the API as anybody would.
type gamedayService struct {
	app     *app
	client  *client.Client
	edge    string
	regions []string
	folder  string // the service's repository
	seed    uint64
	unheals atomic.Bool // whether new groups are to be kept from healing
	keys    atomic.Int64
}

// prepare delivers the service for the first time, and gives every region a share of the
// requests, so that a failure in any region is noticed.
func (g *gamedayService) prepare(ctx context.Context) error {
	if err := examples.Copy(examples.Storefront, g.folder); err != nil {
		return err
	}
	first, others := g.regions[0], strings.Join(g.regions[1:], ", ")
	text := strings.Replace(gamedayFile, "FIRST", first, 1)
	if others == "" {
		text = strings.Replace(text, "\n            - { regions: [OTHERS] }", "", 1)
	}
	file := filepath.Join(g.folder, "showrunner.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(text, "OTHERS", others, 1)), 0o644); err != nil {
		return err
	}
	if err := g.git(ctx, "init", "--quiet", "--initial-branch=main"); err != nil {
		return err
	}
	if err := g.commit(ctx, "The service of the game day"); err != nil {
		return err
	}
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var applied control.Applied
	if err := g.do(ctx, http.MethodPost, "/apply", api.ApplyRequest{Name: file, Source: string(source), Base: g.folder}, &applied); err != nil {
		return err
	}
	e, err := g.execute(ctx, g.key("first"))
	if err == nil && e.Status != execution.Succeeded {
		err = problem.New(problem.Precondition, "gameday", "the first delivery ended with status %s", e.Look()).WithHelp("run the game day with --keep, and read the logs in its data folder")
	}
	if err != nil {
		return err
	}
	weights := map[string]float64{}
	for _, r := range g.regions {
		weights[r] = 1
	}
	var list []control.EdgeRegion
	return g.do(ctx, http.MethodPatch, "/edge/weights", weights, &list)
}

// key is an idempotency key of its own, the same for the same seed.
func (g *gamedayService) key(what string) string {
	return fmt.Sprintf("gameday/%d/%s/%d", g.seed, what, g.keys.Add(1))
}

func (g *gamedayService) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", g.folder, "-c", "user.name=Game day", "-c", "user.email=gameday@localhost"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return problem.Wrap(err, problem.Precondition, "gameday", "git %s: %s", args[0], strings.TrimSpace(string(out)))
	}
	return nil
}

func (g *gamedayService) commit(ctx context.Context, message string) error {
	if err := g.git(ctx, "add", "--all"); err != nil {
		return err
	}
	return g.git(ctx, "commit", "--quiet", "--message="+message)
}

// Requests implements gameday.Environment.
func (g *gamedayService) Requests(ctx context.Context, rate int, answered func(gameday.Answer)) {
	target := func(method string, repeatable bool) []loadtest.Target {
		return []loadtest.Target{{Method: method, URL: "http://" + g.edge + "/work?ms=5", Host: gamedayName + ".localhost",
			Accept: func(status int, _ []byte) bool { return status == 200 },
			Seen: func(r loadtest.Result) {
				answered(gameday.Answer{Due: r.Due, Took: r.Took, OK: r.OK, Repeatable: repeatable, Why: whyFailed(r)})
			}}}
	}
	var both sync.WaitGroup
	both.Go(func() { loadtest.Attack(ctx, rate, 48*time.Hour, target(http.MethodGet, true)) })
	both.Go(func() { loadtest.Attack(ctx, max(1, rate/10), 48*time.Hour, target(http.MethodPost, false)) })
	both.Wait()
}

// whyFailed is the kind of a failure, without what differs between requests.
func whyFailed(r loadtest.Result) string {
	switch {
	case r.OK:
		return ""
	case r.Err == nil:
		return strconv.Itoa(r.Status)
	}
	err := r.Err
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// Deploy implements gameday.Environment: a commit that changes the service.
func (g *gamedayService) Deploy(ctx context.Context, n int) (string, error) {
	style := filepath.Join(g.folder, "site", "style.css") // a part of the service's program
	text, err := os.ReadFile(style)
	if err != nil {
		return "", problem.Wrap(err, problem.Internal, "gameday", "the service's source")
	}
	if err := os.WriteFile(style, fmt.Appendf(text, "\n/* version %d of the game day */\n", n), 0o644); err != nil {
		return "", problem.Wrap(err, problem.Unavailable, "gameday", "the service's source")
	}
	if err := g.commit(ctx, fmt.Sprintf("Version %d of the game day", n)); err != nil {
		return "", err
	}
	e, err := g.execute(ctx, g.key("deploy"))
	if err != nil {
		return "", err
	}
	what := fmt.Sprintf("run %d", e.Number)
	if e.Status != execution.Succeeded {
		return what, problem.New(problem.Precondition, "gameday", "it ended with status %s", e.Look())
	}
	if g.unheals.Load() {
		return what, g.suspend(ctx, true)
	}
	return what, nil
}

// Kill implements gameday.Environment: Chaos Monkey's kill on demand, in one region.
func (g *gamedayService) Kill(ctx context.Context, choice float64) (gameday.Effect, error) {
	var out control.ChaosNow
	region, since := pick(g.regions, choice), time.Now()
	err := g.do(ctx, http.MethodPost, "/chaos/kills", control.ChaosRequest{Application: gamedayName, Region: region, Forced: g.unheals.Load()}, &out, client.IdempotencyKey(g.key("kill")))
	return gameday.Effect{What: out.Kill.Victim.ID + " in " + region, Region: region, Since: since}, err
}

func pick[T any](list []T, choice float64) T {
	return list[min(int(choice*float64(len(list))), len(list)-1)]
}

// Zone implements gameday.Environment: a fault, which the region undoes by itself.
func (g *gamedayService) Zone(ctx context.Context, choice float64, lasts time.Duration, gone func(gameday.Effect)) error {
	list, err := g.regionsOf(ctx)
	if err != nil {
		return err
	}
	type place struct{ region, zone string }
	var places []place
	for _, r := range list {
		for _, z := range r.Zones {
			places = append(places, place{r.Name, z})
		}
	}
	if len(places) == 0 {
		return problem.New(problem.Precondition, "gameday", "no region has zones")
	}
	at, since := pick(places, choice), time.Now()
	var fault control.ChaosFault
	err = g.do(ctx, http.MethodPost, "/chaos/faults", control.FaultRequest{Kind: "zone-outage", Region: at.region, Zone: at.zone, DurationSeconds: lasts.Seconds(), DuringRollouts: true, Forced: true},
		&fault, client.IdempotencyKey(g.key("zone")))
	if err != nil {
		return err
	}
	gone(gameday.Effect{What: fmt.Sprintf("%s for %s", at.zone, lasts.Round(time.Second)), Region: at.region, Since: since})
	if err := pause.For(ctx, lasts); err != nil { // undone at once
		return g.do(context.WithoutCancel(ctx), http.MethodPost, "/chaos/faults/"+seg(fault.ID)+"/undo", nil, &fault)
	}
	return nil
}

// Region implements gameday.Environment: the process ends with all that is in it.
func (g *gamedayService) Region(ctx context.Context, choice float64, lasts time.Duration, gone func(gameday.Effect)) error {
	region, since := pick(g.regions, choice), time.Now()
	if err := g.do(ctx, http.MethodPost, "/regions/"+seg(region)+"/stop", control.RegionStop{Reason: "game day", Kill: true}, nil); err != nil {
		return err
	}
	gone(gameday.Effect{What: fmt.Sprintf("%s for %s", region, lasts.Round(time.Second)), Region: region, Since: since})
	_ = pause.For(ctx, lasts) // the region is started in any case
	return g.do(context.WithoutCancel(ctx), http.MethodPost, "/regions/"+seg(region)+"/start", nil, nil)
}

// Whole implements gameday.Environment: the groups of a region that have traffic have the
// instances that are desired.
func (g *gamedayService) Whole(ctx context.Context, region string) error {
	var c control.Cluster
	if err := g.client.Do(ctx, http.MethodGet, "/clusters/"+gamedayName, nil, &c); err != nil {
		return err
	}
	serves := false
	for _, group := range c.Groups {
		if group.Weight <= 0 || group.Region != region {
			continue
		}
		if n := group.Serving(); n < group.Capacity.Desired {
			return fmt.Errorf("%s in %s: %d of %d serve", group.Name, group.Region, n, group.Capacity.Desired)
		}
		serves = true
	}
	if !serves {
		return fmt.Errorf("nothing serves in %s", region)
	}
	return nil
}

// Heal implements gameday.Environment.
func (g *gamedayService) Heal(ctx context.Context, on bool) error {
	g.unheals.Store(!on)
	return g.suspend(ctx, !on)
}

// suspend keeps the cluster's groups from starting instances, or lets them.
func (g *gamedayService) suspend(ctx context.Context, suspend bool) error {
	change := control.ClusterChange{Resume: []string{"Launch"}}
	if suspend {
		change = control.ClusterChange{Suspend: []string{"Launch"}}
	}
	return g.do(ctx, http.MethodPatch, "/clusters/"+gamedayName, change, nil, client.IdempotencyKey(g.key("heal")))
}
