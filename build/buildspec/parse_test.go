package buildspec

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"showrunner/problem"
)

const full = `version: 0.2
run-as: builder
env:
  shell: bash
  variables:
    JAVA_HOME: "/usr/lib/jvm"
    NUMBER: 1.10
    SWITCH: yes
    EMPTY:
    PATHS: $PATH:/x
  parameter-store:
    LOGIN: /app/login
  secrets-manager:
    WHOLE: prod/db
    KEYED: prod/db:password
    STAGED: prod/db:password:AWSPREVIOUS
    VERSIONED: prod/db:password::v1
    ARN: arn:aws:secretsmanager:us-east-1:111122223333:secret:db-AbCdEf:user
  exported-variables: [TAG]
  git-credential-helper: yes
proxy: {upload-artifacts: no, logs: yes}
phases:
  install:
    run-as: root
    runtime-versions: {nodejs: 20, java: corretto17}
  pre_build:
    commands: echo one
    on-failure: RETRY-2-time.?out
  build:
    on-failure: CONTINUE
    commands:
      - |
        cat <<EOF
        text
        EOF
      - true
    finally:
      - echo done
  post_build:
    commands: []
    on-failure: ABORT
reports:
  unit:
    files: ["**/*.xml"]
    file-format: junitXml
artifacts:
  files: "**/*"
  base-directory: dist
  discard-paths: no
  name: app-$(date +%F)
  secondary-artifacts:
    one: {files: [a], enable-symlinks: yes}
    two: {files: [b], exclude-paths: "c/*"}
cache:
  key: npm-$(codebuild-hash-files package-lock.json)
  fallback-keys: [npm-]
  paths: [node_modules/**/*]
`

func TestEveryKey(t *testing.T) {
	spec, err := Parse("buildspec.yml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, want %#v", what, got, want)
		}
	}
	check("run-as", spec.RunAs, "builder")
	check("variables", spec.Env.Variables, []Variable{{"JAVA_HOME", "/usr/lib/jvm"}, {"NUMBER", "1.10"}, {"SWITCH", "yes"}, {"EMPTY", ""}, {"PATHS", "$PATH:/x"}})
	var refs []string
	for _, r := range spec.Env.SecretsManager {
		refs = append(refs, fmt.Sprintf("%s|%s|%s|%s", r.SecretID, r.JSONKey, r.Stage, r.Version))
	}
	check("secrets", refs, []string{"prod/db|||", "prod/db|password||", "prod/db|password|AWSPREVIOUS|", "prod/db|password||v1",
		"arn:aws:secretsmanager:us-east-1:111122223333:secret:db-AbCdEf|user||"})
	check("runtimes", spec.Phases[Install].Runtimes, []Runtime{{"nodejs", "20"}, {"java", "corretto17"}})
	check("commands", spec.Phases[Build].Commands, []string{"cat <<EOF\ntext\nEOF\n", "true"})
	check("single command", spec.Phases[PreBuild].Commands, []string{"echo one"})
	on := spec.Phases[PreBuild].OnFailure
	check("on-failure", []any{on.Action, on.Retries, on.Match.String()}, []any{Retry, 2, "time.?out"})
	check("abort", spec.Phases[PostBuild].OnFailure.Action, Abort)
	check("format", spec.Reports[0].Format, "JUNITXML")
	check("files", spec.Artifacts.Files, []string{"**/*"})
	check("secondary", []any{len(spec.Artifacts.Secondary), spec.Artifacts.Secondary[0].EnableSymlinks, spec.Artifacts.Secondary[1].ExcludePaths}, []any{2, true, []string{"c/*"}})
	check("cache", *spec.Cache, Cache{Paths: []string{"node_modules/**/*"}, Key: "npm-$(codebuild-hash-files package-lock.json)", FallbackKeys: []string{"npm-"}, Restore: true, Save: true})
	var warned []string
	for _, w := range spec.Warnings {
		warned = append(warned, w.Message)
	}
	check("what is set up by nobody", warned, []string{
		"git-credential-helper sets up nothing here: git in a build has the helpers of its machine or image",
		"proxy.logs sets up nothing here: artifacts and logs stay on this side of any proxy"})
}

