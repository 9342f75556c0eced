package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/artifact"
	"showrunner/build"
	"showrunner/problem"
	"showrunner/stage"
)

// Builder is what both kinds need of the machine.
type Builder struct {
	Launcher  build.Launcher
	Folder    string // of supervised builds, one folder for each
	Artifacts *artifact.Store
	Store     string // the folder that Artifacts is open on
	Cache     string // folder of the caches
	// Inherit is the environment that commands see; see build.CleanEnvironment.
	Inherit []string
}

// Kinds returns the stage kinds build and run.
func (b *Builder) Kinds() []stage.Kind { return []stage.Kind{buildKind{b}, runKind{b}} }

// folder is where the build of a stage's attempt lives. Names from outside do
// not become paths: what is not plain is replaced, and a digest keeps them apart.
func (b *Builder) folder(k stage.Key) string {
	k.Task = "execute"
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
				return r
			}
			return '_'
		}, s[:min(len(s), 40)])
	}
	sum := sha256.Sum256([]byte(k.String()))
	return filepath.Join(b.Folder, plain(k.Execution)+"."+plain(k.Stage)+"."+strconv.Itoa(k.Attempt)+"."+hex.EncodeToString(sum[:4]))
}

// uuid makes the identifier of an attempt's build: the same for the same one.
func uuid(k stage.Key) string {
	k.Task = "execute"
	b := sha256.Sum256([]byte(k.String()))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// execute starts the build that prepare describes, or finds it, and watches it
// to its end.
func (b *Builder) execute(ctx context.Context, in *stage.Input, prepare func(context.Context, *stage.Input) (build.Job, map[string]string, error), outputs func(build.Result) map[string]any) (stage.Result, error) {
	dir := b.folder(in.Key)
	for range maxStarts {
		h, err := build.Attach(dir)
		if errors.Is(err, build.ErrNotStarted) {
			var job build.Job
			var secrets map[string]string
			if job, secrets, err = prepare(ctx, in); err != nil {
				return refused(ctx, err)
			}
			h, err = b.Launcher.Start(ctx, dir, job, secrets)
		}
		if err != nil {
			return stopped(ctx, h, err)
		}
		// The supervisor that was there may be that of a watcher who died before
		// it had told everything; then it ends without having begun.
		if res, err := b.watch(ctx, in, h, outputs); !errors.Is(err, build.ErrNotStarted) {
			return res, err
		}
	}
	return stage.Result{}, problem.New(problem.Unavailable, "build.start", "%d supervisors ended before they began the build", maxStarts)
}

// maxStarts bounds how often a build that nobody has begun is started in one call.
const maxStarts = 5

// resume finds out what became of a build whose watcher died.
func (b *Builder) resume(ctx context.Context, in *stage.Input, outputs func(build.Result) map[string]any) (stage.Result, error) {
	h, err := build.Attach(b.folder(in.Key))
	if errors.Is(err, build.ErrNotStarted) {
		return stage.Result{Outcome: stage.NotStarted}, nil
	}
	if err != nil {
		return stage.Result{}, err
	}
	res, err := b.watch(ctx, in, h, outputs)
	if errors.Is(err, build.ErrNotStarted) {
		return stage.Result{Outcome: stage.NotStarted}, nil
	}
	return res, err
}

// cancel ends the build and returns once it has ended.
func (b *Builder) cancel(ctx context.Context, in *stage.Input) error {
	h, err := build.Attach(b.folder(in.Key))
	if errors.Is(err, build.ErrNotStarted) {
		return nil
	}
	if err == nil {
		_, err = h.Cancel(ctx, build.ErrStopped)
	}
	if errors.Is(err, build.ErrNotStarted) {
		return nil
	}
	return err
}

// watch copies the log and waits for the result. When ctx ends because the
// stage has to stop, the build is ended first.
func (b *Builder) watch(ctx context.Context, in *stage.Input, h *build.Handle, outputs func(build.Result) map[string]any) (stage.Result, error) {
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLog()
	var copying sync.WaitGroup
	log, err := openCopied(filepath.Join(b.folder(in.Key), "copied"), in.Log)
	if err != nil {
		return stage.Result{}, problem.Wrap(err, problem.Unavailable, "build.log", "remember what was copied")
	}
	defer log.close()
	copying.Go(func() { h.Log(logCtx, log.offset, log) }) //nolint:errcheck // a log never fails a stage
	result, err := h.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		cause := context.Cause(ctx)
		if errors.Is(cause, stage.ErrDetached) {
			stopLog()
			copying.Wait()
			return stage.Result{}, cause
		}
		return stopped(ctx, h, err)
	}
	if err != nil {
		stopLog()
		copying.Wait()
		return stage.Result{}, err
	}
	copying.Wait() // the log ends with the build
	return b.conclude(result, outputs), nil
}

