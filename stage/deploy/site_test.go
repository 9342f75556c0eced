package deploy

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/cloud"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// sitesCloud is a cloud in memory that hosts one site in each region.
type sitesCloud struct {
	driver.Cloud // only Regions of it is called
	names        []string

	mu     sync.Mutex
	calls  []string
	ready  []string         // the prepared regions, and "publish" at the first publish
	absent map[string]error // the answer of preparing in a region
	keys   map[string]cloud.SiteDeployment
	turns  map[string][]cloud.SiteDeployment // by region; the last is live
	probe  func(region string) error
	broken map[string]error     // the answer of publishing in a region
	where  cloud.SiteDeployment // Prefix, Document and Nested of a publish
}

func newSitesCloud(names ...string) *sitesCloud {
	return &sitesCloud{names: names, keys: map[string]cloud.SiteDeployment{}, turns: map[string][]cloud.SiteDeployment{},
		probe: func(string) error { return nil }, broken: map[string]error{}, where: cloud.SiteDeployment{Document: "index.html"}}
}

func (c *sitesCloud) Account(name string) (*cloud.Account, error) {
	if name != "local" {
		return nil, problem.New(problem.NotFound, "account", "there is no account %q", name)
	}
	return cloud.NewAccount("local", c, cloud.Options{}), nil
}

func (c *sitesCloud) Regions(context.Context) ([]cloud.Region, error) {
	var list []cloud.Region
	for _, n := range c.names {
		list = append(list, cloud.Region{Name: n, Healthy: true})
	}
	return list, nil
}

func (c *sitesCloud) Publish(_ context.Context, region string, req cloud.PublishRequest, key string, progress func(int, int)) (cloud.SiteDeployment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, "publish "+region)
	c.ready = append(c.ready, "publish")
	if err := c.broken[region]; err != nil {
		return cloud.SiteDeployment{}, err
	}
	if d, ok := c.keys[region+key]; ok {
		return d, nil
	}
	progress(1, 2)
	d := cloud.SiteDeployment{ID: "d-" + key, Site: req.Config.Site, Region: region, Version: req.Version, Uploaded: 2, Unchanged: 5, Bytes: 10,
		Prefix: c.where.Prefix, Document: c.where.Document, Nested: c.where.Nested}
	c.keys[region+key] = d
	c.turns[region] = append(c.turns[region], d)
	return d, nil
}

func (c *sitesCloud) PrepareSite(_ context.Context, region string, _ cloud.PublishRequest, _ string, _ func(int, int)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.absent[region]; err != nil {
		return err
	}
	c.ready = append(c.ready, region)
	return nil
}

func (c *sitesCloud) live(region string) string {
	t := c.turns[region]
	if len(t) == 0 {
		return ""
	}
	return t[len(t)-1].ID
}

func (c *sitesCloud) SiteDeployments(_ context.Context, region, _ string) ([]cloud.SiteDeployment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.broken[region]; err != nil {
		return nil, err
	}
	list := slices.Clone(c.turns[region])
	slices.Reverse(list)
	for i := range list {
		if list[i].Current = i == 0; i == 0 && len(list) > 1 {
			list[i].Previous = list[1].ID
		}
	}
	return list, nil
}

func (c *sitesCloud) Activate(_ context.Context, region, _, id, key string) (cloud.SiteDeployment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, "activate "+region+" "+id)
	i := slices.IndexFunc(c.turns[region], func(d cloud.SiteDeployment) bool { return d.ID == id })
	if i < 0 {
		return cloud.SiteDeployment{}, problem.New(problem.NotFound, "activate", "no %s", id)
	}
	c.turns[region] = c.turns[region][:i+1]
	return c.turns[region][i], nil
}

func (c *sitesCloud) Revert(_ context.Context, region, _, id, _ string) (cloud.SiteDeployment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, "revert "+region)
	t := c.turns[region]
	if c.live(region) == id && len(t) > 1 {
		c.turns[region] = t[:len(t)-1]
	}
	t = c.turns[region]
	return t[len(t)-1], nil
}

func (c *sitesCloud) ProbeSite(_ context.Context, region string, _ cloud.SiteDeployment) error {
	return c.probe(region)
}

func (c *sitesCloud) SiteURL(site string) string { return "http://" + site + ".localhost/" }

const ref = artifact.Ref("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")

