package pipeline

import (
	"strings"
	"testing"
)

// shop is a valid file; each case puts a newcomer's mistake into one of its
// lines, and then what the diagnostic says to write instead.
const shop = `application: shop
pipelines:
  release:
    triggers: [{ push: { branches: [main] } }]
    stages:
      source: { git: { url: . } }
      build: { needs: [source], build: {} }
      check: { needs: [source], run: { commands: [make check] } }
      ask: { needs: [build], approval: {} }
      pause: { needs: [ask], wait: { for: 30s } }
      site: { needs: [build], deploy-site: { site: shop, artifact: build } }
      service:
        needs: [build]
        retry: { attempts: 3 }
        deploy:
          cluster: shop-prod
          artifact: build
          command: [node, server.js]
          env: { A: "1" }
          health: { path: /healthz, interval: 500ms }
          capacity: { min: 2, desired: 2, max: 2 }
          strategy: red-black
          waves: [{ regions: [us-west-2] }]
`

// TestWhatNewcomersWrite: a mistake is answered with what works in its place.
func TestWhatNewcomersWrite(t *testing.T) {
	t.Parallel()
	if _, ds := Parse("showrunner.yaml", []byte(shop)); len(ds) > 0 {
		t.Fatalf("%v", ds)
	}
	for _, tt := range []struct {
		right, wrong string
		says         string // the suggestion or the help
		instead      string // what to write, when it is not right itself
	}{
		{"command: [node, server.js]", "command: node server.js", "write [node, server.js]", ""},
		{"command: [node, server.js]", "command: npm run build && node server.js", `write [sh, -c, "npm run build && node server.js"]`, `command: [sh, -c, "npm run build && node server.js"]`},
		{"command: [node, server.js]", "command: PORT=80 node server.js", `write [sh, -c, "PORT=80 node server.js"]`, `command: [sh, -c, "PORT=80 node server.js"]`},
		{"command: [node, server.js]", `command: ["node server.js"]`, "write [node, server.js]", ""},
		{"interval: 500ms", "interval: 500", `did you mean "500ms"? Or "500s": a duration has a unit.`, ""},
		{"interval: 500ms", "interval: 500 milliseconds", `did you mean "500ms"?`, ""},
		{"for: 30s", "for: 30", `did you mean "30s"?`, ""},
		{"wait: { for: 30s }", "wait: 30s", "write { for: 30s }", ""},
		{"wait: { for: 30s }", "wait: { duration: 30s }", `did you mean "for"?`, ""},
		{"health: { path: /healthz, interval: 500ms }", "health: /healthz", "write { path: /healthz }", "health: { path: /healthz }"},
		{"health:", "healthcheck:", `did you mean "health"?`, ""},
		{"path: /healthz", "path: healthz", `did you mean "/healthz"?`, ""},
		{"capacity: { min: 2, desired: 2, max: 2 }", "capacity: 2", "write { min: 2, desired: 2, max: 2 }", ""},
		{"capacity: { min: 2, desired: 2, max: 2 }", "replicas: { min: 2, desired: 2, max: 2 }", `did you mean "capacity"?`, ""},
		{"strategy: red-black", "strategy: red-black\n          maxInFlight: 4", `"maxInFlight" is a field of "traffic": write it there`, "strategy: red-black\n          traffic: { maxInFlight: 4 }"},
		{"strategy: red-black", "strategy: blue-green", `did you mean "red-black"?`, ""},
		{"strategy: red-black", "strategy: { canary: { steps: 10 } }", "write [10]", "strategy: { canary: { steps: [10] } }"},
		{"strategy: red-black", `strategy: { canary: { steps: [10], judge: { maxErrorRate: 5% } } }`, "write 0.05", "strategy: { canary: { steps: [10], judge: { maxErrorRate: 0.05 } } }"},
		{"waves: [{ regions: [us-west-2] }]", "waves: [us-west-2]", "write { regions: [us-west-2] }", ""},
		{"waves: [{ regions: [us-west-2] }]", "waves: us-west-2", "write [{ regions: [us-west-2] }]", ""},
		{"waves: [{ regions: [us-west-2] }]", "regions: [us-west-2]", "write waves: [{ regions: [us-west-2] }]", ""},
		{`env: { A: "1" }`, "env: [A=1]", `write { A: "1" }`, ""},
		{`env: { A: "1" }`, `environment: { A: "1" }`, `did you mean "env"?`, ""},
		{"env:", "port: 80\n          env:", "every instance is told its PORT", ""},
		{"git: { url: . }", "git: .", "write { url: . }", ""},
		{"git: { url: . }", "git: { repo: . }", `did you mean "url"?`, ""},
		{"git: { url: . }", "checkout: { url: . }", `did you mean "git"?`, ""},
		{"run: { commands: [make check] }", "run: make check", "write { commands: [make check] }", ""},
		{"build: {}", "build: npm run build", "a build follows a buildspec", ""},
		{"build: {}", "build: { commands: [npm ci] }", "write the commands into a buildspec", ""},
		{"approval: {}", "approval: true", "write {}", ""},
		{"retry: { attempts: 3 }", "retry: 3", "write { attempts: 3 }", ""},
		{"needs: [ask]", "depends_on: [ask]", `did you mean "needs"?`, ""},
		{"deploy-site: { site: shop", "deploy_site: { site: shop", `did you mean "deploy-site"?`, ""},
		{"{ site: shop", "{ bucket: shop", `did you mean "site"?`, ""},
		{"site: shop,", "site: My Shop,", `did you mean "my-shop"?`, "site: my-shop,"},
		{"application: shop", "application: My Shop", `did you mean "my-shop"?`, ""},
		{"triggers:", "on:", `did you mean "triggers"?`, ""},
		{"triggers: [{ push: { branches: [main] } }]", "triggers: { push: { branches: [main] } }", "put it into a list", ""},
		{"application: shop", "application: shop\nversion: 1", "leave it out", ""},
	} {
		if !strings.Contains(shop, tt.right) {
			t.Fatalf("%q is not in the file", tt.right)
		}
		file := strings.Replace(shop, tt.right, tt.wrong, 1)
		_, ds := Parse("showrunner.yaml", []byte(file))
		switch {
		case len(ds) == 0:
			t.Errorf("%s: nothing is said", tt.wrong)
		case !strings.Contains(ds.String(), tt.says):
			t.Errorf("%s: %q is not said:\n%v", tt.wrong, tt.says, ds)
		}
		if tt.instead != "" {
			if _, ds := Parse("showrunner.yaml", []byte(strings.Replace(shop, tt.right, tt.instead, 1))); len(ds) > 0 {
				t.Errorf("%s: what it says to write does not work: %v", tt.wrong, ds)
			}
		}
	}
}
