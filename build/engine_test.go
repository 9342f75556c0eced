package build

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// tinyImage is an image that holds busybox and two users, made for one test.
const tinyImage = "localhost/showrunner-test:1"

// realEngine has builds use podman with a store of its own and one image. It
// skips the test where this machine runs no container.
func realEngine(t *testing.T) {
	t.Helper()
	podman, err := exec.LookPath("podman")
	if err != nil {
		t.Skip("podman is not on this machine")
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("a static busybox is not on this machine:", err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	runtime := "runc"
	if _, err := exec.LookPath(runtime); err != nil {
		runtime = "crun"
	}
	t.Setenv("CONTAINERS_CONF", write("containers.conf", "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nruntime = \""+runtime+"\"\n"))
	t.Setenv("CONTAINERS_STORAGE_CONF", write("storage.conf", "[storage]\ndriver = \"vfs\"\nrunroot = \""+dir+"/run\"\ngraphroot = \""+dir+"/graph\"\n"))
	// Nothing called docker stands before it.
	if err := os.Symlink(podman, filepath.Join(dir, "podman")); err != nil {
		t.Fatal(err)
	}
	write("docker", "#!/bin/sh\necho no daemon >&2\nexit 1\n")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	do := func(stdin []byte, args ...string) (string, error) {
		cmd := exec.Command(podman, args...)
		cmd.Stdin = bytes.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	t.Cleanup(func() {
		if out, err := do(nil, "ps", "--all", "--quiet", "--noheading"); err != nil || out != "" {
			t.Errorf("containers are left: %s %v", out, err)
		}
		do(nil, "system", "reset", "--force") //nolint:errcheck // the folder goes with the test
	})
	if out, err := do(image(t, busybox), "import", "-", tinyImage); err != nil {
		t.Skipf("podman imports no image here: %v: %s", err, out)
	}
	if out, err := do(nil, "run", "--rm", tinyImage, "/bin/sh", "-c", "id -u"); err != nil || out != "0" {
		t.Skipf("podman runs no container here: %v: %s", err, out)
	}
}

// image is the layer of tinyImage.
func image(t *testing.T, busybox []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, data string) {
		h.Size = int64(len(data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"bin/", "etc/", "root/"} {
		add(tar.Header{Name: d, Typeflag: tar.TypeDir, Mode: 0o755}, "")
	}
	add(tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}, "")
	add(tar.Header{Name: "home/", Typeflag: tar.TypeDir, Mode: 0o1777}, "")
	add(tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, string(busybox))
	add(tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644}, "root:x:0:0::/root:/bin/sh\nbuilder:x:1234:1234::/home:/bin/sh\n")
	for _, name := range strings.Fields("sh id cat sed sleep chown stat mkdir echo pwd ls sha256sum find sort cut wc") {
		add(tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, "")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRealContainer runs builds in containers of a real engine.
func TestRealContainer(t *testing.T) {
	realEngine(t)
	inImage := func(r *Request, _ *Host) { r.Image = tinyImage }
	t.Run("state lasts, users change, artifacts come out", func(t *testing.T) {
		o := do(t, `version: 0.2
env: { variables: { GREETING: "it's\ntwo lines" }, exported-variables: [OUT] }
phases:
  install:
    runtime-versions: { nodejs: 20 }
  pre_build:
    commands:
      - test ! -e /usr/bin/env && echo "inside as $(id -un)"
      - cd /tmp; export OUT="$GREETING"; local_only=kept
  build:
    run-as: builder
    commands:
      - echo "now $(id -un) in $PWD at $HOME with $local_only"
      - cat; echo "no input is left over"
      - codebuild-hash-files in.txt | wc -c
      - (exit 3) || echo "code $?"
    finally: ['echo "finally as $(id -un)"']
  post_build:
    commands:
      - id -un; mkdir -p $CODEBUILD_SRC_DIR/dist/deep; echo "$OUT" >$CODEBUILD_SRC_DIR/dist/deep/x
artifacts: { files: ['dist/**/*', in.txt], secondary-artifacts: { two: { files: [in.txt] } } }
`, map[string]string{"in.txt": "hello"}, inImage)
		o.want(t, Succeeded, "inside as root", "now builder in /tmp at /home with kept", "no input is left over", "code 3", "finally as builder", "nodejs 20, which is not in the image")
		if got := o.ExportedVariables["OUT"]; got != "it's\ntwo lines" {
			t.Errorf("OUT is %q", got)
		}
		if data, err := os.ReadFile(filepath.Join(o.out, "dist/deep/x")); err != nil || string(data) != "it's\ntwo lines\n" {
			t.Errorf("the artifact holds %q: %v", data, err)
		}
	})
	t.Run("a failure, and a user the image lacks", func(t *testing.T) {
		o := do(t, head+"  build: {commands: ['echo before', 'exit 5', 'echo never']}", nil, inImage)
		o.want(t, Failed, "before", "exit code 5")
		o = do(t, head+"  build: {run-as: nobody-there, commands: [id]}", nil, inImage)
		o.want(t, Failed, "run-as: nobody-there is no user of the image")
	})
	t.Run("an image that is not there", func(t *testing.T) {
		o := do(t, head+"  build: {commands: [id]}", nil, func(r *Request, _ *Host) { r.Image = "localhost:1/none:1" })
		o.want(t, Failed, "the container of image localhost:1/none:1 does not start")
	})
	t.Run("cancel ends what runs inside", func(t *testing.T) {
		var log safeBuffer
		ctx, cancel := context.WithCancel(t.Context())
		src := files(t, nil)
		begun := waitFor("begun")
		r := Run(ctx, Request{ID: NewID("demo"), Project: "demo", SpecName: "s", Image: tinyImage, Spec: head + "  build: {commands: ['echo begun; sleep 600']}"},
			Host{Dir: t.TempDir(), Prepare: func(ctx context.Context, dir string, _ map[string]string) error { return CopyTree(ctx, src, dir) },
				Log: writerFunc(func(p []byte) (int, error) {
					log.Write(p)   //nolint:errcheck // never fails
					begun.Write(p) //nolint:errcheck // never fails
					select {
					case <-begun.c:
						cancel()
					default:
					}
					return len(p), nil
				})})
		if r.Status != Stopped {
			t.Errorf("%s\n%s", r.Status, log.text())
		}
	})
	t.Run("a killed supervisor leaves no container", func(t *testing.T) {
		h, _ := supervised(t, head+"  build: {commands: ['echo begun; sleep 600']}", func(j *Job) { j.Image = tinyImage; j.Inherit = os.Environ() })
		running(t, h, "\nbegun")
		state, err := h.State()
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(state.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if r, err := h.Wait(bounded(t)); err != nil || r.Status != Fault {
			t.Errorf("%+v, %v", r, err)
		}
		if exists(state.Work) || exists(ControlFolder(state.Work)) {
			t.Error("its folders are left behind")
		}
	})
}
