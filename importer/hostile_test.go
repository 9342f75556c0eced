package importer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"showrunner/build/buildspec"
	"showrunner/importer"
	"showrunner/pipeline"
	"showrunner/problem"
)

func TestUnreadableDocuments(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for _, c := range []struct{ name, src, want string }{
		{"empty", "", ":1:1:"},
		{"cut off", `{"Resources": {"A": {`, ":1:"},
		{"bad token", "{\n \"Resources\": {\n  \"A\" 1\n }}", ":3:7:"},
		{"text after", `{"Resources": {}} x`, "not JSON"},
		{"deep json", strings.Repeat("[", 20000), "nested"},
		{"deep yaml", strings.Repeat("- ", 20000) + "x", "not YAML"},
		{"bad yaml", "a: [1\nb: 2", "not YAML"},
		{"aliases", bomb, "too large"},
		{"no template", `{"a": 1}`, "Resources"},
		{"no pipeline", `{"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}`, "no AWS::CodePipeline::Pipeline"},
		{"text", "hello", "Resources"},
		{"list", "[]", "Resources"},
		{"null", "null", "Resources"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := importer.CDK([]byte(c.src), importer.Options{File: "t.json"})
			if problem.CodeOf(err) != problem.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want invalid with %q", err, c.want)
			}
		})
	}
	for name, run := range map[string]func([]byte, importer.Options) (importer.Result, error){"codepipeline": importer.CodePipeline, "spinnaker": importer.Spinnaker} {
		for _, src := range []string{"", "{}", "[]", "null", `{"pipeline": 3}`, `[[]]`, `{"stages": 1, "pipeline": {}}`} {
			if _, err := run([]byte(src), importer.Options{}); problem.CodeOf(err) != problem.Invalid {
				t.Errorf("%s %q: %v", name, src, err)
			}
		}
	}
}

// TestCredentialsInTheClearAreNotCopied checks every part of the result.
func TestCredentialsInTheClearAreNotCopied(t *testing.T) {
	t.Parallel()
	for file, secret := range map[string]string{"awkward.codepipeline.json": "ghp_0123456789abcdef", "deck.spinnaker.json": "Bearer abc"} {
		src, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(src, []byte(secret)) {
			t.Fatalf("%s does not hold %q", file, secret)
		}
		r, err := run(strings.Split(file, ".")[1], src, importer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(r.YAML, []byte(secret)) || bytes.Contains(raw, []byte(secret)) {
			t.Errorf("%s: the credential was copied", file)
		}
	}
}

func TestSourceOverride(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("testdata/netflix-demo.cdk.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"GitHub_Source", "Source", "owner/repo", "github-source"} {
		r, err := importer.CDK(src, importer.Options{SourceOverrides: map[string]string{name: "/srv/git/site"}})
		if err != nil {
			t.Fatal(err)
		}
		var g pipeline.Git
		if err := json.Unmarshal(r.Document.Pipelines[0].Stages[0].With, &g); err != nil {
			t.Fatal(err)
		}
		if g.URL != "/srv/git/site" || g.Credentials != nil || g.Branch != "main" {
			t.Errorf("override by %s gives %+v", name, g)
		}
		if strings.Contains(string(r.YAML), "github.com") {
			t.Errorf("override by %s leaves GitHub in the file:\n%s", name, r.YAML)
		}
		// A folder sends no webhooks, so it is polled and needs no secret.
		if ts := r.Document.Pipelines[0].Triggers; len(ts) != 1 || ts[0].Poll == nil || ts[0].Poll.URL != "/srv/git/site" || len(r.Secrets) != 0 {
			t.Errorf("override by %s: triggers %+v, secrets %+v", name, ts, r.Secrets)
		}
	}
	r, err := importer.CDK(src, importer.Options{SourceOverrides: map[string]string{"Nobody": "/srv/git/site"}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(r.YAML), "# ") || !hasNote(r, "--source-override Nobody") {
		t.Error("an override that matches nothing leaves no note")
	}
}

func hasNote(r importer.Result, what string) bool {
	for _, n := range r.NotCarried {
		if strings.Contains(n.What, what) {
			return true
		}
	}
	return false
}

// checkSound checks what holds for every import that succeeds.
func checkSound(t *testing.T, r importer.Result) {
	t.Helper()
	if fault := problemOf(r); fault != "" {
		t.Error(fault)
	}
}

// problemOf describes what is wrong with an import; "" when nothing is.
func problemOf(r importer.Result) string {
	if doc, found := pipeline.Parse("imported.yaml", r.YAML, buildspec.Check); doc == nil {
		return fmt.Sprintf("the file is not valid: %v\n%s", found, r.YAML)
	}
	for _, n := range r.NotCarried {
		if n.Why == "" || n.What == "" || n.Severity == "" {
			return fmt.Sprintf("an empty note: %+v", n)
		}
	}
	for _, s := range r.Secrets {
		if s.Name == "" || len(s.Paths) == 0 {
			return fmt.Sprintf("a secret without a name or a place: %+v", s)
		}
	}
	return ""
}

func seeds(f *testing.F, kind string) {
	files, err := filepath.Glob("testdata/*." + kind + ".*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds for %s: %v", kind, err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
}

func FuzzCDK(f *testing.F) {
	seeds(f, "cdk")
	seeds(f, "cfn")
	f.Fuzz(func(t *testing.T, src []byte) {
		if r, err := importer.CDK(src, importer.Options{}); err == nil {
			checkSound(t, r)
		}
	})
}

func FuzzCodePipeline(f *testing.F) {
	seeds(f, "codepipeline")
	f.Fuzz(func(t *testing.T, src []byte) {
		if r, err := importer.CodePipeline(src, importer.Options{}); err == nil {
			checkSound(t, r)
		}
	})
}

func FuzzSpinnaker(f *testing.F) {
	seeds(f, "spinnaker")
	f.Fuzz(func(t *testing.T, src []byte) {
		if r, err := importer.Spinnaker(src, importer.Options{}); err == nil {
			checkSound(t, r)
		}
	})
}