// driver calls the task as the engine would, with a clock of its own.
type taskDriver struct {
	t   *testing.T
	k   *Site
	in  stage.Input
	log bytes.Buffer
}

func newTask(t *testing.T, c *sitesCloud, execution string, config pipeline.DeploySite) *taskDriver {
	config.Site, config.Artifact = "shop", "build"
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := &taskDriver{t: t, k: NewSite(c, nil)}
	d.in = stage.Input{
		Key: stage.Key{Execution: execution, Stage: "site", Attempt: 1, Task: "publish"}, Config: config, Now: at, StageStarted: at,
		Artifacts: map[string]artifact.Ref{"build": ref}, Trigger: map[string]any{"commit": "c-" + execution}, Log: &d.log,
		Progress: func(string, ...any) {},
	}
	return d
}

// call calls once; the next call happens at the time that the answer asks for.
func (d *taskDriver) call() stage.Result {
	d.t.Helper()
	in := d.in
	r, err := d.k.Tasks()[0].Run(d.t.Context(), &in)
	if err != nil {
		d.t.Fatal(err)
	}
	if r.Outcome == stage.Again {
		d.in.State, d.in.Now = r.State, d.in.Now.Add(r.After)
	}
	return r
}

func (d *taskDriver) run() stage.Result {
	d.t.Helper()
	for range 1000 {
		if r := d.call(); r.Outcome != stage.Again {
			return r
		}
	}
	d.t.Fatal("the task never ends")
	return stage.Result{}
}

func waves(bake time.Duration, regions ...string) []pipeline.Wave {
	var list []pipeline.Wave
	for _, r := range regions {
		list = append(list, pipeline.Wave{Regions: strings.Split(r, "+"), Bake: pipeline.Duration(bake)})
	}
	return list
}

func TestASiteGoesToEveryRegion(t *testing.T) {
	c := newSitesCloud("a", "b", "c")
	r := newTask(t, c, "e1", pipeline.DeploySite{}).run()
	if r.Outcome != stage.Done {
		t.Fatalf("%+v", r.Failure)
	}
	want := map[string]any{"url": "http://shop.localhost/", "deployment": "d-e1/site/1/publish", "version": "c-e1", "site": "shop", "account": "local", "prefix": "", "archive": "", "uploaded": 2, "unchanged": 5, "deleted": 0, "bytes": int64(10), "note": ""}
	regions := fmt.Sprint(r.Outputs["regions"])
	delete(r.Outputs, "regions")
	if !maps.Equal(r.Outputs, want) || regions != "[a b c]" {
		t.Errorf("outputs %v in %s", r.Outputs, regions)
	}
}

func TestASiteWithoutAnIndexDocumentSaysWhereOneIs(t *testing.T) {
	const said = "the artifact has no index.html at its root, so that http://shop.localhost/"
	for _, c := range []struct {
		where  cloud.SiteDeployment
		config pipeline.DeploySite
		want   string
	}{
		{cloud.SiteDeployment{Document: "index.html"}, pipeline.DeploySite{}, ""},
		{cloud.SiteDeployment{Nested: "dist/index.html"}, pipeline.DeploySite{}, said + " answers 404; there is one under dist/: base-directory: dist in the buildspec's artifacts makes that the root"},
		{cloud.SiteDeployment{Prefix: "docs", Nested: "docs/out/html/index.html"}, pipeline.DeploySite{Prefix: "docs"},
			said + "docs/ answers 404; there is one under out/html/: base-directory: out/html in the buildspec's artifacts makes that the root"},
		{cloud.SiteDeployment{}, pipeline.DeploySite{}, said + " answers 404"},
		{cloud.SiteDeployment{}, pipeline.DeploySite{Archive: "all.zip"}, ""},
	} {
		sites := newSitesCloud("a", "b")
		sites.where = c.where
		d := newTask(t, sites, "e1", c.config)
		if r := d.run(); r.Outcome != stage.Done || r.Outputs["note"] != c.want {
			t.Errorf("%+v: %v %q", c.where, r.Failure, r.Outputs["note"])
		}
		if logged := strings.Count(d.log.String(), "Warning: "+c.want); (logged == 1) != (c.want != "") {
			t.Errorf("%+v: the log says\n%s", c.where, d.log.String())
		}
	}
}

