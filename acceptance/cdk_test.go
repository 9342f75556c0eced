package acceptance

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cdkModules is a folder with the CDK that the example asks for. It is installed
// once and kept in the user's cache.
func cdkModules(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	wanted, err := os.ReadFile(filepath.Join("..", "examples", "cdk", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no cache folder: ", err)
	}
	sum := sha256.Sum256(wanted)
	dir := filepath.Join(cache, "showrunner-tests", "cdk-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "aws-cdk-lib")); err == nil {
		return filepath.Join(dir, "node_modules")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Skip("no cache folder: ", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "cdk-new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	if err := os.WriteFile(filepath.Join(fresh, "package.json"), wanted, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := runFor(t, 5*time.Minute, fresh, os.Environ(), "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"); err != nil {
		t.Skipf("the CDK could not be installed: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil { // another test was first
		if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "node_modules")
}

// cdkApp is a folder with an app and the CDK beside it.
func cdkApp(t *testing.T, app string) string {
	t.Helper()
	modules, dir := cdkModules(t), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(app)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// cdk runs the CDK in an app's folder. A separate home folder isolates its cache
// of accounts.
func (w *world) cdk(dir string, more []string, args ...string) (string, error) {
	w.t.Helper()
	env := append(w.awsVariables(), "CDK_DISABLE_CLI_TELEMETRY=true", "CI=true", "HOME="+dir, "CDK_HOME="+filepath.Join(dir, ".cdk"))
	env = append(env, more...)
	args = append([]string{filepath.Join(dir, "node_modules", "aws-cdk", "bin", "cdk")}, args...)
	return runFor(w.t, 4*time.Minute, dir, env, "node", append(args, "--no-notices", "--no-version-reporting")...)
}

// cdkSays runs the CDK, which has to succeed and to print a text.
func (w *world) cdkSays(want, dir string, more []string, args ...string) string {
	w.t.Helper()
	out, err := w.cdk(dir, more, args...)
	if err != nil || !strings.Contains(out, want) {
		w.t.Fatalf("cdk %s: %v, want %q in\n%s", strings.Join(args, " "), err, want, out)
	}
	return out
}

// The unmodified CDK: bootstrap twice, deploy, deploy unchanged, compare, deploy
// changed, a deployment that fails and is rolled back, destroy.
func TestTheCDK(t *testing.T) {
	dir := cdkApp(t, filepath.Join("testdata", "cdk"))
	w := newAWSWorld(t, "us-east-1", "us-west-2")
	app := func(args ...string) []string { return append(args, "--app", "node app.js") }
	bootstrap := []string{"bootstrap", "aws://000000000000/us-east-1"}
	w.cdkSays("bootstrapped.", dir, nil, bootstrap...)
	w.cdkSays("bootstrapped (no changes)", dir, nil, bootstrap...)
	w.cdkSays("AWS::S3::Bucket", dir, nil, app("synth")...)
	deploy := app("deploy", "--require-approval", "never")
	out := w.cdkSays("Demo.URL = http://", dir, nil, deploy...)
	_, rest, _ := strings.Cut(out, "Demo.URL = http://")
	bucket, _, _ := strings.Cut(rest, ".localhost")
	if path := writeFile(t, "index.html", "<h1>deployed</h1>"); bucket != "" {
		w.aws("s3", "cp", path, "s3://"+bucket+"/index.html", "--content-type", "text/html")
	}
	if status, body := w.get(bucket, "/"); status != 200 || !strings.Contains(body, "deployed") {
		t.Errorf("the site answers %d %s", status, body)
	}
	w.cdkSays("Demo (no changes)", dir, nil, deploy...)

	changed := []string{"GREETING=hi"}
	if out := w.cdkSays("AWS::SSM::Parameter", dir, changed, app("diff")...); !strings.Contains(out, "[-] hello") || !strings.Contains(out, "[+] hi") {
		t.Errorf("the difference is\n%s", out)
	}
	w.cdkSays("Demo", dir, changed, deploy...)
	greeting := func() string {
		return w.aws("ssm", "get-parameter", "--name", "/demo/greeting", "--query", "Parameter.Value", "--output", "text")
	}
	if greeting() != "hi" {
		t.Errorf("the parameter is %q", greeting())
	}
	if out, err := w.cdk(dir, []string{"GREETING=broken", "BROKEN=1"}, deploy...); err == nil || !strings.Contains(out, "can't be prefixed with") {
		t.Errorf("a deployment that fails: %v\n%s", err, out)
	}
	if got := w.aws("cloudformation", "describe-stacks", "--stack-name", "Demo", "--query", "Stacks[0].StackStatus", "--output", "text"); got != "UPDATE_ROLLBACK_COMPLETE" || greeting() != "hi" {
		t.Errorf("after the failure the stack is %s and the parameter %q", got, greeting())
	}
	w.aws("s3", "rm", "s3://"+bucket+"/index.html")
	w.cdkSays("Demo: destroyed", dir, nil, app("destroy", "--force")...)
	if out := w.aws("s3api", "list-buckets", "--query", "Buckets[].Name", "--output", "text"); strings.Contains(out, bucket) {
		t.Errorf("the site's bucket is left: %s", out)
	}
}
