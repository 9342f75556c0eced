package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spreadStages are run stages without needs; each writes its number and its host.
func spreadStages(n int, notes string) string {
	var b strings.Builder
	b.WriteString("application: shop\npipelines:\n  release:\n    concurrency: parallel\n    stages:\n")
	for i := range n {
		fmt.Fprintf(&b, "      s%d: {run: {commands: ['echo \"%03d $PWD\" >> %s/effects; sleep 0.2']}}\n", i, i, notes)
	}
	return b.String()
}

// effects counts the lines that such stages have written, by number and by host.
func effects(t *testing.T, notes string, hosts []*host) (byNumber map[string]int, byHost []int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(notes, "effects"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	byNumber, byHost = map[string]int{}, make([]int, len(hosts))
	for line := range strings.Lines(string(text)) {
		number, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		byNumber[number]++
		for i, h := range hosts {
			if strings.HasPrefix(dir, h.data+"/") {
				byHost[i]++
			}
		}
	}
	return byNumber, byHost
}

// TestStagesOfOneExecutionRunWhereThereIsAPlace: the stages of one execution wait
// for places on the owner's machine, and also run on the other machines. Each
// runs once, although every control plane is killed in the middle, the owner
// first.
func TestStagesOfOneExecutionRunWhereThereIsAPlace(t *testing.T) {
	t.Parallel()
	const stages = 60
	hosts, notes := newHosts(t, "1m", 3)
	for _, h := range hosts {
		h.flags = []string{"--builds-at-once", "1"}
		h.begin()
	}
	a := hosts[0]
	id := a.apply(spreadStages(stages, notes))
	for n, h := range hosts {
		h.eventually(time.Minute, "more stages run", func() error {
			byNumber, byHost := effects(t, notes, hosts)
			if len(byNumber) < 12*(n+1) || byHost[n] == 0 {
				return fmt.Errorf("%d have run, by host: %v", len(byNumber), byHost)
			}
			return nil
		})
		h.end(syscall.SIGKILL)
		h.begin()
	}
	a.ends(id, "Succeeded")
	byNumber, byHost := effects(t, notes, hosts)
	t.Logf("by host: %v", byHost)
	for number, n := range byNumber {
		if n != 1 {
			t.Errorf("stage %s ran %d times", number, n)
		}
	}
	if len(byNumber) != stages {
		t.Errorf("%d of %d stages ran", len(byNumber), stages)
	}
}

// TestAHostIsLostWithABuildOfAnothersExecution: the machine that began a build is
// gone permanently. The owner of the execution, whose own place was taken all the
// time, starts the build anew.
func TestAHostIsLostWithABuildOfAnothersExecution(t *testing.T) {
	t.Parallel()
	hosts, notes := newHosts(t, "2s", 2)
	a, b := hosts[0], hosts[1]
	a.flags, b.flags = []string{"--builds-at-once", "1"}, []string{"--builds-at-once", "1"}
	a.begin()
	free := filepath.Join(notes, "free")
	a.apply("application: shop\npipelines:\n  release:\n    concurrency: parallel\n    stages:\n" +
		"      holds: {run: {commands: ['touch " + notes + "/held; while [ ! -e " + free + " ]; do sleep 0.05; done']}}\n")
	t.Cleanup(func() { os.WriteFile(free, nil, 0o600) })
	a.eventually(30*time.Second, "the place of the first host is taken", func() error {
		_, err := os.Stat(filepath.Join(notes, "held"))
		return err
	})
	b.begin()
	id := a.release(notes)
	shell := b.shell(notes, 0)
	if e := a.show(id); e.Status != "Running" {
		t.Fatalf("%+v", e)
	}
	b.supervisor() // the build runs on that host
	b.destroy(shell)
	if err := os.WriteFile(free, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := a.ends(id, "Succeeded")
	if n := e.variable("n"); n != "1" || starts(t, notes) != 2 {
		t.Errorf("the result is of start %s, and there were %d starts", n, starts(t, notes))
	}
	if log := a.must("executions", "logs", id, "build"); !strings.Contains(log, "begins on ") || strings.Count(log, "the build is started anew on") != 1 {
		t.Errorf("the log says:\n%s", log)
	}
}
