package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"showrunner/build"
	"showrunner/store/pgtest"
)

// host is one machine: a control plane with its own data folder, and with a
// database and a folder that it shares with other hosts.
type host struct {
	*world
	shared, database, patience string
	flags                      []string // in addition to the flags of every host
	cmd                        *exec.Cmd
}

// newHosts makes hosts; none of them runs yet. notes is a folder in which builds
// write lines that a test counts.
func newHosts(t *testing.T, patience string, n int) (hosts []*host, notes string) {
	t.Helper()
	server, err := pgtest.Start(t.Context())
	if errors.Is(err, pgtest.ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	database, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	notes = filepath.Join(dir, "notes")
	if err := os.Mkdir(notes, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"}[:n] {
		h := &host{world: &world{t: t, data: filepath.Join(dir, name), listen: freeAddress(t), output: &lockedBuffer{}},
			shared: filepath.Join(dir, "shared"), database: database, patience: patience}
		t.Cleanup(func() {
			h.end(syscall.SIGTERM)
			h.buildsEnd()
			if t.Failed() {
				t.Logf("%s said:\n%s", name, tail(h.output.String(), 60))
			}
		})
		hosts = append(hosts, h)
	}
	// A test never waits without a limit.
	t.Cleanup(func() { os.WriteFile(filepath.Join(notes, "go"), nil, 0o600) })
	return hosts, notes
}

// twoHosts are the hosts of newHosts, by name.
func twoHosts(t *testing.T, patience string) (a, b *host, notes string) {
	t.Helper()
	hosts, notes := newHosts(t, patience, 2)
	return hosts[0], hosts[1], notes
}

// launch starts the control plane and does not wait for it.
func (h *host) launch(flags ...string) {
	h.t.Helper()
	cmd := exec.Command(binary, append([]string{"control", "--data", h.data, "--shared", h.shared, "--listen", h.listen, "--builds-lost-after", h.patience, "--regions", "nowhere"}, flags...)...)
	cmd.Env = append(os.Environ(), "SHOWRUNNER_DATABASE="+h.database)
	cmd.Stdout, cmd.Stderr = h.output, h.output
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.cmd = cmd // only a process that started can be ended
}

func (h *host) begin() {
	h.t.Helper()
	h.launch(h.flags...)
	h.eventually(30*time.Second, "control answers", func() error {
		if _, errs, code := h.cli("executions", "list"); code != 0 {
			return errors.New(errs)
		}
		return nil
	})
}

func (h *host) end(signal syscall.Signal) {
	if h.cmd != nil {
		h.cmd.Process.Signal(signal)
		h.cmd.Wait()
		h.cmd = nil
	}
}

// buildsEnd waits until the builds that outlived their control plane have ended,
// with their supervisors: they write to the host's folder until then.
func (h *host) buildsEnd() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	folders, _ := filepath.Glob(filepath.Join(h.data, "builds", "*", "job.json"))
	for _, file := range folders {
		b, err := build.Attach(filepath.Dir(file))
		if err != nil {
			continue // the build never began
		}
		if _, err := b.Wait(ctx); err != nil {
			h.t.Errorf("a build is left over: %v", err)
			continue
		}
		state, err := b.State()
		if err != nil {
			continue // the build ended before it began
		}
		h.eventually(10*time.Second, "the supervisor of a build ends", func() error {
			if syscall.Kill(state.PID, 0) == nil {
				return fmt.Errorf("process %d runs", state.PID)
			}
			return nil
		})
	}
}

// destroy ends all processes of a host, its builds included, and removes its
// files.
func (h *host) destroy(shell int) {
	h.t.Helper()
	supervisor := h.supervisor()
	h.end(syscall.SIGKILL)
	for _, pid := range []int{supervisor, shell} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			h.t.Fatal(err)
		}
	}
	h.eventually(10*time.Second, "the files are gone", func() error { return os.RemoveAll(h.data) })
}

// supervisor is the process that supervises the host's only build.
func (h *host) supervisor() (pid int) {
	h.t.Helper()
	h.eventually(10*time.Second, "a supervisor", func() error {
		states, err := filepath.Glob(filepath.Join(h.data, "builds", "*", "state.json"))
		if err != nil || len(states) != 1 {
			return fmt.Errorf("%v, %v", states, err)
		}
		text, err := os.ReadFile(states[0])
		if err != nil {
			return err
		}
		_, err = fmt.Sscanf(string(text), `{"pid":%d`, &pid)
		return err
	})
	return pid
}

// blocking are commands whose first start waits until the file go is in notes.
// Every start writes its number.
func blocking(notes string) string {
	return strings.NewReplacer("NOTES", notes).Replace(`        - n=$(ls NOTES | grep -c '^start' || :); export n
        - echo $$ > NOTES/.new && mv NOTES/.new NOTES/start.$n && echo this is start $n
        - if [ $n = 0 ]; then while [ ! -e NOTES/go ]; do sleep 0.05; done; fi
`)
}

// shell is the process of a start's shell, once it runs.
func (h *host) shell(notes string, start int) (pid int) {
	h.t.Helper()
	h.eventually(time.Minute, fmt.Sprintf("start %d", start), func() error {
		text, err := os.ReadFile(filepath.Join(notes, "start."+strconv.Itoa(start)))
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	})
	return pid
}

type hostedExecution struct {
	ID, Status string
	Stages     []struct {
		Name, Status string
		Attempt      int
		Outputs      map[string]any
		Failure      *struct{ Code, Cause string }
		Phase        string
		Reason       string
	}
}

func (h *host) show(id string) (e hostedExecution) {
	h.t.Helper()
	h.json(&e, "executions", "show", id)
	return e
}

// ends waits for an execution to end with a status.
func (h *host) ends(id, status string) (e hostedExecution) {
	h.t.Helper()
	h.eventually(90*time.Second, "the execution is "+status, func() error {
		if e = h.show(id); e.Status == "Terminal" {
			h.t.Fatalf("%+v\n%s", e, h.must("executions", "logs", id))
		}
		if e.Status != status {
			return fmt.Errorf("%+v", e)
		}
		return nil
	})
	return e
}

// release makes a host begin a build of a repository's commit.
func (h *host) release(notes string) (id string) {
	h.t.Helper()
	r := newRepo(h.t, map[string]string{"a.txt": "the source"})
	return h.apply("application: shop\npipelines:\n  release:\n    concurrency: parallel\n    stages:\n      source: {git: {url: " + r.dir + ", branch: main}}\n" +
		"      build:\n        needs: [source]\n        build:\n          inline: |\n            version: 0.2\n            env: {exported-variables: [n]}\n            phases:\n              build:\n                commands:\n" +
		strings.ReplaceAll("\n"+blocking(notes), "\n  ", "\n            ")[1:] +
		"                  - cp a.txt out.txt; echo $n >> out.txt\n            artifacts: {files: out.txt}\n" +
		"      after: {needs: [build], run: {artifact: build, commands: ['cat out.txt']}}\n")
}

func (h *host) apply(text string) string {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "showrunner.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.must("apply", "-f", file)
	return strings.TrimSpace(h.must("run", "shop/release", "-o", "name"))
}

func (e hostedExecution) variable(name string) string {
	for _, s := range e.Stages {
		if v, ok := s.Outputs["variables"].(map[string]any); ok && s.Name == "build" {
			return fmt.Sprint(v[name])
		}
	}
	return ""
}

func starts(t *testing.T, notes string) int {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(notes, "start.*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
