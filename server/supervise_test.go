package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/internal/ready"
	"showrunner/problem"
)

// The test binary plays the children, and once the supervisor itself.
func TestMain(m *testing.M) {
	switch os.Getenv("SUPERVISE_TEST_ROLE") {
	case "child":
		playChild()
	case "broken":
		fmt.Println("first line")
		fmt.Fprintln(os.Stderr, "the port is taken")
		os.Exit(3)
	case "supervisor":
		playSupervisor()
	default:
		os.Exit(m.Run())
	}
}

// playChild says that it is ready and waits for SIGTERM, of which it makes a
// note in the file that the environment names.
func playChild() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	name := os.Args[1]
	fmt.Println("hello from", name)
	if err := ready.Notify(ready.Message{Process: name, Listens: map[string]string{"http": "127.0.0.1:1"}}); err != nil {
		panic(err)
	}
	<-stop
	f, err := os.OpenFile(os.Getenv("SUPERVISE_TEST_NOTES"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(f, name)
	f.Close()
}

func playSupervisor() {
	out := json.NewEncoder(os.Stdout)
	o := testOptions(os.Getenv("SUPERVISE_TEST_DATA"))
	o.Report = func(e Event) { out.Encode(e) }
	if err := Supervise(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func testOptions(data string) Options {
	env := []string{"SUPERVISE_TEST_ROLE=child", "SUPERVISE_TEST_NOTES=" + filepath.Join(data, "notes")}
	o := Options{Data: data, StopTimeout: 10 * time.Second, Backoff: func(int) time.Duration { return 0 }}
	for _, p := range Processes(data, "127.0.0.1:0", "127.0.0.1:0", []string{"west", "east"}, nil) {
		p.Args, p.Env = []string{p.Name}, env
		o.Processes = append(o.Processes, p)
	}
	return o
}

// run is a supervisor in this process and what it has reported.
type run struct {
	t      *testing.T
	events chan Event
	cancel context.CancelFunc
	result chan error
}

func supervise(t *testing.T, o Options) *run {
	t.Helper()
	r := &run{t: t, events: make(chan Event, 1000), result: make(chan error, 1)}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(t.Context())
	o.Report = func(e Event) { r.events <- e }
	go func() { r.result <- Supervise(ctx, o) }()
	t.Cleanup(func() { r.stop() })
	return r
}

// await returns the first event that fits.
func (r *run) await(what string, fits func(Event) bool) Event {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case e := <-r.events:
			if fits(e) {
				return e
			}
		case err := <-r.result:
			r.result <- err
			r.t.Fatalf("the supervisor ended while waiting for %s: %v", what, err)
		case <-limit:
			r.t.Fatalf("never: %s", what)
		}
	}
}

func (r *run) allReady(n int) map[string]Event {
	r.t.Helper()
	got := map[string]Event{}
	for len(got) < n {
		e := r.await("all ready", func(e Event) bool { return e.State == Ready })
		got[e.Process] = e
	}
	return got
}

func (r *run) stop() error {
	r.cancel()
	err := <-r.result
	r.result <- err
	return err
}

func TestChildrenThatDieAreStartedAgain(t *testing.T) {
	r := supervise(t, testOptions(t.TempDir()))
	up := r.allReady(4)
	if up["edge"].Listens["http"] != "127.0.0.1:1" {
		t.Errorf("edge listens on %v", up["edge"].Listens)
	}
	victim := up["region-west"].PID
	syscall.Kill(victim, syscall.SIGKILL)
	ended := r.await("the end of the region", func(e Event) bool { return e.Process == "region-west" && e.State == Waiting })
	if !strings.Contains(ended.Reason, "signal 9") {
		t.Errorf("reason %q, want the signal", ended.Reason)
	}
	again := r.await("the region again", func(e Event) bool { return e.Process == "region-west" && e.State == Ready })
	if again.PID == victim || again.Starts != 2 {
		t.Errorf("started again as %+v", again)
	}
}

func TestTheWholeStopsInOrder(t *testing.T) {
	o := testOptions(t.TempDir())
	r := supervise(t, o)
	r.allReady(4)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	notes, err := os.ReadFile(filepath.Join(o.Data, "notes"))
	if err != nil {
		t.Fatal(err)
	}
	order := strings.Fields(string(notes))
	slices.Sort(order[1:3])
	if want := []string{"edge", "region-east", "region-west", "control"}; !slices.Equal(order, want) {
		t.Errorf("stopped in the order %v, want %v", order, want)
	}
	log, err := os.ReadFile(filepath.Join(o.Data, "logs", "control.log"))
	if err != nil || string(log) != "hello from control\n" {
		t.Errorf("log of control: %q, %v", log, err)
	}
}

func TestARegionTakenDownStaysDown(t *testing.T) {
	o := testOptions(t.TempDir())
	r := supervise(t, o)
	up := r.allReady(4)
	client, err := NewSupervisor(o.Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.TakeDown(t.Context(), "west", "game day", true); err != nil {
		t.Fatal(err)
	}
	if alive(up["region-west"].PID) {
		t.Error("the region lives after TakeDown")
	}
	list, err := client.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(e Event) bool { return e.Process == "region-west" })
	if list[i].State != Stopped || list[i].Reason != "game day" {
		t.Errorf("listed as %+v", list[i])
	}
	if err := client.TakeDown(t.Context(), "nowhere", "", true); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("an unknown region: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	r = supervise(t, o) // a new supervisor of the same folder leaves it down
	if second := r.allReady(3); second["region-west"].PID != 0 {
		t.Error("the region was started although it is down on purpose")
	}
	if err := client.BringUp(t.Context(), "west"); err != nil {
		t.Fatal(err)
	}
	r.await("the region again", func(e Event) bool { return e.Process == "region-west" && e.State == Ready })
}

func TestOneSupervisorForEachFolder(t *testing.T) {
	o := testOptions(t.TempDir())
	supervise(t, o).allReady(4)
	err := Supervise(t.Context(), o)
	if problem.CodeOf(err) != problem.Conflict || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) || problem.HelpOf(err) == "" {
		t.Errorf("a second supervisor: %v", err)
	}
}

func TestAChildThatNeverGetsReadyEndsTheWhole(t *testing.T) {
	o := testOptions(t.TempDir())
	o.Processes[1].Env = []string{"SUPERVISE_TEST_ROLE=broken"}
	err := Supervise(t.Context(), o)
	for _, want := range []string{"edge did not start", "exit code 3", "the port is taken"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestNothingOutlivesAKilledSupervisor(t *testing.T) {
	data := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SUPERVISE_TEST_ROLE=supervisor", "SUPERVISE_TEST_DATA="+data)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for lines := bufio.NewScanner(out); len(pids) < 4 && lines.Scan(); {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.State == Ready {
			pids[e.Process] = e.PID
		}
	}
	cmd.Process.Kill()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if len(pids) != 4 {
		t.Fatalf("only %v were ready", pids)
	}
	for name, pid := range pids {
		for deadline := time.Now().Add(10 * time.Second); alive(pid); {
			if time.Now().After(deadline) {
				t.Fatalf("%s outlived the supervisor", name)
			}
		}
	}
	// The folder is free again.
	supervise(t, testOptions(data)).allReady(4)
}

// alive says whether the process runs; one that has ended and is not yet
// collected by its parent does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func TestBackoffGrowsToALimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1<<20).Draw(t, "n")
		a, b := Backoff(n), Backoff(n+1)
		if a < 0 || b < a || b > 5*time.Second || n > 10 && b != 5*time.Second {
			t.Fatalf("Backoff(%d) = %v, Backoff(%d) = %v", n, a, n+1, b)
		}
	})
}

