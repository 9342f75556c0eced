package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"showrunner/control"
	"showrunner/pipeline"
	"showrunner/problem"
)

// editorControl keeps files as control does: by version.
type editorControl struct {
	Control
	apps    map[string]control.Application
	applied []control.File
}

func (*editorControl) End(context.Context) (int64, error) { return 1, nil }

func (c *editorControl) Application(_ context.Context, _ control.Principal, name string) (control.Application, error) {
	a, ok := c.apps[name]
	if !ok {
		return a, problem.New(problem.NotFound, "", "there is no application %q", name)
	}
	return a, nil
}

func (*editorControl) Applications(context.Context, control.Principal) ([]control.Application, error) {
	return nil, nil
}

func (*editorControl) Check(_ context.Context, f control.File) (*pipeline.Document, pipeline.Diagnostics) {
	return pipeline.Parse(f.Name, f.Source)
}

func (c *editorControl) Apply(_ context.Context, _ control.Principal, f control.File, version int64) (control.Applied, error) {
	doc, _ := pipeline.Parse(f.Name, f.Source)
	a := c.apps[doc.Application]
	if version != 0 && a.Version != version {
		return control.Applied{}, problem.New(problem.Conflict, "", "version %d", a.Version)
	}
	c.applied = append(c.applied, f)
	c.apps[doc.Application] = control.Application{Name: doc.Application, Version: a.Version + 1, Source: string(f.Source), Base: a.Base, By: "bob"}
	return control.Applied{Application: doc.Application, Version: a.Version + 1, Changed: true}, nil
}

func (c *editorControl) RepositoryFile(context.Context, control.Principal, string) (control.RepositoryFile, error) {
	return control.RepositoryFile{Repository: "https://git.example/shop", Commit: "4f1c2ab9e0", Text: strings.Replace(shopFile, "1s", "2s", 1)}, nil
}

const shopFile = "application: shop\npipelines:\n  release:\n    stages:\n      one: { wait: { for: 1s } }\n      two: { needs: [one], wait: { for: 1s } }\n"

func newEditor() (*editorControl, *Pages) {
	c := &editorControl{apps: map[string]control.Application{"shop": {Name: "shop", Version: 3, Source: shopFile, Base: "/src/shop", By: "mia"}}}
	return c, operatePages(c, func() time.Time { return now })
}

// textOf is the text in the editor of a page.
func textOf(doc *html.Node) string {
	found := ""
	walk(doc, func(n *html.Node) {
		if n.Data == "textarea" && n.FirstChild != nil {
			found = n.FirstChild.Data
		}
	})
	return found
}

// A text is checked with the place of each finding, drawn and compared, and nothing of it
// is applied.
func TestATextIsCheckedInTheEditor(t *testing.T) {
	t.Parallel()
	c, p := newEditor()
	wrong := strings.Replace(shopFile, "needs: [one]", "neds: [one]", 1)
	status, _, doc := operate(t, p, "/applications/shop/file/check", url.Values{"text": {strings.ReplaceAll(wrong, "\n", "\r\n")}, "version": {"3"}})
	said := text(doc)
	if status != http.StatusOK || !strings.Contains(said, "line 6, column 14") || !strings.Contains(said, "UNKNOWN_FIELD") || !strings.Contains(said, "needs") {
		t.Errorf("%d: %s", status, said)
	}
	if textOf(doc) != wrong {
		t.Errorf("the text became %q", textOf(doc))
	}
	if _, _, doc = operate(t, p, "/applications/shop/file/check", url.Values{"text": {strings.Replace(shopFile, "two", "three", 1)}, "version": {"3"}}); !strings.Contains(text(doc), "removed:−two: { needs: [one]") || !strings.Contains(text(doc), "added:+three: { needs: [one]") || count(doc, "rect") != 2 {
		t.Errorf("%d stages are drawn: %s", count(doc, "rect"), text(doc))
	}
	if _, _, doc = operate(t, p, "/applications/shop/file", nil); !strings.Contains(text(doc), "the same as what is applied") {
		t.Errorf("%s", text(doc))
	}
	if _, _, doc = operate(t, p, "/applications/shop/file?compare=repository", nil); !strings.Contains(text(doc), "What is applied differs from the repository by") || !strings.Contains(text(doc), "removed:−one: { wait: { for: 2s } }") {
		t.Errorf("%s", text(doc))
	}
	if len(c.applied) > 0 {
		t.Errorf("%d texts were applied", len(c.applied))
	}
}

// A text is applied with the folder that the applied one came from. What speaks against
// it stands beside the text: errors, the name of another application, and what somebody
// has applied meanwhile.
func TestATextIsAppliedInTheEditor(t *testing.T) {
	t.Parallel()
	c, p := newEditor()
	longer := shopFile + "      three: { wait: { for: 1s } }\n"
	for what, text := range map[string]string{"errors": shopFile + "      three: {}\n", "another application's": strings.Replace(shopFile, "shop", "bank", 1)} {
		if status, _, doc := operate(t, p, "/applications/shop/file", url.Values{"text": {text}, "version": {"3"}}); status != http.StatusBadRequest || textOf(doc) != text || len(c.applied) > 0 {
			t.Errorf("%s: %d, %d applied", what, status, len(c.applied))
		}
	}
	status, to, _ := operate(t, p, "/applications/shop/file", url.Values{"text": {longer}, "version": {"3"}})
	if status != http.StatusSeeOther || to != "/applications/shop?applied=4" || len(c.applied) != 1 || c.applied[0].Base != "/src/shop" {
		t.Fatalf("%d to %s: %+v", status, to, c.applied)
	}
	status, _, doc := operate(t, p, "/applications/shop/file", url.Values{"text": {shopFile}, "version": {"3"}})
	if said := text(doc); status != http.StatusConflict || textOf(doc) != shopFile || !strings.Contains(said, "bob has applied version 4 meanwhile") || !strings.Contains(said, "three") || len(c.applied) != 1 {
		t.Errorf("%d: %s", status, said)
	}
	if status, _, _ = operate(t, p, "/applications/shop/file", url.Values{"text": {shopFile}, "version": {"x"}}); status != http.StatusBadRequest {
		t.Errorf("no version: %d", status)
	}
}

// A new file does not replace an application that is there, before somebody has seen what
// it would change.
func TestANewFileReplacesNothingUnseen(t *testing.T) {
	t.Parallel()
	c, p := newEditor()
	bank := strings.Replace(shopFile, "shop", "bank", 1)
	if status, to, _ := operate(t, p, "/apply", url.Values{"text": {bank}}); status != http.StatusSeeOther || to != "/applications/bank?applied=1" {
		t.Fatalf("%d to %s", status, to)
	}
	changed := strings.Replace(shopFile, "1s", "3s", 1)
	status, _, doc := operate(t, p, "/apply", url.Values{"text": {changed}})
	if said := text(doc); status != http.StatusConflict || !strings.Contains(said, "shop is there already") || !strings.Contains(said, "3s") || len(c.applied) != 1 {
		t.Fatalf("%d: %s", status, said)
	}
	if status, _, _ := operate(t, p, "/apply", url.Values{"text": {changed}, "version": {"3"}}); status != http.StatusSeeOther || len(c.applied) != 2 || c.applied[1].Base != "" {
		t.Errorf("%d: %+v", status, c.applied)
	}
}
