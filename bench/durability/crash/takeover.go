package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"showrunner/internal/pause"
)

const (
	// takenOver is the budget for the time until another replica continues a
	// killed replica's work.
	takenOver = 500 * time.Millisecond
	// lease is how long a hung replica keeps its work, and leaseSlack the largest
	// further delay: leases are checked ten times a second.
	lease      = 5 * time.Second
	leaseSlack = time.Second
	// running executions of the victim when it is killed or stopped
	struck = 6
	// hungRounds is how many replicas of each fleet size are stopped; each takes
	// a lease.
	hungRounds = 4
)

// audit makes the database record which replica writes events. Replicas are
// identified by the name of their connections, so the measurement does not depend
// on their own statements.
const audit = `CREATE TABLE audit (position bigint, execution text, stage text, type text, by text, at timestamptz);
	CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO audit VALUES (NEW.position, NEW.execution, NEW.stage, NEW.type, current_setting('application_name'), clock_timestamp()); RETURN NEW; END $$;
	CREATE TRIGGER audit AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION audit();`

// takeover kills and stops replicas of fleets of several sizes, and measures how
// long their executions stand still.
func takeover(ctx context.Context, p plan, w *targets, databases func(context.Context) (string, error), ask databaseQuery) error {
	var errs []error
	for _, size := range p.sizes {
		f := &fleet{plan: p, targets: w}
		f.replicas = size
		var err error
		if f.address, err = databases(ctx); err != nil {
			return err
		}
		err = f.takeoverTrials(ctx, ask)
		f.stop()
		if err != nil {
			errs = append(errs, fmt.Errorf("%d replicas: %w", size, err))
		}
	}
	return errors.Join(errs...)
}

// databaseQuery queries the database itself.
type databaseQuery func(ctx context.Context, address, text string) ([][]string, error)

func (f *fleet) takeoverTrials(ctx context.Context, ask databaseQuery) error {
	if err := f.start(ctx); err != nil {
		return err
	}
	if _, err := ask(ctx, f.address, audit); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(f.seed, uint64(f.replicas)))
	var killedFirst, killedAll, hungFirst, hungAll []time.Duration
	foreign, doubled := 0, 0
	for n := range f.takeovers + hungRounds {
		hang := n >= f.takeovers
		s := &takeoverTrial{fleet: f, victim: f.members[random.IntN(len(f.members))]}
		if err := s.begin(ctx); err != nil {
			return err
		}
		if err := pause.For(ctx, time.Duration(random.IntN(150))*time.Millisecond); err != nil {
			return err
		}
		first, all, err := s.run(ctx, hang)
		if err != nil {
			return err
		}
		if hang {
			hungFirst, hungAll = append(hungFirst, first), append(hungAll, all)
			n, err := s.afterwards(ctx, ask)
			if err != nil {
				return err
			}
			foreign += n
		} else {
			killedFirst, killedAll = append(killedFirst, first), append(killedAll, all)
			if err := s.victim.start(); err != nil {
				return err
			}
			if err := s.victim.ready(ctx); err != nil {
				return err
			}
		}
		if err := s.finish(ctx); err != nil {
			return err
		}
		doubled += s.doubled
	}
	fmt.Printf("%d replicas, %d killed: their work goes on after p50 %s max %s, all of it p50 %s max %s\n", f.replicas, f.takeovers,
		middle(killedFirst), slices.Max(killedFirst).Round(time.Millisecond), middle(killedAll), slices.Max(killedAll).Round(time.Millisecond))
	fmt.Printf("%d replicas, %d stopped (lease %s): their work goes on after p50 %s max %s, all of it max %s; woken, they wrote %d events of what had been taken; stages that ended twice: %d\n",
		f.replicas, hungRounds, lease, middle(hungFirst), slices.Max(hungFirst).Round(time.Millisecond), slices.Max(hungAll).Round(time.Millisecond), foreign, doubled)
	switch {
	case slices.Max(killedAll) > takenOver:
		return fmt.Errorf("work of a killed replica stood still for %s, longer than %s", slices.Max(killedAll).Round(time.Millisecond), takenOver)
	case slices.Max(hungAll) > lease+leaseSlack:
		return fmt.Errorf("work of a stopped replica stood still for %s, longer than its lease and %s", slices.Max(hungAll).Round(time.Millisecond), leaseSlack)
	case foreign > 0 || doubled > 0:
		return fmt.Errorf("a stopped replica wrote after its work was taken, or a stage ended twice")
	}
	return nil
}

func middle(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2].Round(time.Millisecond)
}

// takeoverTrial is one replica and the executions that only it is running.
type takeoverTrial struct {
	fleet    *fleet
	victim   *replica
	ids      map[string]time.Time // time of the first event after the kill
	ended    map[string]bool
	position int64
	taken    time.Time // time at which all of them had continued
	stages   map[string]int
	doubled  int
}

