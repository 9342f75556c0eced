package control

import (
	"context"
	"fmt"
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

// line is a repository of commits in one line, oldest first; each is seven equal digits.
type line struct {
	Repositories
	commits string
}

func (l line) CommitsBetween(_ context.Context, _ pipeline.Git, from, to string) (CommitsBetween, error) {
	f, t := strings.Index(l.commits, from[:1]), strings.Index(l.commits, to[:1])
	if f < 0 {
		return CommitsBetween{}, problem.New(problem.NotFound, "source", "there is no commit %s", from)
	}
	b := CommitsBetween{From: strings.Repeat(from[:1], 40)}
	for i := max(f, t); i > min(f, t); i-- {
		c := Commit{Commit: strings.Repeat(l.commits[i:i+1], 40)}
		if t > f {
			b.Added = append(b.Added, c)
		} else {
			b.Removed = append(b.Removed, c)
		}
	}
	return b, nil
}

// reviewOf is the review of commit 2 of 1, 2 and 3, while a later execution has
// delivered version, of a commit where that is given.
func reviewOf(t *testing.T, version, commit, name string, repositories Repositories) Review {
	t.Helper()
	h := newHistory()
	h.start("e", "git")
	e := h.executions["e"]
	e.Stages[0].Outputs = map[string]any{"commit": strings.Repeat("2", 40)}
	e.Stages = append(e.Stages, execution.StageState{Name: "ask", Kind: "approval"})
	e.Definition = &pipeline.Pipeline{Stages: []pipeline.Stage{{Name: "s", Kind: "git", With: []byte(`{"url":"/r"}`)}, {Name: "ask", Kind: "approval", Needs: []string{"s"}},
		{Name: "service", Kind: "deploy", Needs: []string{"ask"}, With: []byte(`{"cluster":"shop","artifact":"${{ stages.none.outputs.x }}"}`)}}}
	h.start("x", "deploy")
	h.executions["x"].Pipeline = name
	if commit != "" {
		h.executions["x"].Revision = &execution.Revision{Commit: commit}
	}
	h.end("x", execution.Succeeded, map[string]any{"cluster": "shop", "account": "local", "version": version, "serverGroups": map[string]any{"a": "shop-v001", "b": "shop-v001"}})
	s := New(Deps{Engine: h, Records: &recordtest.Records{}, Now: time.Now, FreezeWatch: NewFreezeWatch(nil, time.Now), Repositories: repositories,
		Accounts: one{cloud.NewAccount("local", memcloud.New(memcloud.Config{Regions: []string{"a", "b"}}), cloud.Options{})}})
	r, err := s.ReviewApproval(t.Context(), owner, "e", "ask")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A review lists the commits between what is live and what is delivered, and warns by
// them: when the later execution is the newer commit, and only then.
func TestAReviewListsTheCommitsBetween(t *testing.T) {
	commit := func(n string) string { return strings.Repeat(n, 40) }
	repository := line{commits: "123"}
	for name, tt := range map[string]struct {
		version, commit, pipeline string
		repositories              Repositories
		want, warns, unknown      string
	}{
		"an older commit is live":  {"v9", commit("1"), "release", repository, "+1 -0", "with an older commit", ""},
		"a newer commit is live":   {"v9", commit("3"), "release", repository, "+0 -1", "3333333 is live as shop in a, b, and is newer by 1 commit: approving takes back what came since", ""},
		"the same commit is live":  {"v9", commit("2"), "release", repository, "+0 -0", "with the same commit", ""},
		"rolled back to a version": {"1111111", "", RollbackPipeline, repository, "+1 -0", "approving delivers over the rollback", ""},
		"an unknown commit":        {"v9", commit("7"), "release", repository, "+0 -0", "approving brings the older version back", "there is no commit 7777777"},
		"no commit":                {"v9", "", "release", repository, "+0 -0", "approving brings the older version back", "the commit of what is live is not known"},
		"no repository":            {"v9", commit("1"), "release", nil, "+0 -0", "approving brings the older version back", "no repository is read here"},
	} {
		r := reviewOf(t, tt.version, tt.commit, tt.pipeline, tt.repositories)
		if len(r.Commits) != 1 {
			t.Errorf("%s: %+v", name, r.Commits)
			continue
		}
		c := r.Commits[0]
		if got := fmt.Sprintf("+%d -%d", len(c.Added), len(c.Removed)); got != tt.want || !strings.Contains(c.Unknown, tt.unknown) || (c.Unknown == "") != (tt.unknown == "") || len(c.Where) != 1 {
			t.Errorf("%s: %s, %+v", name, got, c)
		}
		all := strings.Join(r.Warnings, "; ")
		if !strings.Contains(all, tt.warns) || tt.unknown == "" && strings.Contains(all, "older version") != (tt.want == "+0 -1") {
			t.Errorf("%s warns %q", name, all)
		}
	}
}
