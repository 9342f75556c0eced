package control

import (
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/store/record/recordtest"
)

// A review finds what is live also where the name of the cluster is an expression, and
// where another field of the stage cannot be known yet; a rollback that came later is
// not called an older version.
func TestReviewFindsThePlaceOfAStage(t *testing.T) {
	h := newHistory()
	h.start("older", "approval")
	e := h.executions["older"]
	e.Parameters = map[string]string{"stack": "prod"}
	e.Definition = &pipeline.Pipeline{Stages: []pipeline.Stage{{Name: "s", Kind: "approval"},
		{Name: "named", Kind: "rollback", Needs: []string{"s"}, With: []byte(`{"cluster":"${{ parameters.stack }}-shop"}`)},
		{Name: "plain", Kind: "deploy", Needs: []string{"s"}, With: []byte(`{"cluster":"prod-shop","artifact":"${{ stages.none.outputs.x }}"}`)},
		{Name: "open", Kind: "deploy", Needs: []string{"s"}, With: []byte(`{"cluster":"${{ stages.none.outputs.x }}"}`)}}}
	h.start("back", "rollback")
	h.executions["back"].Pipeline, h.executions["back"].Number = RollbackPipeline, 3
	h.executions["back"].Revision = &execution.Revision{Message: "Say it"}
	h.end("back", execution.Succeeded, map[string]any{"cluster": "prod-shop", "account": "local", "version": "v1", "strategy": "red-black", "serverGroups": map[string]any{"a": "prod-shop-v001"}})
	s := New(Deps{Engine: h, Records: &recordtest.Records{}, Now: time.Now, FreezeWatch: NewFreezeWatch(nil, time.Now), Accounts: one{cloud.NewAccount("local", memcloud.New(memcloud.Config{Regions: []string{"a"}}), cloud.Options{})}})
	r, err := s.ReviewApproval(t.Context(), owner, "older", "s")
	if err != nil || len(r.Next) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, st := range r.Next[:2] {
		if st.Target != "prod-shop" || len(st.Live) != 1 || st.Live[0].Version != "v1" || st.Live[0].Number != 3 || st.Live[0].Revision == nil {
			t.Errorf("%s: %+v", st.Name, st)
		}
		if st.Unknown == "" && st.Refused == "" {
			t.Errorf("%s does not say that its changes are not known", st.Name)
		}
	}
	if open := r.Next[2]; open.Target != "" || open.Unknown == "" {
		t.Errorf("a name that is not known yet: %+v", open)
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "was rolled back to v1 by execution back") || strings.Contains(r.Warnings[0], "older version") {
		t.Errorf("%q", r.Warnings)
	}
}