func TestWavesComeOneAfterTheOtherAndBake(t *testing.T) {
	c := newSitesCloud("a", "b", "c")
	d := newTask(t, c, "e1", pipeline.DeploySite{Waves: waves(5*time.Second, "a", "b+c")})
	began := d.in.Now
	if r := d.call(); r.Outcome != stage.Again || r.After > bakeEvery || !slices.Equal(c.calls, []string{"publish a"}) {
		t.Fatalf("%+v after %v", r, c.calls)
	}
	if r := d.run(); r.Outcome != stage.Done {
		t.Fatalf("%+v", r.Failure)
	}
	if took := d.in.Now.Sub(began); took < 10*time.Second {
		t.Errorf("two waves of 5s baked in %s", took)
	}
	if slices.Sort(c.calls[1:]); !slices.Equal(c.calls, []string{"publish a", "publish b", "publish c"}) {
		t.Errorf("calls %v", c.calls)
	}
}

func TestEveryRegionIsPreparedBeforeTheFirstChanges(t *testing.T) {
	c := newSitesCloud("a", "b", "c")
	c.absent = map[string]error{"c": problem.New(problem.Unavailable, "call", "region c does not answer")}
	d := newTask(t, c, "e1", pipeline.DeploySite{Waves: waves(0, "a", "b+c")})
	if r := d.call(); r.Outcome != stage.Again || len(c.calls) > 0 {
		t.Fatalf("%+v after %v", r, c.calls)
	}
	c.absent = nil
	if r := d.run(); r.Outcome != stage.Done {
		t.Fatalf("%+v", r.Failure)
	}
	if slices.Sort(c.ready[:2]); !slices.Equal(c.ready[:4], []string{"a", "b", "c", "publish"}) {
		t.Errorf("in the order %v", c.ready)
	}

	c = newSitesCloud("a", "b")
	c.absent = map[string]error{"b": problem.New(problem.Unavailable, "call", "region b does not answer")}
	r := newTask(t, c, "e1", pipeline.DeploySite{}).run()
	if r.Outcome != stage.Failed || r.Failure.Code != "REGION_UNAVAILABLE" || len(c.calls) > 0 || !strings.Contains(r.Failure.Cause, "nothing was changed") {
		t.Errorf("%+v after %v", r.Failure, c.calls)
	}
}

func TestAFailedWaveIsUndone(t *testing.T) {
	for policy, want := range map[string][]string{
		"":     {"revert c", "revert b", "revert a"},
		"all":  {"revert c", "revert b", "revert a"},
		"wave": {"revert c", "revert b"},
		"none": nil,
	} {
		c := newSitesCloud("a", "b", "c")
		newTask(t, c, "e0", pipeline.DeploySite{}).run()
		c.probe = func(region string) error {
			if region == "c" {
				return problem.New(problem.Precondition, "probe", "GET / answered 404")
			}
			return nil
		}
		c.calls = nil
		r := newTask(t, c, "e1", pipeline.DeploySite{OnFailure: policy, Waves: waves(0, "a", "b+c")}).run()
		if r.Outcome != stage.Failed || r.Failure.Code != "SITE_UNHEALTHY" || len(r.Failure.Undone) != len(want) {
			t.Fatalf("%q: %+v", policy, r.Failure)
		}
		if !strings.Contains(fmt.Sprint(r.Failure.Evidence), "answered 404") {
			t.Errorf("%q: evidence %v", policy, r.Failure.Evidence)
		}
		if reverts := c.calls[3:]; !slices.Equal(reverts, want) {
			t.Errorf("%q: %v", policy, reverts)
		}
		for _, region := range []string{"a", "b", "c"} {
			undone := slices.Contains(want, "revert "+region)
			if got := c.live(region); undone != (got == "d-e0/site/1/publish") {
				t.Errorf("%q: %s serves %s", policy, region, got)
			}
		}
	}
}

func TestASiteThatFailsWhileItBakesIsUndone(t *testing.T) {
	c := newSitesCloud("a", "b")
	newTask(t, c, "e0", pipeline.DeploySite{}).run()
	d := newTask(t, c, "e1", pipeline.DeploySite{Waves: waves(10*time.Second, "a", "b")})
	d.call()
	c.probe = func(string) error { return problem.New(problem.Precondition, "probe", "500") }
	if r := d.run(); r.Outcome != stage.Failed || c.live("a") != "d-e0/site/1/publish" || c.live("b") != "d-e0/site/1/publish" {
		t.Errorf("%+v; a serves %s, b %s", r.Failure, c.live("a"), c.live("b"))
	}
}

