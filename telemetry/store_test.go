package telemetry

import (
	"context"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"showrunner/problem"
)

func open(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func named(name string, pairs ...string) Labels {
	l := Labels{MetricName: name}
	for i := 0; i < len(pairs); i += 2 {
		l[pairs[i]] = pairs[i+1]
	}
	return l
}

// Samples come back by label and time, whatever order they came in, also those that
// are days late, and nothing of a refused batch is kept.
func TestSamplesComeBack(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a, b := named("requests", "zone", "a"), named("requests", "zone", "b")
	batch := []Sample{{a, noon, 1}, {b, noon, 2}, {a, noon.Add(time.Minute), 3}, {a, noon.Add(-10 * day), 4}, {a, noon.Add(30 * time.Second), 5}}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		if err := s.Append(t.Context(), []Sample{{a, noon.Add(2 * time.Minute), 9}, {b, noon, bad}}); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if err := s.Append(t.Context(), []Sample{{a, noon.Add(-40 * day), 1}}); problem.CodeOf(err) != problem.Invalid {
		t.Errorf("too old: %v", err)
	}
	got, err := s.Select(t.Context(), noon.Add(-11*day), noon.Add(time.Hour), Match{Name: MetricName, Value: "requests"}, Match{Name: "zone", Value: "a"})
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	want := []float64{4, 1, 5, 3}
	if len(got[0].Values) != len(want) || got[0].Labels["zone"] != "a" {
		t.Fatalf("%+v", got[0])
	}
	for i, v := range want {
		if got[0].Values[i] != v {
			t.Errorf("%v, want %v", got[0].Values, want)
		}
	}
	// From is included, to is not.
	if got, _ := s.Select(t.Context(), noon, noon.Add(time.Minute), Match{Name: "zone", Value: "a"}); len(got) != 1 || len(got[0].Values) != 2 {
		t.Errorf("%+v", got)
	}
	if names, err := s.Names(t.Context(), noon, noon.Add(time.Hour), Match{Name: "zone", Present: true}); err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	s := open(t, t.TempDir(), Options{MaxSeries: 2})
	for i := range 3 {
		err := s.Append(t.Context(), []Sample{{named("m", "n", strconv.Itoa(i)), noon, 1}})
		if want := map[bool]problem.Code{true: problem.Precondition}[i == 2]; problem.CodeOf(err) != want {
			t.Errorf("series %d: %v", i, err)
		}
	}
}

// TestMain is also the process that TestAcknowledgedSamplesSurviveAKill kills.
func TestMain(m *testing.M) {
	dir := os.Getenv("TELEMETRY_WRITER")
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := Open(dir, Options{})
	for i := 0; err == nil; i++ {
		if err = s.Append(context.Background(), []Sample{{named("m"), noon.Add(time.Duration(i) * time.Second), float64(i)}}); err == nil {
			os.Stdout.WriteString(strconv.Itoa(i) + "\n")
		}
	}
	os.Stderr.WriteString(err.Error())
	os.Exit(1)
}

// What was acknowledged before kill -9 is there afterwards, three times over.
func TestAcknowledgedSamplesSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "TELEMETRY_WRITER="+dir)
		out := &killer{after: 200 * (round + 1), kill: func() { cmd.Process.Kill() }}
		cmd.Stdout = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait() // it is killed
		s := open(t, dir, Options{})
		got, err := s.Select(t.Context(), noon, noon.Add(100*day), Match{Name: MetricName, Value: "m"})
		if err != nil || len(got) != 1 || len(got[0].Values) <= out.last() {
			t.Fatalf("round %d: %d acknowledged; %v, %v", round, out.last(), len(got), err)
		}
		s.Close()
	}
}

// killer kills a process once it has said so many lines.
type killer struct {
	text  strings.Builder
	after int
	kill  func()
}

func (k *killer) Write(p []byte) (int, error) {
	k.text.Write(p)
	if strings.Count(k.text.String(), "\n") >= k.after {
		k.kill()
	}
	return len(p), nil
}

// last is the last number that was said whole.
func (k *killer) last() int {
	lines := strings.Split(k.text.String(), "\n")
	n, _ := strconv.Atoi(lines[len(lines)-2])
	return n
}
