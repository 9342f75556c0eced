package build

import (
	"context"
	"os/exec"
	"slices"
	"testing"
)

// As in CodeBuild, what a command assigns is in the environment of later
// commands and of what they start, without export: over commands, phases, the
// end of the shell, and for functions' own variables.
func TestAssignmentsAreExported(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "/bin/sh"} {
		o := do(t, `version: 0.2
env: {shell: `+shell+`}
phases:
  install: {commands: ["A=one", "set +a", "B=two", "(exit 0)"]}
  pre_build:
    commands:
      - printenv A
      - printenv B
      - |
        read -r C D <<END
        three four
        END
      - "for E in five; do :; done"
      - exit 0
  build:
    commands:
      - printenv C D E
      - unset A
      - "! printenv A"
      - "env | grep __showrunner && exit 1; echo clean"
  post_build: {commands: ["A=again", "sh -c 'printenv A B'"]}
`, nil)
		o.want(t, Succeeded, "\none\n", "\ntwo\n", "\nthree\nfour\nfive\n", "\nclean\n", "\nagain\ntwo\n")
	}
}

func TestRegionOfABuild(t *testing.T) {
	t.Parallel()
	const show = head + `  build: {commands: ['echo "$AWS_REGION $AWS_DEFAULT_REGION $CODEBUILD_BUILD_ARN $CODEBUILD_PROJECT_ARN"']}`
	for _, c := range []struct {
		name         string
		env, inherit []string
		want         string
	}{
		{"told of none", nil, nil, "us-east-1 us-east-1 arn:aws:codebuild:us-east-1:"},
		{"the machine's", nil, []string{"AWS_DEFAULT_REGION=eu-west-1"}, "eu-west-1 eu-west-1 arn:aws:codebuild:eu-west-1:"},
		{"the stage's", []string{"AWS_REGION", "eu-north-1"}, []string{"AWS_REGION=eu-west-1"}, "eu-north-1 eu-north-1 arn:aws:codebuild:eu-north-1:"},
		{"one beside the machine's", []string{"AWS_DEFAULT_REGION", "eu-north-1"}, []string{"AWS_REGION=eu-west-1"}, "eu-north-1 eu-north-1 arn:aws:codebuild:eu-north-1:"},
	} {
		o := do(t, show, nil, func(r *Request, _ *Host) {
			r.Inherit = append(slices.DeleteFunc(r.Inherit, func(e string) bool { return len(e) > 4 && e[:4] == "AWS_" }), c.inherit...)
			if c.env != nil {
				r.Env = map[string]string{c.env[0]: c.env[1]}
			}
		})
		o.want(t, Succeeded, "\n"+c.want, ":project/demo\n")
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
}

func TestVariablesOfSecondarySources(t *testing.T) {
	t.Parallel()
	o := do(t, head+`  build:
    commands:
      - test -d "$CODEBUILD_SRC_DIR_lib"
      - 'echo "[$CODEBUILD_SOURCE_REPO_URL_lib] [$CODEBUILD_SOURCE_VERSION_lib] [$CODEBUILD_RESOLVED_SOURCE_VERSION_lib]"'
      - 'echo "[$CODEBUILD_SOURCE_REPO_URL]"'
`, nil, func(r *Request, _ *Host) {
		r.Inputs = []string{"lib"}
		r.RepositoryURL = "https://user:main-password@git.example.com/app.git"
		r.Origins = map[string]Origin{"lib": {RepositoryURL: "https://lib-token@git.example.com/lib.git", SourceVersion: "main", ResolvedVersion: "abc"}}
	})
	o.want(t, Succeeded, "[https://git.example.com/lib.git] [main] [abc]", "[https://git.example.com/app.git]", "!main-password", "!lib-token")
}

func TestWithoutCredentials(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://bot:tok@git.example.com/a.git": "https://git.example.com/a.git",
		"https://tok@git.example.com/a.git":     "https://git.example.com/a.git",
		"HTTP://a:b@c@git.example.com/a":        "HTTP://git.example.com/a",
		"https://:tok@git.example.com/a":        "https://git.example.com/a",
		"https://git.example.com/a@b.git":       "https://git.example.com/a@b.git",
		"ssh://git:pw@git.example.com:22/a":     "ssh://git@git.example.com:22/a",
		"ssh://git@git.example.com/a":           "ssh://git@git.example.com/a",
		"git@git.example.com:acme/a.git":        "git@git.example.com:acme/a.git",
		"/srv/git/a":                            "/srv/git/a", "file:///srv/a": "file:///srv/a", "": "",
	} {
		if got := WithoutCredentials(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// The credentials of every remote are found, wherever Git's configuration has them.
func TestReadRemote(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	git("remote", "add", "origin", "https://bot:origin%2Dpassword@git.example.com/acme/app.git")
	git("remote", "add", "mirror", "https://mirror-token@git.example.com/acme/app.git")
	git("config", "remote.origin.pushurl", "https://bot:push-password@git.example.com/acme/app.git")
	git("config", "url.https://bot:instead-password@git.example.com/.insteadOf", "https://git.example.com/")
	git("config", "http.https://git.example.com/.extraheader", "Authorization: basic aGVhZGVyLXRva2Vu")
	r := ReadRemote(context.Background(), dir)
	if r.URL != "https://git.example.com/acme/app.git" {
		t.Errorf("the address is %s", r.URL)
	}
	for _, want := range []string{"origin-password", "origin%2Dpassword", "mirror-token", "push-password", "instead-password", "aGVhZGVyLXRva2Vu"} {
		if !slices.Contains(r.Credentials, want) {
			t.Errorf("%s is not among %q", want, r.Credentials)
		}
	}
	if r := ReadRemote(context.Background(), t.TempDir()); r.URL != "" || r.Credentials != nil {
		t.Errorf("of a plain folder: %+v", r)
	}
	// What git prints of them in a build does not reach the log.
	do(t, head+"  build: {commands: [cat secrets]}", map[string]string{"secrets": "origin-password\nmirror-token\n"},
		func(_ *Request, h *Host) { h.Mask = []string{"origin-password", "mirror-token"} }).
		want(t, Succeeded, "!origin-password", "!mirror-token")
}
