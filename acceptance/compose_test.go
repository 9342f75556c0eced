package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"showrunner/execution"
	"showrunner/store/pgtest"
)

// composeService is the part of a service in compose.yaml that defines its
// process.
type composeService struct {
	Image       string            `yaml:"image"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
}

// TestComposeFile starts the services of compose.yaml without containers: the
// same commands with a database and addresses of this machine. Both control
// planes use one database and one data folder, and the regions of the first.
func TestComposeFile(t *testing.T) {
	t.Parallel()
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
	var file struct {
		Services map[string]composeService `yaml:"services"`
	}
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	first, second, edge := freeAddress(t), freeAddress(t), freeAddress(t)
	here := strings.NewReplacer("0.0.0.0:7070", first, "0.0.0.0:7071", second, "0.0.0.0:8080", edge)
	data := filepath.Join(t.TempDir(), "data")
	start := func(name, address string) *world {
		s := file.Services[name]
		if s.Image != "showrunner" || !strings.HasPrefix(s.Environment["SHOWRUNNER_DATABASE"], "postgres://") {
			t.Fatalf("%s is not one of ours: %+v", name, s)
		}
		w := &world{t: t, data: data, listen: address, output: &lockedBuffer{}}
		var args []string
		for _, a := range s.Command {
			args = append(args, here.Replace(a))
		}
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), "SHOWRUNNER_DATA="+data, "SHOWRUNNER_DATABASE="+database) // as the image and the file set them
		cmd.Stdout, cmd.Stderr = w.output, w.output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
			cmd.Wait()                          //nolint:errcheck // it was interrupted
			if t.Failed() {
				t.Logf("%s said:\n%s", name, tail(w.output.String(), 40))
			}
		})
		w.eventually(60*time.Second, name+" is ready", func() error {
			answer, err := http.Get("http://" + address + "/readyz")
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				return errors.New(answer.Status)
			}
			return nil
		})
		return w
	}
	a := start("showrunner", first)
	b := start("second", second)
	pipeline := filepath.Join(t.TempDir(), "showrunner.yaml")
	if err := os.WriteFile(pipeline, []byte("application: shop\npipelines: { release: { stages: { pause: { wait: { for: 1ms } } } } }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, w := range []*world{a, b} { // each control plane knows what the other was told
		for _, args := range [][]string{{"apply", pipeline}, {"run", "shop/release", "--watch"}} {
			if _, errs, code := w.cli(args...); code != 0 {
				t.Fatalf("%v: %d %s", args, code, errs)
			}
		}
		other := []*world{b, a}[i]
		out, errs, _ := other.cli("executions", "show", fmt.Sprintf("shop/release#%d", i+1), "-o", "json")
		var e execution.Execution
		if err := json.Unmarshal([]byte(out), &e); err != nil || e.Status != execution.Succeeded {
			t.Fatalf("run %d at the other control plane: %v %s %s", i+1, err, out, errs)
		}
	}
}

// TestImageIsWhatComposeStarts: the image starts from an empty state as
// compose.yaml says.
func TestImageIsWhatComposeStarts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	compose, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"FROM scratch\n", "SHOWRUNNER_DATA=/data", "USER 65532:65532\n", "COPY tmp /tmp\n", `CMD ["up", "--listen", "0.0.0.0:7070", "--edge", "0.0.0.0:8080"]`} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the Dockerfile has no %q", line)
		}
	}
	if !strings.Contains(string(compose), `command: [up, --listen, "0.0.0.0:7070", --edge, "0.0.0.0:8080"]`) {
		t.Error("compose.yaml starts something else than the image does by itself")
	}
}
