package acceptance

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// outside is a control plane with the view of its users.
func outside(t *testing.T) *world {
	t.Helper()
	return newWorld(t, "us-west-2")
}

// deliverFile applies a pipeline file.
func (w *world) deliverFile(text string) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "showrunner.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.must("apply", "-f", file)
}

// TestRefsThatGitFetches: a branch, a tag, a commit, and a repository behind ssh,
// each with exactly its files.
func TestRefsThatGitFetches(t *testing.T) {
	// A replacement for ssh and its remote machine: it runs the command on this
	// machine.
	bin := t.TempDir()
	asked := filepath.Join(bin, "asked")
	script := "#!/bin/sh\necho \"$*\" >> " + asked + "\nfor last; do :; done\nexec sh -c \"$last\"\n"
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	w := outside(t)
	r := newRepo(t, map[string]string{"version": "one"})
	first := r.git("rev-parse", "HEAD")
	r.commit("second", map[string]string{"version": "two"})
	r.git("tag", "v2")
	r.commit("third", map[string]string{"version": "three"})
	stage := func(git string) string {
		return "    stages:\n      source: {git: {" + git + "}}\n      show: {needs: [source], run: {artifact: source, commands: ['echo it is $(cat version)']}}\n"
	}
	w.deliverFile("application: shop\npipelines:\n" +
		"  branch:\n" + stage("url: "+r.dir+", branch: main") + "  tag:\n" + stage("url: "+r.dir+", tag: v2") +
		"  commit:\n" + stage("url: "+r.dir+", commit: "+first) + "  ssh:\n" + stage("url: 'ssh://git@example.test"+r.dir+"', branch: main"))
	for name, want := range map[string]string{"branch": "three", "tag": "two", "commit": "one", "ssh": "three"} {
		w.must("run", "shop/"+name, "--watch")
		if log := w.must("executions", "logs", "shop/"+name, "show"); !strings.Contains(log, "\nit is "+want+"\n") {
			t.Errorf("%s:\n%s", name, log)
		}
	}
	if text, err := os.ReadFile(asked); err != nil || !strings.Contains(string(text), "git@example.test git-upload-pack '"+r.dir+"'") {
		t.Errorf("ssh was asked for %s, %v", text, err)
	}
}

