package control

import (
	"strings"
	"testing"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/coarsecloud"
	"showrunner/cloud/driver"
)

// A file that asks a cloud for what it cannot do is refused before anything is
// applied, at the stage's strategy, and so are accounts and regions that are not
// there; what is not known is left to the plan.
func TestFilesAreCheckedAgainstWhatCloudsCanDo(t *testing.T) {
	whole, coarse := coarsecloud.Facts(), coarsecloud.Facts()
	whole.AllOrNothing = true
	fine := coarsecloud.Facts()
	fine.Resolution = 0
	images := coarsecloud.Facts()
	images.Workloads = []driver.WorkloadKind{driver.ImageWorkload}
	coarse.Resolution = 10
	const (
		canary = "canary: { steps: [5, 50] }"
		slow   = "canary: { steps: [10, 50], judge: { maxP99: 100ms, maxErrorRate: 0.05 } }"
	)
	for name, c := range map[string]struct {
		facts    coarsecloud.Config
		strategy string
		more     string
		want     string // part of the finding; "" is a valid file
	}{
		"all or nothing":      {coarsecloud.Config{Facts: whole}, canary, "", "one version all of it"},
		"red-black there":     {coarsecloud.Config{Facts: whole}, "red-black", "", ""},
		"too fine a step":     {coarsecloud.Config{Facts: coarse}, "canary: { steps: [2, 50] }", "", "sets shares in steps of 10 %"},
		"no latencies":        {coarsecloud.Config{Facts: coarsecloud.Facts()}, slow, "", "measures none"},
		"it can":              {coarsecloud.Config{Facts: coarsecloud.Facts()}, canary, "", ""},
		"steps that fall":     {coarsecloud.Config{Facts: fine}, "canary: { steps: [50, 10] }", "", "must rise"},
		"it runs images":      {coarsecloud.Config{Facts: images}, "red-black", "", "no workloads of the kind process"},
		"another region":      {coarsecloud.Config{Facts: coarsecloud.Facts()}, canary, "waves: [{ regions: [c] }]", `no region "c"; this control plane has a, b`},
		"another account":     {coarsecloud.Config{Facts: coarsecloud.Facts()}, canary, "account: locale", `no account "locale"; this control plane has local`},
		"its own account":     {coarsecloud.Config{Facts: coarsecloud.Facts()}, canary, "account: local", ""},
		"all or nothing, b":   {coarsecloud.Config{Facts: whole}, canary, "waves: [{ regions: [b] }]", "b: the strategy canary"},
		"nobody can be asked": {coarsecloud.Config{}, canary, "", ""},
	} {
		var s *Service
		if name == "nobody can be asked" {
			s = New(Deps{})
		} else {
			c.facts.Regions = []string{"a", "b"}
			s = New(Deps{Accounts: one{cloud.NewAccount("local", coarsecloud.New(c.facts), cloud.Options{})}})
		}
		strategy := "      strategy: " + c.strategy
		if strings.Contains(c.strategy, ":") {
			strategy = "      strategy: { " + c.strategy + " }"
		}
		file := strings.Join([]string{"application: shop", "pipelines:", "  release:", "    stages:", "      source: { git: { url: https://example.com/x.git } }",
			"      prod:", "        needs: [source]", "        deploy:", "          cluster: shop", "          artifact: source", "          command: [./x]",
			"          health: { path: / }", "          capacity: { min: 1, desired: 1, max: 1 }", "    " + strategy}, "\n") + "\n"
		if c.more != "" {
			file += "          " + c.more + "\n"
		}
		_, found := s.Check(t.Context(), File{Name: "showrunner.yaml", Source: []byte(file)})
		if c.want == "" {
			if found.HasErrors() {
				t.Errorf("%s: %v", name, found)
			}
			continue
		}
		if len(found) != 1 || !found.HasErrors() || !strings.Contains(found[0].Message, c.want) || found[0].Line < 13 {
			t.Errorf("%s: %+v, want one error that says %q", name, found, c.want)
		}
	}
}
