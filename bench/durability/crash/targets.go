package crash

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// targets is what stages act on: a file to which a shell's echo appends,
// where every repetition shows, and an HTTP service that recognises a repeated
// call by its key, as such services do.
type targets struct {
	effects string
	service *http.Server
	address string

	mu    sync.Mutex
	calls map[string]int // by Idempotency-Key
}

func newTargets(dir string) (*targets, error) {
	w := &targets{effects: filepath.Join(dir, "effects"), calls: map[string]int{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.address = l.Addr().String()
	w.service = &http.Server{Handler: http.HandlerFunc(w.serve)}
	go func() { _ = w.service.Serve(l) }() // until it is closed
	return w, nil
}

func (w *targets) close() { w.service.Close() }

func (w *targets) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.calls[r.URL.Path+" "+r.Header.Get("Idempotency-Key")]++
	w.mu.Unlock()
	rw.WriteHeader(http.StatusNoContent)
}

// shellStages are the stages of each pipeline that append to the file, and
// callStages those that call the service.
var (
	shellStages = map[string][]string{"ship": {"a", "b", "e", "f"}, "line": {"x", "y"}}
	callStages  = map[string][]string{"ship": {"c"}, "line": nil}
)

// pipelines are the delivered pipelines: six stages with a fork and a join, and
// two pipelines in strict order whose executions have one owner at a time.
func (w *targets) pipelines() string {
	act := func(stage, needs string) string {
		return fmt.Sprintf("      %s: { %srun: { commands: [\"echo ${{ execution.id }} %s >> %s\"] } }\n", stage, needs, stage, w.effects)
	}
	return "application: crash\npipelines:\n  ship:\n    concurrency: parallel\n    stages:\n" +
		act("a", "") + act("b", "needs: [a], ") +
		fmt.Sprintf("      c: { needs: [a], webhook: { url: \"http://%s/${{ execution.id }}/c\" } }\n", w.address) +
		"      d: { needs: [b, c], wait: { for: 100ms } }\n" +
		act("e", "needs: [d], ") + act("f", "needs: [e], ") +
		"  line:\n    concurrency: queue\n    stages:\n" + act("x", "") + act("y", "needs: [x], ") +
		waits("relay", relayStages, "50ms") + waits("chain", 10, "1ms")
}

// relayStages is how many stages the relay pipeline has: enough to be taken over,
// and each short.
const relayStages = 60

// waits is a pipeline of stages that only wait, one after the other.
func waits(name string, stages int, each string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n    concurrency: parallel\n    stages:\n", name)
	for i := range stages {
		needs := ""
		if i > 0 {
			needs = fmt.Sprintf("needs: [w%d], ", i-1)
		}
		fmt.Fprintf(&b, "      w%d: { %swait: { for: %s } }\n", i, needs, each)
	}
	return b.String()
}

// count returns how often each effect happened.
func (w *targets) count() (map[string]int, error) {
	f, err := os.Open(w.effects)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	seen := map[string]int{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		seen[lines.Text()]++
	}
	return seen, lines.Err()
}

// called returns how many different keys a path was called with, and the number
// of calls.
func (w *targets) called() (keys map[string]int, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys = map[string]int{}
	for k, n := range w.calls {
		var path, key string
		_, _ = fmt.Sscan(k, &path, &key) // the key was formatted by this package
		keys[path]++
		total += n
	}
	return keys, total
}