// begin starts executions at the victim and waits until each has progressed.
func (s *takeoverTrial) begin(ctx context.Context) error {
	s.ids, s.ended, s.stages = map[string]time.Time{}, map[string]bool{}, map[string]int{}
	var page struct{ Next int64 }
	if err := s.victim.call(ctx, http.MethodGet, "/api/v1/events?limit=1&from=-1", nil, &page, ""); err == nil {
		s.position = page.Next
	}
	for range struck {
		var out struct{ Execution struct{ ID string } }
		if err := s.victim.call(ctx, http.MethodPost, "/api/v1/applications/crash/pipelines/relay/executions", struct{}{}, &out, ""); err != nil {
			return err
		}
		s.ids[out.Execution.ID] = time.Time{}
	}
	moved := map[string]int{}
	return s.read(ctx, s.victim, func(e event) bool {
		moved[e.Execution]++
		for id := range s.ids {
			if moved[id] < 4 {
				return false
			}
		}
		return true
	})
}

// read reads the log at a replica until it has the needed events.
func (s *takeoverTrial) read(ctx context.Context, at *replica, enough func(event) bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var page struct {
			Events []event
			Next   int64
		}
		err := at.call(ctx, http.MethodGet, "/api/v1/events?limit=1000&from="+strconv.FormatInt(s.position, 10), nil, &page, "")
		done := false
		if err == nil {
			s.position = max(s.position, page.Next)
			for _, e := range page.Events {
				if _, ours := s.ids[e.Execution]; !ours {
					continue
				}
				if e.Type == "stage.succeeded" {
					if s.stages[e.Execution+" "+e.Stage]++; s.stages[e.Execution+" "+e.Stage] == 2 {
						s.doubled++
					}
				}
				s.ended[e.Execution] = s.ended[e.Execution] || strings.HasPrefix(e.Type, "execution.") && e.Type != "execution.started"
				done = enough(e) || done
			}
		}
		if done {
			return nil
		}
		if err := pause.For(ctx, 2*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for events of %d executions: %w", len(s.ids), err)
		}
	}
}

// run kills or stops the victim. It returns the times until the first and the
// last of its executions continued on another replica.
func (s *takeoverTrial) run(ctx context.Context, hang bool) (first, all time.Duration, err error) {
	at := time.Now()
	if hang {
		s.victim.mu.Lock()
		err = s.victim.cmd.Process.Signal(syscall.SIGSTOP)
		s.victim.mu.Unlock()
	} else {
		err = s.victim.kill()
	}
	if err != nil {
		return 0, 0, err
	}
	gone := time.Now()
	other := s.fleet.members[0]
	if other == s.victim {
		other = s.fleet.members[1]
	}
	left := len(s.ids)
	err = s.read(ctx, other, func(e event) bool {
		// An event that the victim wrote in its last moment does not count for
		// another replica.
		if !s.ids[e.Execution].IsZero() || !e.Time.After(gone.Add(time.Millisecond)) {
			return false
		}
		now := time.Now()
		s.ids[e.Execution] = now
		if first == 0 {
			first = now.Sub(at)
		}
		left--
		s.taken, all = now, now.Sub(at)
		return left == 0
	})
	return first, all, err
}

// afterwards resumes a stopped victim, and asks the database how many events it
// wrote afterwards for executions that others had taken.
func (s *takeoverTrial) afterwards(ctx context.Context, ask databaseQuery) (int, error) {
	woken := time.Now()
	if err := s.victim.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return 0, err
	}
	if err := s.finish(ctx); err != nil {
		return 0, err
	}
	var ids []string
	for id := range s.ids {
		ids = append(ids, "'"+id+"'")
	}
	rows, err := ask(ctx, s.fleet.address, fmt.Sprintf(`SELECT count(*) FILTER (WHERE by = '%s' AND at >= to_timestamp(%d / 1000.0))::text, count(*)::text FROM audit WHERE execution IN (%s)`,
		s.victim.listen, woken.UnixMilli(), strings.Join(ids, ", ")))
	if err != nil {
		return 0, err
	}
	if total, err := strconv.Atoi(rows[0][1]); err != nil || total < struck*relayStages {
		return 0, fmt.Errorf("the audit saw %s events of %d executions: it does not watch", rows[0][1], struck)
	}
	return strconv.Atoi(rows[0][0])
}

// finish waits until all have ended.
func (s *takeoverTrial) finish(ctx context.Context) error {
	over := func() bool {
		for id := range s.ids {
			if !s.ended[id] {
				return false
			}
		}
		return true
	}
	if over() {
		return nil
	}
	other := s.fleet.members[0]
	if other == s.victim {
		other = s.fleet.members[1]
	}
	return s.read(ctx, other, func(event) bool { return over() })
}
