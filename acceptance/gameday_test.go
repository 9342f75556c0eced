package acceptance

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestAGameDay: a short game day notices nothing that users would, and recovers from
// everything; without self-healing its report fails.
func TestAGameDay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flags []string
		exit  int
	}{
		"healing":         {[]string{"--kills", "4", "--deployments", "1", "--zone-outages", "1", "--region-outages", "1"}, 0},
		"without healing": {[]string{"--kills", "3", "--deployments", "0", "--zone-outages", "0", "--region-outages", "0", "--without-healing"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "report")
			cmd := exec.Command(binary, append([]string{"gameday", "--data", filepath.Join(dir, "data"), "--out", out, "--for", "30s", "--rate", "50", "--seed", "3"}, tc.flags...)...)
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			_ = cmd.Run() // its exit code is looked at
			if got := cmd.ProcessState.ExitCode(); got != tc.exit {
				t.Fatalf("exit code %d, want %d:\n%s", got, tc.exit, said.String())
			}
			text, err := os.ReadFile(filepath.Join(out, "report.json"))
			if err != nil {
				t.Fatal(err)
			}
			var r struct {
				Passed bool
				All    struct{ Requests, Failed int }
				Events []struct {
					Failure     string
					Unrecovered bool
				}
			}
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			if r.Passed != (tc.exit == 0) || r.All.Requests < 1000 || r.All.Failed != 0 || len(r.Events) == 0 {
				t.Errorf("%s\n%s", text, said.String())
			}
		})
	}
}
