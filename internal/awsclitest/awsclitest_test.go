package awsclitest

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start is an interpreter for one test.
func start(t *testing.T) *Interpreter {
	t.Helper()
	if _, err := Python(); err != nil {
		t.Skip("no aws command that runs in Python: ", err)
	}
	i, err := Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Stop(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// prepare is a command without anything of this machine's configuration.
func prepare(t *testing.T, program, folder string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = folder
	cmd.Env = []string{"HOME=" + folder, "PATH=" + os.Getenv("PATH"), "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_DEFAULT_REGION=eu-west-1", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true"}
	return cmd
}

// The interpreter's command does what the installed one does: output, errors, exit
// code, standard input, environment and folder.
func TestASharedInterpreterActsAsTheInstalledCommand(t *testing.T) {
	t.Parallel()
	i := start(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/denied") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Etag", `"one"`)
		if r.Method == http.MethodGet {
			w.Write([]byte("from the server\n"))
		}
	}))
	t.Cleanup(server.Close)
	for name, args := range map[string][]string{
		"version":          {"--version"},
		"usage":            {"no-such-service", "ls"},
		"refused request":  {"s3api", "get-object", "--bucket", "b", "--key", "denied", "out", "--endpoint-url", server.URL},
		"no answer":        {"sts", "get-caller-identity", "--endpoint-url", "http://127.0.0.1:9"},
		"standard input":   {"s3", "cp", "-", "s3://b/key", "--endpoint-url", server.URL},
		"standard output":  {"s3", "cp", "s3://b/key", "-", "--endpoint-url", server.URL},
		"file of a folder": {"s3api", "get-object", "--bucket", "b", "--key", "k", "here", "--endpoint-url", server.URL},
		"environment":      {"configure", "get", "region"},
		"empty word":       {"configure", "set", "output", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var outputs [2]string
			for n, program := range []string{"aws", filepath.Join(i.Folder, "aws")} {
				folder := t.TempDir()
				cmd := prepare(t, program, folder, args...)
				cmd.Stdin = strings.NewReader("text of the input")
				var out, errs bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &errs
				_ = cmd.Run()
				here, _ := os.ReadFile(filepath.Join(folder, "here"))
				outputs[n] = strings.Join([]string{cmd.ProcessState.String(), out.String(), errs.String(), string(here)}, "\n--\n")
			}
			if outputs[0] != outputs[1] {
				t.Errorf("the installed command:\n%s\nthe shared interpreter:\n%s", outputs[0], outputs[1])
			}
		})
	}
}

// A command ends with the process that stands for it, and the interpreter runs others.
func TestAKilledCommandEnds(t *testing.T) {
	t.Parallel()
	i := start(t)
	came, gone := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
		close(gone)
	}))
	t.Cleanup(server.Close)
	aws := filepath.Join(i.Folder, "aws")
	cmd := prepare(t, aws, t.TempDir(), "s3api", "list-buckets", "--endpoint-url", server.URL)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait := func(what string, signal <-chan struct{}) {
		t.Helper()
		select {
		case <-signal:
		case <-time.After(time.Minute):
			t.Fatalf("%s: not within a minute", what)
		}
	}
	wait("the command's request", came)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	wait("the end of the request", gone)
	if out, err := prepare(t, aws, t.TempDir(), "--version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "aws-cli/") {
		t.Errorf("the next command: %v %s", err, out)
	}
}
