package acceptance

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// page is a page as text, requested with the token.
func (w *world) page(path string) string {
	w.t.Helper()
	token, err := os.ReadFile(filepath.Join(w.data, "token"))
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.listen+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s, %v\n%s", path, res.Status, err, text)
	}
	return string(text)
}

// TestAPollThatFailsIsSeen: a repository that cannot be reached is shown with the
// reason in every face, and no longer once it answers.
func TestAPollThatFailsIsSeen(t *testing.T) {
	t.Parallel()
	w := outside(t)
	repo := filepath.Join(t.TempDir(), "shop.git")
	r := newRepo(t, map[string]string{"version": "one"})
	r.git("clone", "-q", "--bare", r.dir, repo)
	w.deliverFile("application: shop\npipelines:\n  release:\n    triggers: [{poll: {url: " + repo + ", every: 1s}}]\n    stages: {s: {wait: {for: 1ms}}}\n")
	// The repository is gone after the file was applied, as a disk or a server may be.
	if err := os.Rename(repo, repo+".away"); err != nil {
		t.Fatal(err)
	}
	type status struct {
		Kind, Trigger, Error, Failing, Next string
		Failures                            int
	}
	triggers := func(args ...string) (list []status) {
		w.json(&list, append([]string{"triggers"}, args...)...)
		return list
	}
	w.eventually(30*time.Second, "the poll fails", func() error {
		if list := triggers("--failing"); len(list) != 1 {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	if st := triggers("shop/release")[0]; st.Kind != "poll" || st.Trigger != repo || !strings.Contains(st.Error, repo) || st.Failing == "" || st.Next == "" || st.Failures < 1 {
		t.Errorf("%+v", st)
	}
	for _, path := range []string{"/", "/executions?application=shop&pipeline=release"} {
		if page := w.page(path); !strings.Contains(page, "fails") || strings.Count(page, repo) < 2 {
			t.Errorf("%s does not say that the poll of %s fails:\n%s", path, repo, page)
		}
	}
	if text := w.must("doctor"); !strings.Contains(text, "trigger of shop/release") {
		t.Errorf("doctor:\n%s", text)
	}
	if err := os.Rename(repo+".away", repo); err != nil {
		t.Fatal(err)
	}
	w.eventually(time.Minute, "the poll works", func() error {
		if list := triggers("--failing"); len(list) != 0 {
			return errors.New(list[0].Error)
		}
		return nil
	})
	if page := w.page("/"); strings.Contains(page, repo) {
		t.Errorf("the overview still speaks of it:\n%s", page)
	}
	if log := w.must("events"); strings.Count(log, `"trigger.failed"`) != 1 || strings.Count(log, `"trigger.recovered"`) != 1 {
		t.Errorf("the log:\n%s", log)
	}
}
