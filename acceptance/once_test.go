package acceptance

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/internal/standardwebhook"
	"showrunner/store/record"
)

// periodic is an application in which everything starts by itself: schedules, the
// branches of a repository that two pipelines poll, and a pipeline that follows
// one of them.
func periodic(repository string, schedules int) string {
	var b strings.Builder
	b.WriteString("application: shop\npipelines:\n")
	for n := range schedules {
		fmt.Fprintf(&b, "  clock%d:\n    triggers: [{schedule: {cron: '* * * * *'}}]\n    stages: {s: {wait: {for: 1ms}}}\n", n)
	}
	for _, name := range []string{"left", "right"} {
		fmt.Fprintf(&b, "  %s:\n    triggers: [{poll: {url: %s, branches: ['b*'], every: 1s}}]\n    concurrency: parallel\n    stages: {s: {wait: {for: 1ms}}}\n", name, repository)
	}
	b.WriteString("  next:\n    triggers: [{pipeline: {pipeline: left}}]\n    concurrency: parallel\n    stages: {s: {run: {commands: ['echo here']}}}\n")
	return b.String()
}

// trio is three control planes on one database; any of them may be dead.
type trio struct {
	t     *testing.T
	hosts []*host
	c     *client.Client
	rand  *rand.Rand
	kills int
}

func (f *trio) begin(h *host) {
	f.t.Helper()
	h.launch("--builds-at-once", "2", "--keep", "3s", "--keep-count", "2", "--keep-events", "2s", "--retention-every", "500ms")
	h.eventually(30*time.Second, "control is ready", func() error {
		res, err := http.Get("http://" + h.listen + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
}

// kill kills the victims at once, and starts them again.
func (f *trio) kill(victims ...*host) {
	f.t.Helper()
	for _, h := range victims {
		h.end(syscall.SIGKILL)
		f.kills++
	}
	for _, h := range victims {
		f.begin(h)
	}
}

// sender is the replica that sends the subscription's events now.
func (f *trio) sender() *host {
	f.t.Helper()
	var list []struct{ Progress struct{ Holder string } }
	if err := f.c.Do(f.t.Context(), http.MethodGet, "/subscriptions", nil, &list); err != nil {
		f.t.Fatal(err)
	}
	for _, h := range f.hosts {
		if h.cmd != nil && strings.Contains(list[0].Progress.Holder, "/"+strconv.Itoa(h.cmd.Process.Pid)+"/") {
			return h
		}
	}
	return nil
}

func (f *trio) random() *host { return f.hosts[f.rand.IntN(len(f.hosts))] }

// wait lets time pass, so that a kill falls between other events.
func wait(d time.Duration) { <-time.After(d) }

// startsOf counts the started executions by pipeline and trigger event, and fails
// when one event started two.
func startsOf(t *testing.T, events []record.Event) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, e := range events {
		if e.Type != "execution.started" {
			continue
		}
		var data struct{ EventID string }
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatal(err)
		}
		what := data.EventID
		if ref, change, ok := strings.Cut(what, " "); ok && strings.HasPrefix(ref, "refs/") { // refs/heads/b1 OLD..NEW #n
			_, tip, _ := strings.Cut(change, "..")
			what, _, _ = strings.Cut(tip, " ")
		}
		counts[e.Pipeline+" "+what]++
	}
	return counts
}

// since reads the log after a position through any living replica.
func (f *trio) since(from int64, query string) (all []record.Event) {
	f.t.Helper()
	for {
		var page api.EventPage
		if err := f.c.Do(f.t.Context(), http.MethodGet, "/events?limit=1000&from="+strconv.FormatInt(from, 10)+query, nil, &page); err != nil {
			f.t.Fatal(err)
		}
		if page.Reset {
			f.t.Fatalf("events after %d are neither in the log nor in the archive", from)
		}
		all = append(all, page.Events...)
		if page.Next <= from {
			return all
		}
		from = page.Next
	}
}

// delivery is one message to a subscriber.
type delivery struct {
	position   int64
	id, source string
}

// subscriber receives webhooks and refuses some of them.
type subscriber struct {
	mu    sync.Mutex
	calls int
	got   []delivery // accepted deliveries
	wrong []error
}

const onceKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func (s *subscriber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // interrupted: the sender was killed
	}
	var e struct{ ID, Source string }
	err = errors.Join(standardwebhook.Verify(r.Header, onceKey, body, time.Now()), json.Unmarshal(body, &e))
	position, perr := strconv.ParseInt(e.ID, 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err = errors.Join(err, perr); err != nil {
		s.wrong = append(s.wrong, err)
	}
	if s.calls++; s.calls%40 == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s.got = append(s.got, delivery{position, r.Header.Get("Webhook-Id"), e.Source})
}

func (s *subscriber) last() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := int64(0)
	for _, d := range s.got {
		last = max(last, d.position)
	}
	return last
}