func TestARegionThatIsAwayIsWaitedFor(t *testing.T) {
	c := newSitesCloud("a", "b")
	c.broken["b"] = problem.New(problem.Unavailable, "call", "region b does not answer")
	d := newTask(t, c, "e1", pipeline.DeploySite{})
	if r := d.call(); r.Outcome != stage.Again || r.After > time.Second {
		t.Fatalf("%+v", r)
	}
	delete(c.broken, "b")
	if r := d.run(); r.Outcome != stage.Done {
		t.Fatalf("%+v", r.Failure)
	}
	if n := strings.Count(strings.Join(c.calls, ","), "publish a"); n != 1 {
		t.Errorf("the region that had it was asked %d times", n)
	}

	c = newSitesCloud("a", "b")
	newTask(t, c, "e0", pipeline.DeploySite{}).run()
	c.broken["b"] = problem.New(problem.Unavailable, "call", "region b does not answer")
	r := newTask(t, c, "e1", pipeline.DeploySite{}).run()
	if r.Outcome != stage.Failed || r.Failure.Code != "REGION_UNAVAILABLE" || !r.Failure.Retryable || c.live("a") != "d-e0/site/1/publish" {
		t.Errorf("%+v; a serves %s", r.Failure, c.live("a"))
	}
}

func TestFailuresThatNoRetryHelps(t *testing.T) {
	c := newSitesCloud("a")
	for name, change := range map[string]func(*taskDriver){
		"ARTIFACT_MISSING": func(d *taskDriver) { d.in.Artifacts = nil },
		"ACCOUNT_UNKNOWN":  func(d *taskDriver) { setSite(d, func(s *pipeline.DeploySite) { s.Account = "mars" }) },
		"REGION_UNKNOWN":   func(d *taskDriver) { setSite(d, func(s *pipeline.DeploySite) { s.Waves = waves(0, "a", "z") }) },
		"SITE_INVALID":     func(d *taskDriver) { setSite(d, func(s *pipeline.DeploySite) { s.Site = "../x" }) },
		"DEPLOYMENT_SUPERSEDED": func(*taskDriver) {
			c.broken["a"] = problem.New(problem.Conflict, "publish", "newer")
		},
	} {
		d := newTask(t, c, "e1", pipeline.DeploySite{})
		change(d)
		if r := d.run(); r.Outcome != stage.Failed || r.Failure.Code != name || r.Failure.Retryable || r.Failure.Cause == "" {
			t.Errorf("%s: %+v", name, r)
		}
		delete(c.broken, "a")
	}
}

func setSite(d *taskDriver, change func(*pipeline.DeploySite)) {
	s := d.in.Config.(pipeline.DeploySite)
	change(&s)
	d.in.Config = s
}

func TestRollbackOfASite(t *testing.T) {
	c := newSitesCloud("a", "b")
	for _, e := range []string{"e1", "e2", "e3"} {
		newTask(t, c, e, pipeline.DeploySite{}).run()
	}
	account, err := c.Account("local")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ to, want string }{{"", "e2"}, {"c-e1", "e1"}} {
		done, err := RollbackSite(t.Context(), account, "shop", step.to, nil, "k"+step.to)
		if err != nil || len(done) != 2 {
			t.Fatal(done, err)
		}
		for _, region := range c.names {
			if got := c.live(region); got != "d-"+step.want+"/site/1/publish" {
				t.Errorf("to %q: %s serves %s", step.to, region, got)
			}
		}
	}
	if _, err := RollbackSite(t.Context(), account, "shop", "", nil, "k"); problem.CodeOf(err) != problem.Precondition || strings.Count(err.Error(), "earlier deployment") != 1 {
		t.Errorf("with nothing before: %v", err)
	}
	if _, err := RollbackSite(t.Context(), account, "shop", "nonsense", nil, "k"); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("to what is not kept: %v", err)
	}
	c.broken["b"] = problem.New(problem.Unavailable, "call", "unreachable")
	done, err := RollbackSite(t.Context(), account, "shop", "c-e1", nil, "k2")
	if len(done) != 1 || problem.CodeOf(err) != problem.Unavailable {
		t.Errorf("with a region unreachable: %v, %v", done, err)
	}
}
