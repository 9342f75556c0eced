package fleet

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
	"showrunner/pipeline"
	"showrunner/problem"
)

// A region process that is killed leaves no process behind, and the next one
// starts the recorded groups.
func TestKilledRegion(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	made := r.Create(r.Spec("app", cloudtest.Children, 2))
	r.WaitServing(made.Name, 2)
	g := r.Create(r.Spec("app", cloudtest.Serve, 0))
	if err := r.Destroy(t.Context(), "test-1", g.Name, driver.Guard{}, "destroyed"); err != nil {
		t.Fatal(err)
	}
	r.WaitGone(g.Name)
	if err := r.SetZone(t.Context(), "test-1", "test-1c", true, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.stop()

	// Another process runs the region for a while, and is then killed.
	region, _ := otherProcess(t, r)
	var seen []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("two instances and their four children were looked for; last seen: %v", seen)
		}
	})
	eventually(t, "instances and their children run", func() bool { seen = running(r.mark); return len(seen) == 6 })
	if err := region.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = region.Wait() // killed
	// The kernel and the guard end the processes of the instances' groups at
	// once. The two children in sessions of their own end at the region's next
	// start.
	eventually(t, "only children in sessions of their own run", func() bool { return len(running(r.mark)) <= 2 })

	r.start()
	again := cloudtest.New(t, r.target())
	g = again.WaitServing(made.Name, 2)
	if g.Spec.Version != "1.0" || !g.Created.Equal(made.Created) {
		t.Errorf("the group came back as %+v", g)
	}
	eventually(t, "2 instances with 2 children each run, and nothing of the earlier life", func() bool { return len(running(r.mark)) == 6 })
	for _, i := range g.Instances {
		if i.Zone == "test-1c" {
			t.Error("an instance runs in a zone that is still in outage")
		}
	}
	if g := again.Create(again.Spec("app", cloudtest.Serve, 0)); g.Name != "app-v002" {
		t.Errorf("the next version is %s: the numbers were forgotten", g.Name)
	}
	if err := r.Destroy(t.Context(), "test-1", made.Name, driver.Guard{}, "destroyed"); problem.CodeOf(err) != problem.Conflict {
		t.Errorf("a key was forgotten: %v", err)
	}
}

// otherProcess runs the fleet's folder in another process, which ends when the
// test ends in any way. It returns when the region is ready; the client calls it.
func otherProcess(t *testing.T, r *realFleet) (*exec.Cmd, *Client) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	socket := newSocket(t)
	region := exec.Command(self)
	region.Env = append(os.Environ(), "FLEET_TEST_REGION="+r.dir, "FLEET_TEST_SOCKET="+socket)
	region.Stderr = os.Stderr
	out, err := region.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := region.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if region.ProcessState == nil {
			_ = region.Process.Kill()
			_ = region.Wait() // the process was killed
		}
		if t.Failed() {
			process.KillMarked([]string{markName + "=" + r.mark})
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("region said %q, %v", line, err)
	}
	return region, socketClient(t, socket)
}

func TestRestartGivesStandbyBack(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.WaitServing(r.Create(r.Spec("app", cloudtest.Serve, 2)).Name, 2)
	if err := r.SetStandby(t.Context(), "test-1", g.Instances[0].ID, true, r.Key()); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.start()
	if g := cloudtest.New(t, r.target()).WaitServing(g.Name, 2); g.Capacity.Desired != 2 {
		t.Errorf("capacity %+v: the place of an instance in standby was lost", g.Capacity)
	}
}