func TestOtherForms(t *testing.T) {
	for name, src := range map[string]string{
		"JSON":        `{"version": 0.2, "phases": {"build": {"commands": ["echo 1", "echo 2"]}}}`,
		"CRLF":        "version: 0.2\r\nphases:\r\n  build:\r\n    commands:\r\n      - echo 1\r\n      - |\r\n        echo 2\r\n",
		"BOM":         "\ufeffversion: 0.2\nphases: {build: {commands: [echo 1, echo 2]}}",
		"anchors":     "version: 0.2\nx-c: &c [echo 1]\nphases:\n  build:\n    commands:\n      - *c\n      - echo 2\n",
		"merge":       "version: 0.2\n.b: &b {commands: [echo 1, echo 2]}\nphases: {build: {<<: *b}}",
		"quoted 0.2":  "version: '0.2'\nphases: {install: , build: {commands: [echo 1, echo 2]}}",
		"null item":   "version: 0.2\nphases:\n  build:\n    commands:\n    - echo 1\n    -\n    - echo 2",
		"empty phase": "version: 0.2\nphases:\n  pre_build:\n    commands:\n  build:\n    commands: [echo 1, echo 2]",
	} {
		t.Run(name, func(t *testing.T) {
			spec, err := Parse("buildspec.yml", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			if got := spec.Phases[Build].Commands; len(got) != 2 || strings.TrimSpace(got[1]) != "echo 2" || strings.Contains(got[1], "\r") {
				t.Errorf("commands %q", got)
			}
		})
	}
}

func TestFindings(t *testing.T) {
	for name, test := range map[string]struct{ src, want string }{
		"no version":        {"phases: {build: {commands: [a]}}", "1:1: version is missing"},
		"0.1":               {"version: 0.1\nphases: {build: {commands: [a]}}", "1:10: version 0.1 is not run"},
		"other version":     {"version: 2\nphases: {build: {commands: [a]}}", `1:10: there is no version "2"`},
		"no phases":         {"version: 0.2", "1:1: phases is missing"},
		"a list":            {"version: 0.2\nphases: {build: {commands: [a]}, install: {runtime-versions: [{nodejs: 10}]}}", "runtime-versions is a mapping, not a list"},
		"empty phases":      {"version: 0.2\nphases: {}", "2:9: phases has no phase"},
		"unknown phase":     {"version: 0.2\nphases: {biuld: {commands: [a]}}", `2:10: phases has no key "biuld"`},
		"commands missing":  {"version: 0.2\nphases:\n  build:\n    finally: [a]", "4:5: phases.build.commands is missing"},
		"null phase":        {"version: 0.2\nphases:\n  build:\n", "phases.build.commands is missing"},
		"command mapping":   {"version: 0.2\nphases: {build: {commands: [echo a: b]}}", "2:29: a command in phases.build.commands reads as a mapping"},
		"reserved":          {"version: 0.2\nenv: {variables: {CODEBUILD_X: 1}}\nphases: {build: {commands: [a]}}", "2:19: CODEBUILD_X cannot be set"},
		"exported AWS_":     {"version: 0.2\nenv: {exported-variables: [AWS_X]}\nphases: {build: {commands: [a]}}", "2:28: AWS_X cannot be exported"},
		"stage and id":      {"version: 0.2\nenv: {secrets-manager: {A: 'a:b:c:d'}}\nphases: {build: {commands: [a]}}", "2:28: A gives a version-stage and a version-id"},
		"powershell":        {"version: 0.2\nenv: {shell: powershell.exe}\nphases: {build: {commands: [a]}}", "2:14: powershell.exe runs on Windows only"},
		"batch":             {"version: 0.2\nbatch: {fast-fail: true}\nphases: {build: {commands: [a]}}", "2:8: batch builds are not run here"},
		"on-failure":        {"version: 0.2\nphases: {build: {on-failure: ABROT, commands: [a]}}", `2:30: on-failure cannot be "ABROT"`},
		"retry regex":       {"version: 0.2\nphases: {build: {on-failure: 'RETRY-(', commands: [a]}}", "2:30: on-failure: \"(\" is no regular expression"},
		"retries":           {"version: 0.2\nphases: {build: {on-failure: RETRY-101, commands: [a]}}", "2:30: on-failure retries 101 times"},
		"format":            {"version: 0.2\nreports: {a: {files: x, file-format: JUNIT}}\nphases: {build: {commands: [a]}}", `2:38: there is no report format "JUNIT"`},
		"report files":      {"version: 0.2\nreports: {a: {base-directory: x}}\nphases: {build: {commands: [a]}}", "2:14: reports.a.files is missing"},
		"runtime conflict":  {"version: 0.2\nphases: {install: {runtime-versions: {android: 29, java: corretto11}}}", "android 29 needs java corretto8"},
		"runtimes in build": {"version: 0.2\nphases: {build: {runtime-versions: {}, commands: [a]}}", "2:36: runtime-versions belongs to phases.install"},
		"artifact files":    {"version: 0.2\nphases: {build: {commands: [a]}}\nartifacts: {base-directory: x}", "3:12: artifacts.files is missing"},
		"yes or no":         {"version: 0.2\nphases: {build: {commands: [a]}}\nartifacts: {files: x, discard-paths: maybe}", "3:38: artifacts.discard-paths is yes or no"},
		"twice":             {"version: 0.2\nversion: 0.2\nphases: {build: {commands: [a]}}", "version"},
		"not a mapping":     {"- a", "1:1: a buildspec is a mapping"},
		"empty":             {"", "the buildspec is empty"},
		"syntax":            {"version: 0.2\nphases: [", "2:9: nothing closes the ["},
		"two documents":     {"version: 0.2\n---\nversion: 0.2", "a second YAML document"},
		"binary":            {"version: 0.2\x00", "1:13: byte 0x00 is no text"},
		"deep":              {strings.Repeat("[", 20_000), "levels deep"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("b.yml", []byte(test.src))
			if problem.CodeOf(err) != problem.Invalid || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v\nwant %s", err, test.want)
			}
		})
	}
}

