package fleet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/problem"
)

// A folder of an earlier version is opened: its groups run again.
func TestAStateOfFormOneIsTakenOver(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	made := r.Create(r.Spec("storefront-prod", cloudtest.Serve, 1))
	r.WaitServing(made.Name, 1)
	r.stop()
	path := filepath.Join(r.dir, "state.json")
	var doc map[string]any
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	spec := doc["groups"].(map[string]any)[made.Name].(map[string]any)["spec"].(map[string]any)
	process := spec["workload"].(map[string]any)["process"].(map[string]any)
	spec["artifact"], spec["command"] = process["artifact"], process["command"]
	delete(spec, "workload")
	delete(spec, "application")
	doc["form"] = 1
	if text, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	g := cloudtest.New(t, r.target()).WaitServing(made.Name, 1)
	if p := g.Spec.Workload.Process; p == nil || p.Artifact != r.Artifact || g.Spec.Application != "storefront" {
		t.Errorf("taken over as %+v of %q", g.Spec.Workload, g.Spec.Application)
	}
	if got := r.Resolve("storefront"); got != "storefront-prod" {
		t.Errorf("the application is found as cluster %q", got)
	}
}

// An unsupported specification is refused by name before anything is made.
func TestOnlyProcessesAreRun(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	image := r.Spec("app", cloudtest.Serve, 1)
	image.Workload = driver.Workload{Image: &driver.Image{Reference: "app@sha256:" + strings.Repeat("0", 64)}}
	function := driver.ServerGroupSpec{Cluster: "app", Workload: driver.Workload{Function: &driver.Function{Artifact: "a", Handler: "h", Runtime: "r"}}}
	reference := r.Spec("app", cloudtest.Serve, 1)
	reference.Env["TOKEN"] = driver.EnvValue{Secret: "vault/token#3"}
	for says, spec := range map[string]driver.ServerGroupSpec{"kind image": image, "kind function": function, "TOKEN refers to a secret": reference} {
		_, err := r.CreateServerGroup(t.Context(), "test-1", spec, r.Key())
		if problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if list, err := r.ServerGroups(t.Context(), "test-1", ""); err != nil || len(list) != 0 {
		t.Errorf("the refused group was made: %v, %v", list, err)
	}
	if made := r.Create(r.Spec("app", cloudtest.Serve, 0)); made.Name != "app-v000" {
		t.Errorf("a refusal used up a number: %s", made.Name)
	}
}