// archived reads the files of the archive, and fails unless they contain every
// position once and in order.
func archived(t *testing.T, dir string) (all []record.Event) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files { // sorted by name, which means by position
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e record.Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("%s: %v: %q", name, err, lines.Text())
			}
			if len(all) > 0 && e.Position <= all[len(all)-1].Position {
				t.Fatalf("%s: position %d after %d", name, e.Position, all[len(all)-1].Position)
			}
			all = append(all, e)
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestPeriodicWorkHappensOnceOverReplicas: three control planes on one database
// poll a repository, keep schedules, follow pipelines, send events, archive them
// and remove expired data. Each is killed at random moments, and so are the
// sending replica, and two replicas at the full minute. Every commit and every
// minute starts one execution, every event reaches the subscriber in order, and
// the archive has every position once.
func TestPeriodicWorkHappensOnceOverReplicas(t *testing.T) {
	t.Parallel()
	began := time.Now()
	hosts, _ := newHosts(t, "10m", 3)
	seed := uint64(time.Now().UnixNano())
	f := &trio{t: t, hosts: hosts, rand: rand.New(rand.NewPCG(seed, 0))}
	t.Logf("seed %d", seed)
	f.begin(hosts[0]) // makes the token that all replicas share
	f.begin(hosts[1])
	f.begin(hosts[2])
	token, err := os.ReadFile(filepath.Join(hosts[0].shared, "token"))
	if err != nil {
		t.Fatal(err)
	}
	f.c = client.New("http://"+hosts[0].listen+",http://"+hosts[1].listen+",http://"+hosts[2].listen, strings.TrimSpace(string(token)))

	s := &subscriber{}
	receiver := httptest.NewServer(s)
	t.Cleanup(receiver.Close)
	if _, errs, code := hosts[0].cliIn(onceKey, "secret", "set", "key"); code != 0 {
		t.Fatal(errs)
	}
	hosts[1].must("subscriptions", "set", "all", "--url", receiver.URL, "--secret", "key", "--from", "0")
	const schedules, branches = 6, 3
	r := newRepo(t, map[string]string{"a": "1"})
	tips := map[string]bool{} // whether a poll has to find it
	commit := func(branch string, must bool) {
		parent := r.git("rev-parse", "main")
		tip := r.git("commit-tree", parent+"^{tree}", "-p", parent, "-m", fmt.Sprintf("%s %d", branch, len(tips)))
		r.git("update-ref", "refs/heads/"+branch, tip)
		tips[tip] = must
	}
	file := filepath.Join(t.TempDir(), "showrunner.yaml")
	if err := os.WriteFile(file, []byte(periodic(r.dir, schedules)), 0o600); err != nil {
		t.Fatal(err)
	}
	hosts[2].must("apply", "-f", file)
	hosts[0].eventually(20*time.Second, "both pipelines poll", func() error {
		commit("before", false) // the first poll starts nothing
		wait(500 * time.Millisecond)
		polled := map[string]bool{}
		for _, e := range f.since(0, "&type=execution.started") {
			polled[e.Pipeline] = true
		}
		if !polled["left"] || !polled["right"] {
			return fmt.Errorf("%v", polled)
		}
		return nil
	})
	minute := time.Now().Truncate(time.Minute).Add(time.Minute)

	rounds := 0
	for struck := false; !struck || rounds < 6; rounds++ {
		for n := range branches {
			commit("b"+strconv.Itoa(n), true)
		}
		if left := time.Until(minute); left < 3*time.Second && !struck {
			struck = true
			wait(left + time.Duration(f.rand.IntN(60))*time.Millisecond)
			n := f.rand.IntN(3)
			f.kill(f.hosts[n], f.hosts[(n+1)%3])
		} else {
			wait(time.Duration(f.rand.IntN(1100)) * time.Millisecond)
			victim := f.random()
			if rounds%3 == 0 {
				if h := f.sender(); h != nil {
					victim = h
				}
			}
			f.kill(victim)
		}
		hosts[0].eventually(20*time.Second, "the commits are seen", func() error {
			counts := startsOf(t, f.since(0, "&type=execution.started"))
			for _, p := range []string{"left", "right"} {
				for tip, must := range tips {
					if must && counts[p+" "+tip] == 0 {
						return fmt.Errorf("%s has not started for %s", p, tip)
					}
				}
			}
			return nil
		})
	}
	hosts[0].eventually(10*time.Second, "the schedules have started", func() error {
		counts := startsOf(t, f.since(0, "&type=execution.started"))
		for n := range schedules {
			if what := fmt.Sprintf("clock%d %s", n, minute.UTC().Format(time.RFC3339)); counts[what] == 0 {
				return errors.New(what)
			}
		}
		return nil
	})
	t.Logf("%d rounds with %d kills; %s", rounds, f.kills, time.Since(began).Round(time.Second))
	f.settled(s)
	f.check(s, tips, minute, schedules)
	t.Logf("all of it took %s", time.Since(began).Round(time.Second))
}
