package acceptance

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// wirePort stands between the reader's clients and the endpoint. It counts
// connections, and says when the first of a step has come.
type wirePort struct {
	address string
	arrived atomic.Int64
	mu      sync.Mutex
	first   chan struct{} // closed with the next connection; nil when nobody waits
}

func newWirePort(t *testing.T, to string) *wirePort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &wirePort{address: l.Addr().String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.arrive()
			go pass(client, to)
		}
	}()
	return p
}

func (p *wirePort) arrive() {
	p.arrived.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first != nil {
		close(p.first)
		p.first = nil
	}
}

// next is closed when a connection comes.
func (p *wirePort) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first = make(chan struct{})
	return p.first
}

// pass carries bytes in both directions until one side ends.
func pass(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	go func() { io.Copy(server, client); done <- struct{}{} }()
	go func() { io.Copy(client, server); done <- struct{}{} }()
	<-done
}

// repeated are the answers to a command that is typed again, when the first one has
// happened although its answer was lost.
var repeated = []string{"ResourceExistsException", "AlreadyExists", "not idempotent", "ResourceInUseException", "ServiceNotFoundException", "ServiceNotActiveException", "AutoScalingGroup name not found"}

// TestTheArticleSurvivesKills types the article's commands while control is killed
// with SIGKILL at a random moment of each: its clients repeat requests by themselves,
// and a command that failed is typed again. What it says has happened once.
func TestTheArticleSurvivesKills(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newReader(t)
	address, err := os.ReadFile(filepath.Join(r.data, "aws.addr"))
	if err != nil {
		t.Fatal(err)
	}
	port := newWirePort(t, strings.TrimSpace(string(address)))
	for _, p := range readPage(t) {
		if p.step == nil {
			continue
		}
		kill := happened[p.step.name] != nil || p.step.name == "diff"
		before := port.arrived.Load()
		for attempt := 1; ; attempt++ {
			out, err := r.typedWhileKilled(p.step, port, kill && attempt == 1, random)
			if err == nil || attempt > 1 && answersRepeated(out) {
				break
			}
			t.Logf("%s failed, attempt %d:\n%s", p.step.name, attempt, tail(out, 6))
			if attempt == 5 {
				t.Fatalf("%s\n%s%v", p.step.script, out, err)
			}
		}
		if check := happened[p.step.name]; check != nil {
			check(r, int(port.arrived.Load()-before))
		}
		if strings.Contains(p.step.script, "showrunner aws env") {
			r.says("AWS_ENDPOINT_URL=http://" + port.address)
		}
	}
}

func answersRepeated(out string) bool {
	for _, known := range repeated {
		if strings.Contains(out, known) {
			return true
		}
	}
	return false
}

// typedWhileKilled runs a block, and kills control at a random moment after the
// block's first request has come.
func (r *reader) typedWhileKilled(s *pageStep, port *wirePort, kill bool, random *rand.Rand) (string, error) {
	r.t.Helper()
	if !kill {
		return r.run(s)
	}
	most := 120 * time.Millisecond
	if strings.Contains(s.script, "npx cdk") {
		most = time.Second
	}
	killed := r.killAfterArrival(port, time.Duration(random.Int64N(int64(most))))
	out, err := r.run(s)
	killed()
	r.eventually(time.Minute, "control runs again", func() error {
		_, err := r.run(&pageStep{script: "aws sts get-caller-identity"})
		return err
	})
	return out, err
}

// killAfterArrival kills control some time after the next connection has come. Whoever
// caused the connection calls the function that it returns, which waits for the kill; it
// does nothing when no connection came.
func (w *world) killAfterArrival(port *wirePort, delay time.Duration) (killed func()) {
	w.t.Helper()
	control := w.pid("control")
	came, ended, done := port.next(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-came:
		case <-ended:
			return
		}
		timer := time.NewTimer(delay)
		defer timer.Stop()
		<-timer.C
		if err := syscall.Kill(control, syscall.SIGKILL); err != nil {
			w.t.Errorf("killing control: %v", err)
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}
