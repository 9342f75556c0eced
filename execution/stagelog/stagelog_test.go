package stagelog_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"showrunner/execution/stagelog"
	"showrunner/problem"
	"showrunner/stage"
)

var key = stage.Key{Execution: "ex1", Stage: "build", Attempt: 1, Task: "run"}

// A follower sees what was there, what comes, and the last words before the end.
func TestFollowMissesAndRepeatsNothing(t *testing.T) {
	f := stagelog.New(t.TempDir())
	w, err := f.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "before\n"); err != nil {
		t.Fatal(err)
	}
	r, out := io.Pipe()
	done := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		err := f.Read(t.Context(), key.Execution, key.Stage, 1, 0, true, done, out)
		out.Close()
		result <- err
	}()
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Fatalf("%q %v, want %q", got, err, want)
		}
	}
	expect("before\n")
	io.WriteString(w, "during\n")
	expect("during\n")
	io.WriteString(w, "last words\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	close(done)
	rest, err := io.ReadAll(r)
	if err != nil || string(rest) != "last words\n" {
		t.Errorf("%q %v", rest, err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// The log goes on where the process before left it, and reads from any offset.
func TestAppendsAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	for _, line := range []string{"one\n", "two\n"} {
		w, err := stagelog.New(dir).Open(key)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, line)
		w.Close()
	}
	var b bytes.Buffer
	if err := stagelog.New(dir).Read(t.Context(), "ex1", "build", 1, 4, false, nil, &b); err != nil || b.String() != "two\n" {
		t.Errorf("%q %v", b.String(), err)
	}
}

func TestNamesFromOutsideNeverLeaveTheFolder(t *testing.T) {
	f := stagelog.New(t.TempDir())
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, "a\x00b"} {
		if err := f.Read(context.Background(), name, "build", 1, 0, false, nil, io.Discard); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("execution %q: %v", name, err)
		}
		if _, err := f.Open(stage.Key{Execution: "e", Stage: name, Attempt: 1}); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("stage %q: %v", name, err)
		}
	}
}

func TestNothingWritten(t *testing.T) {
	f := stagelog.New(t.TempDir())
	err := f.Read(t.Context(), "ex1", "build", 1, 0, false, nil, io.Discard)
	if problem.CodeOf(err) != problem.NotFound || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("%v", err)
	}
}
