package killsteps

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"showrunner/api/client"
	"showrunner/bench/environment"
	"showrunner/execution"
	"showrunner/rollout"
)

const (
	instances = 2
	attempts  = 3                // tries to hit a step that passes quickly
	longest   = 90 * time.Second // longest duration of a deployment, with kills
)

// matrix holds the results so far.
type matrix struct {
	*environment.World
	rate       int
	victims    []string
	repository environment.Repository
	api        *client.Client
	versions   int

	kills, well, undone, missed, wrong int
	total                              environment.Load
}

func (m *matrix) check(err error) {
	if err != nil {
		m.wrong++
		fmt.Println("    WRONG:", err)
	}
}

func (m *matrix) prepare(ctx context.Context) (err error) {
	if m.repository, err = environment.NewRepository(ctx, filepath.Join(m.Dir, "repository")); err != nil {
		return err
	}
	if err := environment.Service(ctx, m.repository.Dir); err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(m.Data, "token"))
	if err != nil {
		return err
	}
	address, err := os.ReadFile(filepath.Join(m.Data, "control.addr"))
	if err != nil {
		return err
	}
	m.api = client.New("http://"+strings.TrimSpace(string(address)), strings.TrimSpace(string(token)))
	var b strings.Builder
	fmt.Fprintf(&b, "application: %s\npipelines:\n", cluster)
	for _, s := range strategies() {
		mode := ""
		if s.name == undone {
			mode = "never-healthy"
		}
		fmt.Fprintf(&b, `  %s:
    stages:
      source: { git: { url: %q, branch: main } }
      service:
        needs: [source]
        deploy:
          cluster: %s
          artifact: source
          command: [./service]
          env: { MODE: %q }
          health: { path: /healthz, interval: 300ms, grace: 1s }
          capacity: { min: %d, desired: %d, max: %d }
          strategy: { %s }
          waves: [ { regions: [%s], bake: 300ms }, { regions: [%s] } ]
          drain: 5s
          stopTimeout: 2s
`, s.name, m.repository.Dir, cluster, mode, instances, instances, 4*instances, s.text, environment.Regions()[0], strings.Join(environment.Regions()[1:], ", "))
	}
	if err := m.Apply(ctx, b.String()); err != nil {
		return err
	}
	return m.settle(ctx)
}

// settle makes one version serve everywhere, and removes all others.
func (m *matrix) settle(ctx context.Context) error {
	d, err := m.deploy(ctx, "highlander", "", "")
	if err == nil && d.exit != 0 {
		err = fmt.Errorf("the first version: exit %d: %s", d.exit, d.said)
	}
	return err
}

// deployment is the result of one deployment.
type deployment struct {
	version string
	exit    int
	said    string
	steps   []string // observed steps, in order
	hit     bool
	took    time.Duration
}