func TestLogsAreRotated(t *testing.T) {
	dir := t.TempDir()
	l := &processLog{path: filepath.Join(dir, "x.log")}
	line := []byte(strings.Repeat("a", 64<<10-1) + "\n")
	for range 5 * logSize / len(line) {
		l.Write(line)
	}
	l.Write([]byte("no newline at the end"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != logKeep+1 {
		t.Fatalf("%d files, want %d (%v)", len(entries), logKeep+1, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() > logSize+int64(len(line)) {
			t.Errorf("%s has %d bytes", e.Name(), info.Size())
		}
	}
	if last := l.last(); len(last) != logLast || last[logLast-1] != "no newline at the end" {
		t.Errorf("last lines: %d", len(last))
	}
}

// What carries users' requests has nothing of the shell that started it but
// what is named; the control plane, which runs git and builds, has all of it.
func TestRegionsHaveWhatIsNamedAlone(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of whoever started it")
	t.Setenv("PASSED", "on purpose")
	for _, p := range Processes("data", "127.0.0.1:0", "127.0.0.1:0", []string{"west"}, []string{"PASSED"}) {
		env := p.env()
		has := func(name string) bool {
			return slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		}
		if secret := has("AWS_SECRET_ACCESS_KEY"); secret != (p.Name == "control") {
			t.Errorf("%s has the credentials of the shell: %v", p.Name, secret)
		}
		if passed := has("PASSED"); passed != (p.Name != "edge") {
			t.Errorf("%s has what is passed by name: %v", p.Name, passed)
		}
		if !has("PATH") {
			t.Errorf("%s has no PATH", p.Name)
		}
	}
}

// TestOutageOfARegion: an outage ends when it is asked to, or when its time is over, and
// that also after the supervisor was replaced; it neither begins nor ends what is down for
// another reason.
func TestOutageOfARegion(t *testing.T) {
	o := testOptions(t.TempDir())
	r := supervise(t, o)
	up := r.allReady(4)
	client, err := NewSupervisor(o.Data)
	if err != nil {
		t.Fatal(err)
	}
	ready := func(e Event) bool { return e.Process == "region-west" && e.State == Ready }
	begin := func(fault string, lasts time.Duration) {
		t.Helper()
		if err := client.BeginOutage(t.Context(), "west", fault, time.Now().Add(lasts)); err != nil {
			t.Fatal(err)
		}
	}
	begin("f1", time.Hour)
	begin("f1", time.Hour) // the same again
	if fault, _, until, err := client.Outage(t.Context(), "west"); alive(up["region-west"].PID) || fault != "f1" || time.Until(until) < 59*time.Minute || err != nil {
		t.Errorf("lives %v, outage %q until %s, %v", alive(up["region-west"].PID), fault, until, err)
	}
	if err := client.BeginOutage(t.Context(), "west", "f2", time.Now().Add(time.Hour)); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("a second outage: %v", err)
	}
	if err := client.EndOutage(t.Context(), "west", "f2"); err != nil {
		t.Error(err)
	}
	if fault, _, _, _ := client.Outage(t.Context(), "west"); fault != "f1" {
		t.Errorf("another outage's end ended it: %q", fault)
	}
	if err := client.EndOutage(t.Context(), "west", "f1"); err != nil {
		t.Fatal(err)
	}
	r.await("the region again", ready)
	if fault, _, _, err := client.Outage(t.Context(), "west"); fault != "" || err != nil {
		t.Errorf("after its end: %q, %v", fault, err)
	}
	begin("f3", 300*time.Millisecond)
	r.await("the region after its time", ready)
	begin("f4", 1500*time.Millisecond)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = supervise(t, o) // it ends the outage of the earlier one
	r.await("the region of the second supervisor", ready)
	if err := client.TakeDown(t.Context(), "west", "by hand", true); err != nil {
		t.Fatal(err)
	}
	if err := client.EndOutage(t.Context(), "west", "f4"); err != nil {
		t.Error(err)
	}
	list, err := client.Processes(t.Context())
	if i := slices.IndexFunc(list, func(e Event) bool { return e.Process == "region-west" }); err != nil || list[i].State != Stopped || list[i].Outage != nil {
		t.Errorf("%+v, %v", list, err)
	}
}
