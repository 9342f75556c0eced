package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// edge forbids packages to import others. A tree is a folder with everything
// below it; packages of this repository are named without the module.
type edge struct {
	name   string
	from   []string // the importing trees; empty means all
	except []string // trees, or single files, that are exempt
	to     []string // the forbidden trees
	tests  bool     // the rule also holds for tests
	exact  bool     // to names packages, not trees
	why    string
}

// faces are the packages for people and programs outside.
var faces = []string{"api", "awsapi", "web", "cli", "server", "cmd"}

// pure are the packages whose results depend only on their arguments.
var pure = []string{
	"pipeline", "problem", "store/record", "build/buildspec", "build/report", "cloud/driver", "canary/judge", "telemetry/alarm", "chaos/monkey", "chaos/document", "chaos/experiment", "chaos/holiday", "chaos/chaosmonkey",
	"notification/message.go", "rollout/decide.go", "rollout/step.go", "rollout/traffic.go", "rollout/plan.go", "rollout/health.go", "rollout/undo.go", "rollout/restore.go", "rollout/verdict.go", "rollout/judge.go", "rollout/analysis.go", "canary/judge.go", "execution/decide.go",
}

var edges = []edge{
	{
		name: "pure packages do no I/O",
		from: pure,
		to:   []string{"os", "net", "net/http", "os/exec", "io/ioutil", "log", "log/slog", "database/sql", "syscall", "context"},
		// The interface of a cloud; it does no I/O itself.
		except: []string{"cloud/driver/driver.go", "cloud/driver/sites.go", "cloud/driver/fault.go"},
		why: "a decision that reads outside state cannot be replayed, fuzzed or trusted after a restart;  " +
			"its inputs are arguments (net/url and net/netip only parse)",
	},
	{
		name:   "only the store knows a database",
		to:     []string{"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/mattn/go-sqlite3"},
		except: []string{"store"},
		why:    "one conformance suite proves both databases; SQL anywhere else would be proved by neither",
	},
	{
		name: "engines know no face",
		from: []string{
			"pipeline", "problem", "execution", "rollout", "stage", "build", "source", "artifact", "secret", "trigger", "cloud", "importer", "canary", "telemetry", "chaos",
			"store", "control", "retention", "eventlog", "subscription", "notification", "internal/sockpath", "internal/ready",
		},
		to:  faces,
		why: "the web, the API and the command line are three views of the same operations; no operation may depend on a view",
	},
	{
		name:   "faces go through package control",
		from:   []string{"web", "awsapi"},
		to:     []string{"store", "rollout", "build", "source", "secret", "trigger"},
		why:    "control checks the principal and writes the audit event; a face that bypasses control does neither (package execution is allowed for the types of control's answers)",
		except: []string{"store/record"},
	},
	{
		name: "the engine knows the contract of a stage, not the kinds",
		from: []string{"execution"},
		to:   []string{"stage/source", "stage/build", "stage/deploy", "stage/gate", "stage/call", "stage/notify", "stage/chaos", "build", "source", "rollout", "cloud"},
		why:  "a new kind is added without touching the engine",
	},
	{
		name: "engines do not import each other",
		from: []string{"rollout", "build", "cloud"},
		to:   []string{"execution", "trigger", "control"},
		why:  "each can be understood, tested and replaced alone; the stage kinds bring them together",
	},
	{
		name: "the archive does not depend on its readers",
		from: []string{"eventlog"},
		to:   []string{"subscription", "execution", "control", "stage"},
		why:  "it is read by the engine, by the sender of subscriptions and by people with other tools; its form must not depend on one of them",
	},
	{
		name: "subscriptions know no engine",
		from: []string{"subscription"},
		to:   []string{"execution", "control", "stage", "cloud"},
		why:  "events are sent whatever they mean; the log and the other replicas are two small interfaces",
	},
	{
		name:   "telling people of runs knows runs, not how they are carried out",
		from:   []string{"notification"},
		to:     []string{"control", "cloud", "rollout", "store", "trigger", "build"},
		why:    "it reads executions and the event log through small interfaces, and cannot delay or change a run",
		except: []string{"store/record"},
	},
	{
		name:   "stage kinds do not know the engine",
		from:   []string{"stage"},
		except: []string{"stage/call", "store/record"},
		to:     []string{"execution", "store", "control"},
		why:    "any caller that honours the contract can run a kind, a test as well as the engine (the pipeline kind starts executions: that is its purpose)",
	},
	{
		name:  "drivers know the contract, not the callers' side of it",
		from:  []string{"cloud/driver", "cloud/cloudtest", "cloud/localcloud"},
		to:    []string{"cloud"},
		exact: true,
		why:   "package cloud checks, measures and wraps once, above every driver; a driver that used it would do so twice",
	},
	{
		name:   "a cloud's SDK stays in its driver",
		to:     []string{"github.com/aws/aws-sdk-go-v2", "k8s.io"},
		except: []string{"cloud/localcloud/objectstore", "internal/awskeys", "subscription/kinesis", "telemetry/cloudwatch"},
		why: "the terms of one cloud must not leak into code that works on all of them " +
			"(the local object store speaks the S3 protocol: the embedded gateway's backend interface is made of the SDK's types; a sink for events and one for metrics speak to AWS and to nothing else)",
	},
	{
		name:   "one package owns the metrics database",
		to:     []string{"github.com/prometheus/prometheus"},
		except: []string{"telemetry"},
		why:    "what else is known of it would have to change with it; the others know samples and labels",
	},
	{
		name:   "one package owns the object gateway",
		to:     []string{"github.com/versity/versitygw"},
		except: []string{"cloud/localcloud/objectstore"},
		why:    "it is a whole S3 server; our use of it is kept in one place",
	},
	{
		name:   "one package owns expressions",
		to:     []string{"github.com/expr-lang/expr"},
		except: []string{"pipeline"},
		why:    "an expression has the same meaning everywhere",
	},
	{
		name:   "one package owns encryption at rest",
		to:     []string{"filippo.io/age"},
		except: []string{"secret", "cloud/localcloud/fleet"},
		why:    "the encryption of secrets is decided once (a region encrypts its instances' environments in the same way)",
	},
	{
		name:   "the command line library stays in the command line",
		to:     []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "charm.land/bubbletea/v2", "charm.land/lipgloss/v2"},
		except: []string{"cli", "cmd"},
		why:    "no operation may depend on flags or a terminal",
	},
	{
		name:   "the API library stays in the API",
		to:     []string{"github.com/danielgtaylor/huma/v2"},
		except: []string{"api"},
		why:    "operations are defined in control, in its own types; the API describes them",
	},
	{
		name: "production code imports no test support",
		to:   []string{"testing", "pgregory.net/rapid", "go.uber.org/goleak", "github.com/rogpeppe/go-internal/testscript", "net/http/httptest"},
		why:  "code for tests alone must not be in the binary",
	},
	{
		name: "the language stands on nothing of ours",
		from: []string{"pipeline"},
		to:   []string{"stage", "execution", "artifact", "cloud", "store", "build", "rollout", "control", "secret", "source", "trigger", "chaos"},
		why:  "everything else uses its types; one import back would create a cycle",
	},
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, e := range edges {
		t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			if e.why == "" {
				t.Fatal("a rule needs its reason")
			}
			for _, f := range sources(t) {
				if f.test && !e.tests {
					continue
				}
				if len(e.from) > 0 && !within(f.pkg, e.from...) && !slices.Contains(e.from, f.path) {
					continue
				}
				if within(f.pkg, e.except...) || slices.Contains(e.except, f.path) {
					continue
				}
				for path, pos := range f.imports {
					target := strings.TrimPrefix(path, module+"/")
					own := target != path
					if own && within(target, e.except...) {
						continue
					}
					if forbidden(target, own, e.to) && (!e.exact || slices.Contains(e.to, target)) {
						t.Errorf("%s imports %s: %s: %s", f.at(pos), path, e.name, e.why)
					}
				}
			}
		})
	}
}