// deploy delivers a new version and kills the victim when the step is first seen.
func (m *matrix) deploy(ctx context.Context, name, step, victim string) (d deployment, err error) {
	m.versions++
	d.version = fmt.Sprintf("v%d", m.versions)
	if _, err := m.repository.Commit(ctx, "version", d.version); err != nil {
		return d, err
	}
	var e execution.Execution
	if err := m.Read(ctx, &e, "run", cluster+"/"+name); err != nil {
		return d, err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for {
		var fresh execution.Execution
		if err := m.api.Do(ctx, "GET", "/executions/"+e.ID, nil, &fresh); err == nil {
			e = fresh
			now, region := stepOf(&e)
			if e.Status == execution.Succeeded { // the replaced groups are cleaned up from now on
				now = cleaningUp
			}
			if now != "" && !slices.Contains(d.steps, now) {
				d.steps = append(d.steps, now)
			}
			if now != "" && now == step && !d.hit {
				d.hit = true
				m.kills++
				who := victim
				if victim == "region" {
					who = "region-" + cmp.Or(region, environment.Regions()[0])
				}
				if err := m.Kill(ctx, who); err != nil {
					return d, err
				}
			}
			if e.Status.Complete() {
				break
			}
		}
		if ctx.Err() != nil {
			return d, fmt.Errorf("it has not ended after %s: %+v", longest, e.Stages)
		}
	}
	d.took = time.Since(began)
	said, err := m.CLI(ctx, "executions", "watch", e.ID) // for the exit code that a person gets
	d.exit, d.said = said.Exit, said.Out+said.Err
	return d, err
}

// cleaningUp is the step after a successful deployment.
const cleaningUp = "cleaning up"

// stepOf names the step of a deployment, by the recorded state of the first
// region of its wave, and that region.
func stepOf(e *execution.Execution) (name, region string) {
	s, ok := e.Stage("service")
	if !ok || s.Status.Complete() || len(s.State) == 0 {
		return "", ""
	}
	var st struct {
		Rollout rollout.State `json:"rollout"`
	}
	if err := json.Unmarshal(s.State, &st); err != nil {
		return "", ""
	}
	r := st.Rollout
	region = environment.Regions()[min(r.Wave, 1)]
	rs := r.Regions[region]
	if rs == nil {
		return "", ""
	}
	at := fmt.Sprintf("wave %d: ", r.Wave+1)
	switch {
	case r.Failure != nil:
		return at + "undoing, " + string(rs.Phase), region
	case !r.Finished.IsZero():
		return "finished", region
	case rs.Phase == rollout.Shifted && !r.BakeSince.IsZero():
		return at + "baking", region
	case rs.Phase != rollout.Stepping:
		return at + strings.TrimSpace(string(rs.Phase)+" "), region
	case rs.New == "":
		return at + "creating", region
	case rs.WeightsSetAt.IsZero() && rs.TooFewSince.IsZero():
		return fmt.Sprintf("%sstep %d, made", at, rs.Step+1), region
	case rs.WeightsSetAt.IsZero():
		return fmt.Sprintf("%sstep %d, waits for health", at, rs.Step+1), region
	default:
		return fmt.Sprintf("%sstep %d, shifted", at, rs.Step+1), region
	}
}

// cell runs one cell of the matrix, and repeats it when the step was missed.
func (m *matrix) cell(ctx context.Context, name, step, victim string) (text string, wrong []string, err error) {
	add := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s killed at %q: ", victim, step)+fmt.Sprintf(format, args...))
	}
	for range attempts {
		var d deployment
		before := m.newest(ctx)
		load, err := m.Attack(ctx, cluster, m.rate, func() error {
			if d, err = m.deploy(ctx, name, step, victim); err != nil {
				return err
			}
			if err := m.CleanedUp(ctx, cluster, time.Minute); err != nil {
				return err
			}
			return m.Whole(ctx, cluster, time.Minute)
		})
		m.total.Safe.Requests, m.total.Safe.Failed = m.total.Safe.Requests+load.Safe.Requests, m.total.Safe.Failed+load.Safe.Failed
		m.total.Unsafe.Requests, m.total.Unsafe.Failed = m.total.Unsafe.Requests+load.Unsafe.Requests, m.total.Unsafe.Failed+load.Unsafe.Failed
		if err != nil {
			return "", nil, err
		}
		if load.Safe.Failed > 0 {
			add("%d requests failed: %v", load.Safe.Failed, load.Safe.Failures)
		}
		for _, l := range m.Left(ctx, cluster) {
			add("%s", l)
		}
		want := d.version
		switch {
		case d.exit == 0 && name != undone:
			m.well++
			text = "well"
		case d.exit == 4:
			m.undone++
			want, text = before, "undone"
		default:
			add("exit %d: %s", d.exit, d.said)
		}
		if got := m.newest(ctx); got != want {
			add("%s serves, not %s", got, want)
		}
		if name == "none" { // both versions stay in traffic: end the earlier ones before the next
			if err := m.settle(ctx); err != nil {
				return "", wrong, err
			}
		}
		if d.hit || len(wrong) > 0 {
			return fmt.Sprintf("%s, %s", text, d.took.Round(10*time.Millisecond)), wrong, nil
		}
	}
	m.missed++
	return "missed", wrong, nil
}

// newest is the version of the newest group in traffic, by the service's own
// answer, when it is the same in every region.
func (m *matrix) newest(ctx context.Context) string {
	found := map[string]string{} // region → version
	for _, g := range m.Groups(ctx, cluster) {
		if !g.Enabled() {
			continue
		}
		text, err := os.ReadFile(m.Root(g.Region, g.Name, "version"))
		if err != nil {
			return err.Error()
		}
		found[g.Region] = string(text)
	}
	first := found[environment.Regions()[0]]
	for _, r := range environment.Regions() {
		if found[r] != first {
			return fmt.Sprint(found)
		}
	}
	return first
}