func TestAllFindingsInOnePass(t *testing.T) {
	_, err := Parse("b.yml", []byte("version: 0.2\nenvs: {}\nphases:\n  instal: {}\n  build:\n    command: [a]\n    on-failure: NO\n"))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	text := e.Findings.Text()
	for _, want := range []string{`did you mean "env"?`, `did you mean "install"?`, `did you mean "commands"?`, `on-failure cannot be "NO"`, "b.yml:2:1", "^^^^"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	_, err = Parse("b.yml", []byte("version: 0.2\nphases: {install: {commands: [a], runtime-versions: [{nodejs: 10}]}}\n"))
	if !errors.As(err, &e) || !strings.Contains(e.Findings.Text(), "without a dash") {
		t.Errorf("a list in place of a mapping: %v", err)
	}
	if strings.Contains(text, "missing") {
		t.Errorf("a misspelt key is told again as a missing one in\n%s", text)
	}
}

func TestHostileAliases(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 0.2\nx-0: &a0 [a, a, a, a, a, a, a, a, a, a]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "x-%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	b.WriteString("phases: {build: {commands: *a11}}\n")
	_, err := Parse("b.yml", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "expands to more than") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Add("version: 0.2\n<<: {a: *b}\n")
	f.Fuzz(func(t *testing.T, src string) {
		if _, err := Parse("b.yml", []byte(src)); err != nil && problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%v", err)
		}
	})
}