// TestRulesNameWhatExists: a rule about a missing folder or file checks nothing.
func TestRulesNameWhatExists(t *testing.T) {
	t.Parallel()
	base := root(t)
	for _, e := range edges {
		for _, name := range slices.Concat(e.from, e.except, e.to) {
			first, _, _ := strings.Cut(name, "/")
			if strings.Contains(first, ".") || standard[first] {
				continue // the compiler knows whether it exists
			}
			if _, err := os.Stat(filepath.Join(base, filepath.FromSlash(name))); err != nil {
				t.Errorf("%s: %s does not exist: name what took its place, or remove the rule", e.name, name)
			}
		}
	}
}

// standard are the first path elements of the standard library that rules name.
var standard = map[string]bool{"os": true, "net": true, "io": true, "log": true, "database": true, "syscall": true, "context": true, "testing": true}

// forbidden matches trees; a standard package matches only itself, so that "net"
// does not forbid "net/url".
func forbidden(target string, own bool, trees []string) bool {
	for _, tree := range trees {
		if target == tree {
			return true
		}
		if strings.HasPrefix(target, tree+"/") && (own || strings.Contains(strings.SplitN(tree, "/", 2)[0], ".")) {
			return true
		}
	}
	return false
}

// TestRulesFindViolations proves that a rule finds a violation: a test that cannot fail is
// a defect.
func TestRulesFindViolations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		target string
		own    bool
		trees  []string
		want   bool
	}{
		{"net", false, []string{"net"}, true},
		{"net/url", false, []string{"net"}, false},
		{"cloud/driver", true, []string{"cloud"}, true},
		{"clouds", true, []string{"cloud"}, false},
		{"github.com/jackc/pgx/v5/stdlib", false, []string{"github.com/jackc/pgx/v5"}, true},
	} {
		if got := forbidden(c.target, c.own, c.trees); got != c.want {
			t.Errorf("forbidden(%q, %v, %v) = %v", c.target, c.own, c.trees, got)
		}
	}
}

// TestPackageNames refuses names without meaning.
func TestPackageNames(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		for _, part := range strings.Split(f.pkg, "/") {
			switch part {
			case "pkg", "src", "common", "util", "utils", "helper", "helpers", "manager", "models", "misc", "shared", "lib", "base":
				t.Errorf("%s: a package is named for the idea that it owns, not %q", f.path, part)
			}
		}
	}
}