// TestPushesOfTags: deliveries as GitLab and Gitea send them, of tags that a
// filter accepts and of a tag that it does not.
func TestPushesOfTags(t *testing.T) {
	t.Parallel()
	w := outside(t)
	w.deliverFile("application: shop\npipelines:\n  release:\n    concurrency: parallel\n    triggers: [{push: {tags: ['v*']}}]\n    stages: {s: {wait: {for: 1ms}}}\n")
	if _, errs, code := w.cliIn(hookSecret, "secret", "set", "webhook"); code != 0 {
		t.Fatal(errs)
	}
	deliver := func(forge, body string, header map[string]string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.listen+"/hooks/"+forge, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		for name, value := range header {
			req.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d %s", res.StatusCode, answer)
	}
	gitlab := func(tag, commit string) (string, map[string]string) {
		return fmt.Sprintf(`{"object_kind":"tag_push","event_name":"tag_push","ref":"refs/tags/%s","before":"0000000000000000000000000000000000000000","after":%q,"checkout_sha":%q,"user_username":"ada","project":{"path_with_namespace":"acme/shop","git_http_url":"https://gitlab.example.org/acme/shop.git"},"commits":[],"total_commits_count":0}`, tag, commit, commit),
			map[string]string{"X-Gitlab-Event": "Tag Push Hook", "X-Gitlab-Token": hookSecret, "X-Gitlab-Event-UUID": tag}
	}
	gitea := func(tag, commit string) (string, map[string]string) {
		body := pushBody("refs/tags/"+tag, commit)
		return body, map[string]string{"X-Gitea-Event": "push", "X-Gitea-Delivery": tag, "X-Gitea-Signature": strings.TrimPrefix(sign(body), "sha256=")}
	}
	for _, d := range []struct {
		forge, tag, commit, want string
		body                     func(tag, commit string) (string, map[string]string)
	}{
		{"gitlab", "v1", commit1, "202 ", gitlab}, {"gitlab", "nightly", commit1, "200 ", gitlab}, {"gitlab", "v1", commit1, "200 ", gitlab},
		{"gitea", "v2", commit2, "202 ", gitea}, {"gitea", "nightly", commit2, "200 ", gitea},
	} {
		body, header := d.body(d.tag, d.commit)
		if answer := deliver(d.forge, body, header); !strings.HasPrefix(answer, d.want) {
			t.Errorf("%s, tag %s: %s, want %s", d.forge, d.tag, answer, d.want)
		}
	}
	body, header := gitea("v3", commit2)
	header["X-Gitea-Signature"] = strings.Repeat("0", 64)
	if answer := deliver("gitea", body, header); !strings.HasPrefix(answer, "401 ") && !strings.HasPrefix(answer, "403 ") {
		t.Errorf("a forged delivery: %s", answer)
	}
	var page struct {
		Executions []struct{ Trigger map[string]any }
	}
	w.json(&page, "executions", "list")
	tags := map[any]int{}
	for _, e := range page.Executions {
		tags[e.Trigger["tag"]]++
	}
	if len(page.Executions) != 2 || tags["v1"] != 1 || tags["v2"] != 1 {
		t.Errorf("started: %+v", page.Executions)
	}
}

// TestABuildWhoseSupervisorIsKilled: the supervisor is killed with kill -9 in the
// middle of a build. No process of the build is left, its attempt says what
// happened, and the stage's retry runs the build. The log is followed, searched
// and fetched.
func TestABuildWhoseSupervisorIsKilled(t *testing.T) {
	t.Parallel()
	w := outside(t)
	notes := t.TempDir()
	t.Cleanup(func() { os.WriteFile(filepath.Join(notes, "go"), nil, 0o600) })
	w.deliverFile("application: shop\npipelines:\n  release:\n    stages:\n      act:\n        retry: {attempts: 1, backoff: 1ms}\n        run:\n          commands:\n" +
		strings.ReplaceAll("\n"+blocking(notes), "\n      ", "\n          ")[1:] + "            - echo the needle is here\n")
	id := strings.TrimSpace(w.must("run", "shop/release", "-o", "name"))
	h := &host{world: w}
	shell, supervisor := h.shell(notes, 0), h.supervisor()
	w.eventually(time.Minute, "the first attempt's line is in its log", func() error { // output passes through the supervisor
		if text, stderr, code := w.cli("executions", "logs", id, "act"); code != 0 || !strings.Contains(text, "this is start 0") {
			return fmt.Errorf("exit %d: %s%s", code, text, stderr)
		}
		return nil
	})
	if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.eventually(time.Minute, "the first build's shell is gone", func() error {
		if syscall.Kill(shell, 0) == nil {
			return errors.New("it lives")
		}
		return nil
	})
	w.must("executions", "watch", id)
	var e struct {
		Stages []struct {
			Status  string
			Attempt int
			History []struct{ Code string }
		}
	}
	w.json(&e, "executions", "show", id)
	if s := e.Stages[0]; s.Status != "Succeeded" || s.Attempt != 2 || len(s.History) != 1 || s.History[0].Code != "BUILD_FAULT" || starts(t, notes) != 2 {
		t.Errorf("%+v, %d starts", s, starts(t, notes))
	}
	whole := w.must("executions", "logs", id, "act")
	followed := w.must("executions", "logs", id, "act", "--follow")
	if whole != followed || strings.Count(whole, "\nthe needle is here\n") != 1 {
		t.Errorf("the log:\n%s\nfollowed:\n%s", whole, followed)
	}
	if found := w.must("executions", "logs", id, "act", "--grep", "NEEDLE IS"); !strings.Contains(found, "the needle is here") || strings.Contains(found, "Phase ") {
		t.Errorf("found:\n%s", found)
	}
	if first := w.must("executions", "logs", id, "act", "--attempt", "1"); !strings.Contains(first, "this is start 0") {
		t.Errorf("the first attempt's log:\n%s", first)
	}
}
