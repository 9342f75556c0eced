package fleet

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"showrunner/cloud/cloudtest"
)

// An instance gets only the named variables of the region's environment.
func TestInstancesInheritOnlyNamedVariables(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of whoever started it")
	t.Setenv("PASSED", "on purpose")
	r := openReal(t, func(c *Config) { c.PassEnv = []string{"PASSED"} })
	g := r.WaitServing(r.Create(r.Spec("app", cloudtest.Serve, 1)).Name, 1)
	text, err := os.ReadFile("/proc/" + strconv.Itoa(g.Instances[0].PID) + "/environ")
	if err != nil {
		t.Skipf("this system does not show environments: %v", err)
	}
	var names []string
	for _, v := range strings.Split(strings.TrimRight(string(text), "\x00"), "\x00") {
		name, _, _ := strings.Cut(v, "=")
		names = append(names, name)
	}
	own := []string{"HOME", "TMPDIR", "HOST", "PORT", "SHOWRUNNER_REGION", "SHOWRUNNER_ZONE", "SHOWRUNNER_INSTANCE", "SHOWRUNNER_SERVER_GROUP",
		"SHOWRUNNER_VERSION", markName, cloudtest.ModeVariable, "PASSED"}
	for _, name := range names {
		if !slices.Contains(own, name) && !slices.Contains(inherited, name) {
			t.Errorf("it has %s", name)
		}
	}
	for _, name := range own {
		if !slices.Contains(names, name) {
			t.Errorf("it lacks %s", name)
		}
	}
}
