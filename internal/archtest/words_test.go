package archtest

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// word is a text that must not be in the repository.
type word struct {
	find *regexp.Regexp
	why  string
}

// words are assembled from pieces, so that this file does not contain them.
func words(t *testing.T, base string) []word {
	t.Helper()
	const start = `(?:^|[\s"'` + "`" + `(=:,])`
	machine := "the path of one machine means nothing on another"
	host := "the user decides where packages are fetched from: a fixed host breaks mirrors and machines without a network"
	out := []word{
		{regexp.MustCompile(start + "/wo" + "rk/"), machine},
		{regexp.MustCompile(start + "/ro" + "ot/"), machine},
		{regexp.MustCompile(start + "/fa" + "rm\\b"), machine},
		{regexp.MustCompile(start + "/ho" + "me/[a-z]"), machine},
		{regexp.MustCompile(start + "/Us" + "ers/[A-Za-z]"), machine},
	}
	hosts := []string{
		"registry.npm" + "js.org", "registry.yarn" + "pkg.com", "proxy.gol" + "ang.org", "sum.gol" + "ang.org", "py" + "pi.org",
		"pythonhos" + "ted.org", "registry-1.doc" + "ker.io", "crat" + "es.io", "deb.deb" + "ian.org",
	}
	// The names that this machine's settings use.
	settings := []string{os.Getenv("npm_config_registry"), os.Getenv("PIP_INDEX_URL")}
	if proxy, err := exec.Command("go", "env", "GOPROXY").Output(); err == nil {
		settings = append(settings, strings.FieldsFunc(string(proxy), func(r rune) bool { return r == ',' || r == '|' || r == '\n' })...)
	}
	for _, s := range settings {
		if u, err := url.Parse(s); err == nil && u.Hostname() != "" && u.Hostname() != "127.0.0.1" && u.Hostname() != "localhost" {
			hosts = append(hosts, u.Hostname())
		}
	}
	for _, h := range hosts {
		out = append(out, word{regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(h)), host})
	}
	if len(base) > 8 {
		out = append(out, word{regexp.MustCompile(regexp.QuoteMeta(base)), machine})
	}
	return out
}

func TestNoForeignWords(t *testing.T) {
	t.Parallel()
	base := root(t)
	list := words(t, base)
	read := 0
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != base && name != "testdata" && skipped(name) {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		// In a worktree .git is a file that names a folder.
		if err != nil || !info.Mode().IsRegular() || info.Size() > 2<<20 || d.Name() == ".git" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil || bytes.IndexByte(content, 0) >= 0 || !utf8.Valid(content) {
			return err
		}
		read++
		rel, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		for n, line := range strings.Split(string(content), "\n") {
			for _, w := range list {
				if found := w.find.FindString(line); found != "" {
					t.Errorf("%s:%d holds %q: %s", filepath.ToSlash(rel), n+1, strings.TrimSpace(found), w.why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read < 50 {
		t.Fatalf("only %d files read: the test looks in the wrong place", read)
	}
}

func TestForeignWordsAreFound(t *testing.T) {
	t.Parallel()
	list := words(t, "")
	for _, line := range []string{`"/wo` + `rk/x"`, "see /ro" + "ot/y", "https://registry.npm" + "js.org/x", "--data /ho" + "me/someone"} {
		hit := false
		for _, w := range list {
			hit = hit || w.find.MatchString(line)
		}
		if !hit {
			t.Errorf("%q is not found", line)
		}
	}
	for _, line := range []string{"GET /wo" + "rk?ms=20", "framewo" + "rk/x", "the root/leaf", `filepath.Join(root, "x")`} {
		for _, w := range list {
			if w.find.MatchString(line) {
				t.Errorf("%q is found by %s", line, w.find)
			}
		}
	}
}