// What is launched once is not launched again by the next process of the region, which
// has taken the instance down with it.
func TestRestartLaunchesNothingTwice(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("once", cloudtest.Serve, 1)
	spec.Once = true
	g := r.WaitServing(r.Create(spec).Name, 1)
	r.stop()
	r.start()
	again := cloudtest.New(t, r.target())
	if err := r.Resize(t.Context(), "test-1", g.Name, pipeline.Capacity{Desired: 2, Max: 2}, driver.Guard{}, r.Key()); err != nil {
		t.Fatal(err)
	}
	if now := again.WaitServing(g.Name, 1); len(now.Instances) != 1 || now.Instances[0].ID == g.Instances[0].ID {
		t.Errorf("after a restart and one more place: %+v", now.Instances)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	_, err := New(Config{Region: "test-1", Dir: r.dir, Artifacts: selfArtifact{}, Balancer: newFakeBalancer()})
	if problem.CodeOf(err) != problem.Conflict {
		t.Errorf("a second fleet in the same folder: %v", err)
	}
}

// Environments hold secrets: the record does not show them, but the instance gets
// them.
func TestEnvironmentIsSealed(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	spec := r.Spec("app", cloudtest.Serve, 1)
	spec.Env["CLOUDTEST_GREETING"] = driver.EnvValue{Value: "hush-hush"}
	r.WaitServing(r.Create(spec).Name, 1)
	if body, err := r.balancer.reach(t.Context(), "app", "/"); err != nil || !strings.Contains(body, "hush-hush") {
		t.Fatalf("the instance answers %q, %v", body, err)
	}
	for _, name := range []string{"state.json", "key"} {
		text, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("hush-hush")) {
			t.Errorf("%s holds the secret", name)
		}
		if info, err := os.Stat(filepath.Join(r.dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	r.stop()
	r.start()
	cloudtest.New(t, r.target()).WaitServing("app-v000", 1)
	if body, err := r.balancer.reach(t.Context(), "app", "/"); err != nil || !strings.Contains(body, "hush-hush") {
		t.Errorf("after a restart it answers %q, %v", body, err)
	}
}

// Instances do not see the region's own environment.
func TestEnvironmentIsMinimal(t *testing.T) {
	t.Setenv("REGION_SECRET", "not for instances")
	r := openReal(t)
	g := r.WaitServing(r.Create(r.Spec("app", cloudtest.Serve, 1)).Name, 1)
	text, err := os.ReadFile(filepath.Join("/proc", itoa(g.Instances[0].PID), "environ"))
	if err != nil {
		t.Log("this system does not show environments")
		return
	}
	var names []string
	for _, v := range strings.Split(strings.TrimRight(string(text), "\x00"), "\x00") {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains(inherited, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	want := []string{"CLOUDTEST_MODE", "HOME", "SHOWRUNNER_FLEET", "TMPDIR"}
	for _, v := range pipeline.InstanceVariables() { // as documented
		want = append(want, v.Name)
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("the instance sees %v", names)
	}
}

func TestStateIsReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	if err := os.WriteFile(path+".new", []byte("half of a sta"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	doc, err := f.load()
	if err != nil {
		t.Fatalf("a killed write is in the way: %v", err)
	}
	doc.Sequences["app"] = 7
	if err := f.save(doc); err != nil {
		t.Fatal(err)
	}
	if doc, err := f.load(); err != nil || doc.Sequences["app"] != 7 {
		t.Fatalf("%+v, %v", doc, err)
	}
	if err := os.WriteFile(path, []byte(`{"form": 3}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.load(); err == nil {
		t.Error("a newer form was read as if it were known")
	}
}

// A region's memory of keys is bounded, and always contains the newest.
func TestKeysAreForgotten(t *testing.T) {
	d := document{Keys: map[string]keyRecord{}}
	for n := range 10 * keysKept {
		d.forget()
		d.Keys["k"+itoa(n)] = keyRecord{At: epoch.Add(time.Duration(n) * time.Second)}
		if len(d.Keys) > keysKept+1 {
			t.Fatalf("%d keys are kept", len(d.Keys))
		}
		if oldest := max(0, n-keysKept/2); d.Keys["k"+itoa(oldest)].At.IsZero() {
			t.Fatalf("after key %d key %d is forgotten", n, oldest)
		}
	}
}

// The output of an instance can be followed, and read after the instance has
// ended.
func TestLogs(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.WaitServing(r.Create(r.Spec("app", cloudtest.Serve, 1)).Name, 1)
	id := g.Instances[0].ID
	client := r.client(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	done := make(chan error, 1)
	go func() {
		err := client.InstanceLog(t.Context(), "test-1", id, true, write)
		write.Close()
		done <- err
	}()
	lines := bufio.NewScanner(read)
	if !lines.Scan() || !strings.Contains(lines.Text(), "instance "+id) {
		t.Fatalf("first line %q", lines.Text())
	}
	if err := syscall.Kill(g.Instances[0].PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "draining" {
		t.Fatalf("second line %q", lines.Text())
	}
	if err := <-done; err != nil { // following ends with the instance
		t.Fatal(err)
	}
	r.Wait(g.Name, "replaced", func(g driver.ServerGroup) bool { return len(g.Ended) == 1 && g.Serving() == 1 })
	var kept bytes.Buffer
	if err := client.InstanceLog(t.Context(), "test-1", id, false, &kept); err != nil || !strings.HasSuffix(kept.String(), "draining\n") {
		t.Errorf("kept %q, %v", kept.String(), err)
	}
	for _, none := range []string{"i-00000000000000000", "../../key", "*"} {
		if err := r.InstanceLog(t.Context(), "test-1", none, false, &kept); problem.CodeOf(err) != problem.NotFound {
			t.Errorf("the log of %s: %v", none, err)
		}
	}
}

// The evidence for a program that its runtime ended includes the reason, however
// long the dump is.
func TestLastLinesHaveTheHeadOfADump(t *testing.T) {
	path := filepath.Join(t.TempDir(), "output")
	registers := strings.Repeat("r0     0x0\n", 40)
	for name, test := range map[string]struct{ text, first string }{
		"a signal":        {"started\nSIGSEGV: segmentation violation\nPC=0x1 m=0 sigcode=0\n\n" + registers, "SIGSEGV: segmentation violation"},
		"a panic":         {"panic: first\n" + registers + "panic: second\n" + registers, "panic: second"},
		"nothing of both": {"panicking is not fatal\n" + registers, "r0     0x0"},
		"a short one":     {"started\npanic: oh\n\ngoroutine 1 [running]:\n", "started"},
	} {
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lastLines(path); got[0] != test.first || len(got) > tailLines {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestOutputRotates(t *testing.T) {
	o, err := openOutput(filepath.Join(t.TempDir(), "output.log"), 100)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 29) + "\n"
	for range 3 {
		if _, err := o.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	done := make(chan error, 1)
	go func() {
		err := o.follow(context.Background(), write)
		write.Close()
		done <- err
	}()
	got := bufio.NewReader(read)
	for n := range 12 { // a reader that keeps up misses nothing across rotations
		if text, err := got.ReadString('\n'); err != nil || text != line {
			t.Fatalf("line %d: %q, %v", n, text, err)
		}
		if _, err := o.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	o.Close()
	for range 3 {
		if _, err := got.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var kept bytes.Buffer
	if err := copyKept(o.path, &kept); err != nil || kept.Len() > 200 || kept.Len() < 90 || len(lastLines(o.path)) < 3 {
		t.Errorf("%d bytes kept, %d last lines, %v", kept.Len(), len(lastLines(o.path)), err)
	}
}
