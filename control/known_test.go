package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

// ran is an engine in which one application has had an execution.
type ran struct {
	Engine
	application string
}

func (r ran) List(_ context.Context, q execution.Query) (execution.Page, error) {
	if q.Application != r.application {
		return execution.Page{}, nil
	}
	return execution.Page{Executions: []execution.Execution{{Application: q.Application}}}, nil
}

const shopFile = `application: shop
pipelines:
  release:
    stages:
      source: { git: { url: "https://example.com/shop.git" } }
      site: { needs: [source], deploy-site: { site: shop, artifact: source, waves: [{ regions: [us-east-1] }] } }
`

func withShop(t *testing.T) *Service {
	t.Helper()
	account := cloud.NewAccount("local", memcloud.New(memcloud.Config{Regions: []string{"us-west-2", "us-east-1"}}), cloud.Options{})
	s := New(Deps{Records: &recordtest.Records{}, Engine: ran{application: "gone"}, Accounts: one{account}, FreezeWatch: NewFreezeWatch(nil, time.Now), Now: time.Now})
	s.FreezeWatch.known.Store(&knownFreezes{})
	if _, err := s.Apply(t.Context(), owner, File{Name: "showrunner.yaml", Source: []byte(shopFile)}, 0); err != nil {
		t.Fatal(err)
	}
	return s
}

// An application without a file and without a run is refused, with what was
// probably meant: by its name, or by that of its cluster.
func TestAnUnknownApplicationIsRefused(t *testing.T) {
	s := withShop(t)
	for name, help := range map[string]string{"shop": "", "gone": "", "shpo": "did you mean shop?", "shop-production": "did you mean shop?", "billing": "showrunner apply -f FILE"} {
		_, instances := s.Instances(t.Context(), owner, name, false)
		for what, err := range map[string]error{"known": s.KnownApplication(t.Context(), name), "instances": instances} {
			if (help == "") != (err == nil) || err != nil && problem.CodeOf(err) != problem.NotFound || !strings.Contains(problem.HelpOf(err), help) {
				t.Errorf("%s of %s: %v (%s)", what, name, err, problem.HelpOf(err))
			}
		}
	}
}

// A freeze names applications that are there, unless it is forced; globs may match
// what comes later.
func TestAFreezeNamesKnownApplications(t *testing.T) {
	s := withShop(t)
	for name, c := range map[string]struct {
		applications, exempt []string
		force, refused       bool
	}{
		"everything":        {},
		"known":             {applications: []string{"shop"}, exempt: []string{"shop/hotfix"}},
		"globs":             {applications: []string{"shpo-*", "s[hx]pp"}, exempt: []string{"*/hotfix"}},
		"misspelled":        {applications: []string{"shop", "shpo"}, refused: true},
		"misspelled exempt": {exempt: []string{"shpo/hotfix"}, refused: true},
		"forced":            {applications: []string{"shpo"}, force: true},
	} {
		_, err := s.PutFreeze(t.Context(), owner, Freeze{Name: "peak", Reason: "peak week", Applications: c.applications, Exempt: c.exempt, ExemptReason: "security"}, c.force)
		if (err != nil) != c.refused || c.refused && (problem.CodeOf(err) != problem.NotFound || !strings.Contains(problem.HelpOf(err), "did you mean shop?")) {
			t.Errorf("%s: %v (%s)", name, err, problem.HelpOf(err))
		}
	}
}

// A region that the local account does not have is refused when the file is handed
// over, at its place; a plan of a file from before says that it is not there.
func TestAMisspelledRegionIsRefused(t *testing.T) {
	s := withShop(t)
	_, err := s.Apply(t.Context(), owner, File{Name: "showrunner.yaml", Source: []byte(strings.ReplaceAll(shopFile, "us-east-1", "us-esat-1"))}, 0)
	refused, ok := err.(*Refused)
	if !ok || len(refused.Diagnostics) != 1 || refused.Diagnostics[0].Line != 6 || refused.Diagnostics[0].Suggestion != "us-east-1" {
		t.Fatalf("%#v", err)
	}
	var site, service PreviewStage
	waves := []pipeline.Wave{{Regions: []string{"us-esat-1"}}}
	s.previewSite(t.Context(), pipeline.DeploySite{Site: "shop", Waves: waves}, &site)
	s.previewDeploy(t.Context(), pipeline.Deploy{Cluster: "shop", Waves: waves}, &service)
	for _, ps := range []PreviewStage{site, service} {
		if !strings.Contains(ps.Refused, `no region "us-esat-1"`) || !strings.Contains(ps.Refused, "did you mean us-east-1?") || len(ps.Changes) > 0 {
			t.Errorf("%+v", ps)
		}
	}
}
