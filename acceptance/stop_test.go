package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAnOrderlyStopIsQuickAndSilent: a control plane is stopped while 300 run
// stages wait for a place, two run, and a client follows the events. It stops
// within seconds without warnings; the next control plane continues all of them.
func TestAnOrderlyStopIsQuickAndSilent(t *testing.T) {
	t.Parallel()
	const stages = 300
	hosts, notes := newHosts(t, "10m", 1)
	h := hosts[0]
	h.flags = []string{"--builds-at-once", "2"}
	h.begin()
	var text strings.Builder
	text.WriteString("application: shop\npipelines:\n  release:\n    stages:\n")
	for n := range stages {
		fmt.Fprintf(&text, "      s%d: {run: {commands: ['while [ ! -e %s ]; do sleep 0.1; done']}}\n", n, filepath.Join(notes, "go"))
	}
	id := h.apply(text.String())
	waiting := func(reason string) {
		t.Helper()
		h.eventually(60*time.Second, "all but two wait", func() error {
			n := 0
			for _, s := range h.show(id).Stages {
				if s.Phase == "waiting" && strings.HasPrefix(s.Reason, reason) {
					n++
				}
			}
			if n != stages-2 {
				return fmt.Errorf("%d wait", n)
			}
			return nil
		})
	}
	waiting("waits for a place")
	follow := exec.CommandContext(t.Context(), binary, "events", "--follow")
	follow.Env = append(os.Environ(), "SHOWRUNNER_DATA="+h.data, "SHOWRUNNER_SERVER=http://"+h.listen)
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	h.end(syscall.SIGTERM)
	took := time.Since(began)
	follow.Process.Kill()
	follow.Wait() // the test killed it
	t.Logf("it stopped in %s", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("the stop took %s", took)
	}
	for _, line := range strings.Split(h.output.String(), "\n") {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Errorf("it says %s", line)
		}
	}
	h.begin()
	waiting("waits for a place: 2 builds run here")
	h.must("executions", "cancel", id)
}