// stopped ends a build that may have begun, because ctx has ended.
func stopped(ctx context.Context, h *build.Handle, err error) (stage.Result, error) {
	cause := context.Cause(ctx)
	if ctx.Err() == nil || errors.Is(cause, stage.ErrDetached) || h == nil {
		if ctx.Err() != nil {
			return stage.Result{}, cause
		}
		return stage.Result{}, err
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	why := build.ErrStopped
	if errors.Is(cause, stage.ErrTimedOut) {
		why = build.ErrTimedOut
	}
	if _, err := h.Cancel(limit, why); err != nil && !errors.Is(err, build.ErrNotStarted) {
		return stage.Result{}, problem.Wrap(err, problem.Unavailable, "build.cancel", "end the build")
	}
	return stage.Result{}, cause
}

// conclude turns a build's result into the stage's.
func (b *Builder) conclude(r build.Result, outputs func(build.Result) map[string]any) stage.Result {
	res := stage.Result{Outcome: stage.Done, Outputs: outputs(r), Artifacts: map[string]artifact.Ref{}}
	for _, a := range r.Artifacts {
		if a.Ref != "" {
			res.Artifacts[a.ID] = a.Ref
		}
	}
	if r.Status != build.Succeeded {
		res.Outcome, res.Failure = stage.Failed, failure(r)
	}
	return res
}

// failure says what a person needs to know of a build that did not succeed.
func failure(r build.Result) *stage.Failure {
	code := map[build.Status]string{build.Failed: "BUILD_FAILED", build.Fault: "BUILD_FAULT", build.TimedOut: "BUILD_TIMED_OUT", build.Stopped: "BUILD_STOPPED"}[r.Status]
	f := &stage.Failure{Code: code, Cause: fmt.Sprintf("the build ended as %s", r.Status), Retryable: r.Status == build.Fault,
		Help: "Read the stage's log; `showrunner build DIR` runs the same buildspec on a copy of the source here."}
	if w := r.Failure; w != nil {
		f.Cause = fmt.Sprintf("%s: %s", w.Phase, w.Message)
		if w.Help != "" {
			f.Help = w.Help
		}
		if w.Command != "" {
			f.Evidence = append(f.Evidence, "command: "+w.Command, "exit code: "+strconv.Itoa(w.ExitCode))
			if w.Phase != build.UploadArtifacts {
				f.Code = "COMMAND_FAILED"
			}
		}
		f.Evidence = append(f.Evidence, w.LastLines...)
	}
	for _, rep := range r.Reports {
		for _, c := range rep.Failing() {
			if len(f.Evidence) < 40 {
				f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s / %s", rep.Group, c.Suite, c.Name))
			}
		}
	}
	return f
}

// refused is a build that cannot begin.
func refused(ctx context.Context, err error) (stage.Result, error) {
	if ctx.Err() != nil {
		return stage.Result{}, context.Cause(ctx)
	}
	switch problem.CodeOf(err) {
	case problem.Unavailable, problem.Internal:
		return stage.Result{}, err
	}
	f := stage.Failure{Code: "BUILDSPEC_INVALID", Cause: err.Error(), Help: problem.HelpOf(err)}
	if e, ok := findings(err); ok {
		f.Evidence = strings.Split(strings.TrimRight(e.Findings.Text(), "\n"), "\n")
	} else if p, ok := problem.Of(err); ok && p.Code == problem.NotFound {
		f.Code = "BUILD_INPUT_MISSING"
		if strings.HasPrefix(p.Op, "secret") {
			f.Code = "SECRET_MISSING"
		}
	}
	return stage.Fail(f), nil
}

// copied passes a build's log on and remembers how far, so that whoever goes on
// after a crash neither repeats nor leaves out any of it.
type copied struct {
	w      io.Writer
	f      *os.File
	offset int64
}

func openCopied(name string, w io.Writer) (*copied, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	var text [20]byte
	n, err := f.ReadAt(text[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, err
	}
	c := &copied{w: w, f: f}
	c.offset, _ = strconv.ParseInt(strings.TrimSpace(string(text[:n])), 10, 64) // empty: nothing yet
	return c, nil
}

func (c *copied) Write(p []byte) (int, error) {
	c.w.Write(p) //nolint:errcheck // a log never fails a stage
	c.offset += int64(len(p))
	_, err := c.f.WriteAt([]byte(fmt.Sprintf("%020d", c.offset)), 0)
	return len(p), err
}

func (c *copied) close() { c.f.Close() }
